"""Health: what is wrong with the hardware now, what happened to it, and who offends again."""

from typing import Any

import numpy as np
from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements, shell
from dashboard.broadcast import Slots, Sources
from dashboard.charts import facility as facility_charts
from dashboard.charts import series
from dashboard.charts.timeline import Figure, Line, Panel, timeline
from dashboard.picture import Picture
from dashboard.states import LABELS, SENTENCES, TROUBLED, Codes, State
from dashboard.summary import short_place
from dashboard.view import View, Window
from dashboard.wording import DASH, number, plural

NAME = "Health"

GOOD_FOR_S = 5.0
SHOWN_MAX = 40
KINDS_APART_MAX = 5
COLOURS = ("heat", "second", "power", "third", "load")
GRAPH = {"displayModeBar": False, "responsive": True, "doubleClick": False}
NOTES = {
    State.DEGRADED: "slowed, or memory errors",
    State.PREDICTED_FAILURE: "reset it soon",
    State.FAILED: "needs a reset or more",
    State.LOST: "fell off its host",
    State.STALE: "no fresh reading",
    State.UNKNOWN: "never read",
    State.ABSENT: "contracted, not there",
}
RECOVERY = {
    1: "reset asked", 2: "reboot asked", 3: "drain of its peers asked", 4: "drain and reset asked",
    5: "IMEX restart asked", 6: "bus reset asked", 7: "system reboot asked",
}  # fmt: skip


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    return [
        shell.heading(view, "Health"),
        elements.slot("health-tiles", "States", "tiles"),
        html.Div(
            [
                elements.section("Wrong now", elements.slot("health-now")),
                html.Div(
                    dcc.Graph(id="health-chart", config=GRAPH, figure={}, className="timeline"),
                    className="section",
                ),
            ],
            className="columns even",
        ),
        html.Div(
            [
                elements.section("What happened", elements.slot("health-kinds")),
                elements.section("Repeat offenders", elements.slot("health-offenders")),
            ],
            className="columns even",
        ),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    window = view.window(sources.now_s, 120)
    picture = sources.picture
    states = picture.states(sources.now_s)
    values = {"start_s": window.start_s, "end_s": window.end_s, "step_s": window.step_s}
    found = {}
    for name in ("events", "kinds", "offenders"):

        async def ask(name: str = name) -> list[Any]:
            return await sources.queries.rows("health", name, values)

        question = ("health", name, view.range_name, view.get("from"), view.get("to"))
        found[name] = await sources.history.get(question, GOOD_FOR_S, ask)
    return {
        "health-tiles": {"children": _tiles(picture, states)},
        "health-now": {"children": _now(view, picture, states)},
        "health-chart": {"figure": _figure(window, found["events"])},
        "health-kinds": {"children": _kinds(found["kinds"])},
        "health-offenders": {"children": _offenders(view, picture, found["offenders"])},
    }


def _tiles(picture: Picture, states: Codes) -> list[Component]:
    counts = np.bincount(states, minlength=len(State))
    for facility in picture.facilities:
        known = facility.seats.stop - facility.seats.start
        counts[State.ABSENT] += max(0, (facility.row.contracted_accelerators or 0) - known)
    shown = (*TROUBLED, State.STALE, State.UNKNOWN, State.ABSENT)
    tones = {State.FAILED: "bad", State.LOST: "bad", State.DEGRADED: "warn"}
    return [
        elements.tile(
            [html.I(className=f"swatch {elements.TONES[state]}"), LABELS[state].capitalize()],
            number(int(counts[state])),
            html.Span(NOTES[state], title=SENTENCES[state]),
            tones.get(state, "") if counts[state] else "",
        )
        for state in shown
    ]


def _now(view: View, picture: Picture, states: Codes) -> Component:
    """Accelerators in trouble, gravest first, each with its reason."""
    order = (State.LOST, State.FAILED, State.PREDICTED_FAILURE, State.DEGRADED)
    rows = []
    total = int(np.isin(states, TROUBLED).sum())
    slugs = {f.facility_id: f for f in picture.facilities}
    for state in order:
        for seat in np.flatnonzero(states == state).tolist():
            if len(rows) == SHOWN_MAX:
                break
            host = picture.hosts[int(picture.host_of[seat])]
            facility = slugs[host.facility_id]
            index = str(int(picture.index_of[seat]))
            href = view.elsewhere("/host", facility=facility.slug, host=host.name, gpu=index)
            rows.append(
                [
                    elements.state_word(state),
                    [dcc.Link(f"{host.name} · GPU {index}", href=href),
                     html.Small(f"{facility.title} · {short_place(host.place)}")],
                    _reason(picture, seat, state),
                ]
            )  # fmt: skip
    if not rows:
        return html.Div(
            [html.I(className="tick"), "No accelerator that can be seen is in trouble."],
            className="all-well",
        )
    table = elements.table((("State", ""), ("Where", "two"), ("Why", "")), rows)
    more = total - len(rows)
    note = html.Div(f"and {plural(more, 'more')}", className="all-well") if more > 0 else None
    return html.Div([table, note])


def _reason(picture: Picture, seat: int, state: State) -> str:
    """Say by what the state was told; several may hold."""
    if state is State.LOST:
        return "the driver no longer finds it"
    told = {name: float(column[seat]) for name, column in picture.readings.items()}
    reasons = []
    if told["remap_failed_flag"] > 0:
        reasons.append("row remapping failed")
    if told["recovery_action_code"] > 0:
        reasons.append(RECOVERY.get(int(told["recovery_action_code"]), "recovery asked"))
    if told["remap_pending_flag"] > 0:
        reasons.append("a row waits to be remapped")
    if told["ecc_uncorrected_volatile_count"] > 0:
        reasons.append(plural(told["ecc_uncorrected_volatile_count"], "uncorrectable error"))
    if told["temperature_margin_celsius"] <= 0:
        reasons.append(f"no headroom at {told['temperature_gpu_celsius']:.0f} °C")
    bits = 0 if np.isnan(told["clock_event_reasons_bitmask"]) else int(
        told["clock_event_reasons_bitmask"]
    )  # fmt: skip
    for bit, words in ((0x60, "slowed by heat"), (0x80, "power brake"), (0x8, "hardware slowdown")):
        if bits & bit:
            reasons.append(words)
    return ", ".join(reasons) or "see its metrics"


def _figure(window: Window, rows: list[Any]) -> Figure:
    """Events a step, the most frequent kinds apart."""
    counts: dict[str, series.Series] = {}
    for row in rows:
        name = facility_charts.event_words(row)
        values = counts.setdefault(name, np.zeros(window.points))
        at = round((row.bucket_s - window.start_s) / window.step_s)
        if 0 <= at < window.points:
            values[at] += row.count
    order = sorted(counts, key=lambda name: -float(counts[name].sum()))
    lines = [
        Line(name, counts[name], COLOURS[n], fill="stack")
        for n, name in enumerate(order[:KINDS_APART_MAX])
    ]
    if rest := [counts[name] for name in order[KINDS_APART_MAX:]]:
        lines.append(Line("others", np.sum(rest, axis=0), "muted", fill="stack"))
    unit = f"every {window.step_s} s" if window.step_s < 60 else f"every {window.step_s // 60} min"
    return timeline(window, [Panel("Events", unit, lines, bars=True)], panel_px=230)


def _kinds(rows: list[Any]) -> Component:
    if not rows:
        return elements.empty("Nothing happened", "No hardware event in this range.")
    shown = [
        [
            elements.tag(
                facility_charts.event_words(row),
                {"critical": "bad", "warning": "warn"}.get(
                    row.severity or "", facility_charts.event_tone(row)
                ),
            ),
            number(row.count),
            number(row.accelerators),
            [row.meaning or DASH, html.Small(row.action or "")],
            elements.since(row.newest_s),
        ]
        for row in rows
    ]
    columns = (
        ("Event", ""), ("Count", "num"), ("GPUs", "num"), ("Meaning", "wide"), ("Newest", "num"),
    )  # fmt: skip
    return elements.table(columns, shown)


def _offenders(view: View, picture: Picture, rows: list[Any]) -> Component:
    if not rows:
        return elements.empty("Nobody", "No accelerator had an event in this range.")
    names = {f.facility_id: f for f in picture.facilities}
    shown = []
    for row in rows:
        facility = names.get(row.facility_id)
        slug = "" if facility is None else facility.slug
        href = view.elsewhere("/host", facility=slug, host=row.host, gpu=str(row.index))
        shown.append(
            [
                dcc.Link(f"{row.host} · GPU {row.index}", href=href),
                html.Code(row.serial or DASH),
                number(row.count),
                ", ".join(word.replace("_", " ") for word in row.what),
                elements.since(row.newest_s),
            ]
        )
    columns = (
        ("Accelerator", ""), ("Serial", ""), ("Events", "num"), ("What", "wide"), ("Newest", "num"),
    )  # fmt: skip
    return elements.table(columns, shown)
