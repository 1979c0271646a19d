"""Health: what is wrong with the hardware now, what happened to it, and who offends again."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from dash import dcc, html
from dash.development.base_component import Component
from numpy.typing import NDArray

from dashboard import annotations, chosen, elements, past, seat, shell
from dashboard.charts import health as charts
from dashboard.charts import series
from dashboard.past import Past
from dashboard.places import Facility, Rack
from dashboard.sources import Slots, Sources
from dashboard.states import HEALTHY, LABELS, SENTENCES, TROUBLED, Codes, State
from dashboard.summary import short_place
from dashboard.view import View, Window
from dashboard.wording import DASH, moment, number, plural

NAME = "Health"

GOOD_FOR_S = 5.0
OFFENDERS_GOOD_FOR_S = 60.0
OFFENDERS_SPAN_S = 30 * 86_400
SHOWN_MAX = 30
POINTS_MAX = 120
# Gravest first.
ORDER = (State.LOST, State.FAILED, State.PREDICTED_FAILURE, State.DEGRADED)
TILES = (*TROUBLED, State.STALE, State.UNKNOWN, State.ABSENT)
TILE_TONES = {State.FAILED: "bad", State.LOST: "bad", State.DEGRADED: "warn", State.STALE: "warn"}


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    return [
        shell.heading(view, "Health", elements.slot("health-switch")),
        elements.slot("health-note"),
        elements.slot("health-chosen"),
        elements.slot("health-tiles", "States", "tiles"),
        elements.section(
            "What happened, by code",
            elements.graph("health-chart"),
            elements.slot("health-key"),
        ),
        elements.section("Wrong now, and what it asks for", elements.slot("health-now")),
        html.Div(
            [
                elements.section("Worst hosts of this range", elements.slot("health-hosts")),
                elements.section("Repeat offenders of 30 days", elements.slot("health-offenders")),
            ],
            className="columns even",
        ),
        elements.section("What the codes mean", elements.slot("health-codes")),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    picture = sources.picture
    window = past.steady(view.window(sources.now_s, POINTS_MAX))
    facility = picture.facility(view.get("facility"))
    racks = chosen.racks(picture, view)
    states = picture.states(sources.now_s)
    seats = _seats(len(states), facility, racks)
    sick = _sick(states, seats)
    values = {
        "start_s": window.start_s,
        "end_s": window.end_s,
        "step_s": window.step_s,
        "facility_id": None if facility is None else facility.facility_id,
        "rack_ids": None if racks is None else [rack.rack_id for rack in racks],
        "gpu_ids": picture.gpu_ids[sick[:SHOWN_MAX]].tolist(),
    }
    found, ever = await _ask(view, sources, values)
    kinds = charts.kinds(found.of("timeline"))
    marks = await annotations.incident_marks(view, sources, window, values["facility_id"])
    names = picture.facility_by_id
    return {
        "health-switch": {"children": seat.facility_switch(view, picture)},
        "health-chosen": {"children": chosen.notice(view, racks)},
        "health-note": {"children": past.notes(window.note, found.trouble or ever.trouble)},
        "health-tiles": {"children": _tiles(states[seats])},
        "health-chart": {"figure": charts.figure(window, kinds, marks) if kinds else None},
        "health-key": {"children": _key(kinds)},
        "health-now": {"children": _now(view, sources, states, sick, found)},
        "health-hosts": {"children": _hosts(view, names, found)},
        "health-offenders": {"children": _offenders(view, names, ever, sources.now_s)},
        "health-codes": {"children": _codes(kinds)},
    }


async def _ask(view: View, sources: Sources, values: Mapping[str, Any]) -> tuple[Past, Past]:
    place = (values["facility_id"], tuple(values["rack_ids"] or ()))
    found = await past.ask(
        sources, "health", ("timeline", "worst_hosts"), values,
        question=(place, past.times(view)), good_for_s=GOOD_FOR_S,
    )  # fmt: skip
    seats = await past.ask(
        sources, "health", ("since", "identities"), values,
        question=tuple(values["gpu_ids"]), good_for_s=GOOD_FOR_S,
    )  # fmt: skip
    found.rows |= seats.rows
    ever = await past.ask(
        sources, "health", ("offenders",), values,
        question=place, good_for_s=OFFENDERS_GOOD_FOR_S,
    )  # fmt: skip
    return found, ever


def _seats(count: int, facility: Facility | None, racks: list[Rack] | None) -> NDArray[np.int64]:
    """Return the seats that the address asks for."""
    inside = slice(0, count) if facility is None else facility.seats
    seats = np.arange(count)[inside]
    return seats if racks is None else np.intersect1d(seats, chosen.seats(racks))


def _sick(states: Codes, seats: NDArray[np.int64]) -> list[int]:
    """Return the seats in trouble, gravest first."""
    found: list[int] = []
    for state in ORDER:
        found += seats[states[seats] == state].tolist()
    return found


def _tiles(states: Codes) -> list[Component]:
    counts = np.bincount(states, minlength=len(State))
    return [
        elements.tile(
            [html.I(className=f"swatch {elements.TONES[state]}"), LABELS[state].capitalize()],
            number(int(counts[state])),
            SENTENCES[state],
            TILE_TONES.get(state, "") if counts[state] else "",
        )
        for state in TILES
    ]


def _key(kinds: Sequence[charts.Kind]) -> Component | None:
    """Return what the marks mean; nothing where there is none."""
    present = {kind.severity for kind in kinds}
    words = (("critical", "act now"), ("warning", "look soon"), ("", "wakes nobody"))
    shown = [
        html.Span([html.I(className=f"event-mark mark-{severity or 'quiet'}"), word])
        for severity, word in words
        if severity in present
    ]
    return html.Div(shown, className="legend") if shown else None


def _now(
    view: View, sources: Sources, states: Codes, sick: Sequence[int], found: Past
) -> Component:
    """Accelerators in trouble: gravest first, what each asks for, and since when it is known."""
    picture = sources.picture
    if not len(states):
        return elements.well("No accelerator is known yet.", looked=False)
    if not sick:
        looked = bool(np.isin(states, HEALTHY).any())
        return elements.well("No accelerator that can be seen is in trouble.", looked=looked)
    since = {row.gpu_id: row.time_s for row in found.of("since")}
    serials = {row.gpu_id: row.serial for row in found.of("identities")}
    rows = []
    for n in sick[:SHOWN_MAX]:
        host = picture.hosts[int(picture.host_of[n])]
        facility = seat.facility_of(picture, host.facility_id)
        index, gpu_id = str(int(picture.index_of[n])), int(picture.gpu_ids[n])
        state = State(int(states[n]))
        href = view.elsewhere("/host", facility=facility.slug, host=host.name, gpu=index)
        place = f"{facility.title} · {short_place(host.place)}"
        said = seat.complaints(picture, n, state) or [SENTENCES[state]]
        rows.append(
            [
                elements.state_word(state),
                [
                    dcc.Link(f"{host.name} · GPU {index}", href=href),
                    html.Small(place, className="below"),
                ],
                "; ".join(said),
                html.Span(serials.get(gpu_id) or DASH, className="mono"),
                elements.since(since.get(gpu_id)),
            ]
        )
    columns = (
        ("State", ""), ("Where", ""), ("Why, and what the driver asks for", "wide"),
        ("Serial", ""), ("Last event", "num"),
    )  # fmt: skip
    table = elements.table(columns, rows, "tight")
    more = len(sick) - len(rows)
    href = view.elsewhere("/host", facility=view.get("facility"))
    note = dcc.Link(f"and {plural(more, 'more')}: see Hosts", href=href, className="more")
    return html.Div([table, note] if more > 0 else [table])


def _hosts(view: View, names: Mapping[int, Facility], found: Past) -> Component:
    rows = found.of("worst_hosts")
    if not rows:
        return _empty(found.trouble, "No host had a fault in this range.", looked=bool(names))
    shown = [
        [
            _link(view, names, row.facility_id, row.host),
            number(row.faults),
            number(row.accelerators),
            _tags(row.what),
            elements.since(row.newest_s),
        ]
        for row in rows
    ]
    columns = (
        ("Host", ""), ("Faults", "num"), ("GPUs", "num"), ("What", "wide"), ("Newest", "num"),
    )  # fmt: skip
    return elements.table(columns, shown, "tight")


def _offenders(view: View, names: Mapping[int, Facility], ever: Past, now_s: float) -> Component:
    rows = ever.of("offenders")
    if not rows:
        words = "No board had a fault on two occasions."
        return _empty(ever.trouble, words, looked=bool(names))
    shown = []
    for row in rows:
        where = _link(view, names, row.facility_id, row.host, row.index)
        moved = f" · {row.seats} seats" if row.seats > 1 else ""
        shown.append(
            [
                [
                    html.Span(row.board, className="mono"),
                    html.Small([where, moved], className="below"),
                ],
                number(row.occasions),
                _days(row, now_s),
                _tags(row.what),
                elements.since(row.newest_s),
            ]
        )
    columns = (
        ("Board, last seen in", ""), ("Times", "num"), ("30 days", "chart"), ("What", "wide"),
        ("Newest", "num"),
    )  # fmt: skip
    return elements.table(columns, shown, "tight")


def _days(row: Any, now_s: float) -> Component:
    """Return a sparkline of events a day."""
    window = Window(now_s - OFFENDERS_SPAN_S, now_s, 86_400)
    counts = np.zeros(31)
    for time_s in row.times_s:
        counts[min(30, max(0, int((time_s - window.start_s) // 86_400)))] += 1
    return elements.spark(
        series.rounded(counts), f"Events of {row.board} a day", start_s=window.start_s,
        step_s=86_400, tone="heat", unit=f"events on a day up to {moment(now_s)[:10]}",
    )  # fmt: skip


def _link(
    view: View, names: Mapping[int, Facility], facility_id: int, host: str, index: int | None = None
) -> Component:
    facility = names.get(facility_id)
    filters = {"host": host} | ({} if index is None else {"gpu": str(index)})
    href = view.elsewhere("/host", facility="" if facility is None else facility.slug, **filters)
    return dcc.Link(host if index is None else f"{host} · GPU {index}", href=href)


def _tags(words: Sequence[str]) -> Component:
    shown = [word.replace("_", " ").replace("sxid", "SXid").replace("xid", "Xid") for word in words]
    return html.Div([elements.tag(word) for word in shown[:6]], className="tags")


def _empty(trouble: str, well: str, *, looked: bool) -> Component:
    if trouble:
        return elements.empty("Not known", trouble)
    return elements.well(well, looked=looked)


def _codes(kinds: Sequence[charts.Kind]) -> Component:
    if not kinds:
        return html.Div("No hardware event in this range.", className="all-well")
    tones = {"critical": "bad", "warning": "warn"}
    shown = [
        [
            elements.tag(kind.words, tones.get(kind.severity, "")),
            number(kind.count),
            kind.meaning or ("not in the policy" if kind.words.startswith("Xid") else ""),
            kind.action or DASH,
            elements.since(kind.newest_s),
        ]
        for kind in kinds
    ]
    columns = (
        ("Event", ""), ("Count", "num"), ("Meaning", ""), ("What to do", "wide"), ("Newest", "num"),
    )  # fmt: skip
    return elements.table(columns, shown, "tight")
