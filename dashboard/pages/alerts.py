"""Alerts: incidents first, then alerts, who was told, and whether the watcher itself is awake.

Everything here is read from what the alerts program stores; nothing is judged here. One incident,
chosen by its number or by that of one of its alerts, is shown by `incident.py`.
"""

from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboard import elements, past, seat, shell
from dashboard.charts import alerts as charts
from dashboard.charts import lanes
from dashboard.pages import incident
from dashboard.sources import Slots, Sources
from dashboard.view import View
from dashboard.wording import DASH, duration, number, plural, with_unit

NAME = "Alerts"

QUERIES = ("evaluators", "totals", "alerts", "rules", "notices", "silences")
GOOD_FOR_S = 1.0
SILENT_S = 60.0
ALERTS_SHOWN = 60


def layout(view: View) -> list[Component]:
    """Return the fixed parts: of one incident, or of all."""
    if incident.is_chosen(view):
        return incident.layout(view)
    return [
        shell.heading(view, "Alerts"),
        elements.slot("alerts-note"),
        elements.slot("alerts-tiles", "Totals", "tiles"),
        elements.section("Open incidents", elements.slot("alerts-incidents")),
        elements.section(
            "Incidents over time",
            elements.graph("alerts-lanes"),
            elements.slot("alerts-legend"),
        ),
        elements.section("Open alerts", elements.slot("alerts-alerts")),
        html.Div(
            [
                elements.section("Who was told", elements.slot("alerts-notices")),
                html.Div(
                    [
                        elements.section("Silences", elements.slot("alerts-silences")),
                        elements.section("Rules", elements.slot("alerts-rules")),
                    ]
                ),
            ],
            className="columns even",
        ),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    if incident.is_chosen(view):
        return await incident.render(view, sources)
    window = past.steady(view.window(sources.now_s))
    values = {
        "start_s": window.start_s,
        "end_s": window.end_s,
        "incident_id": None,
        "limit": ALERTS_SHOWN,
    }
    found = await past.ask(
        sources, "alerts", QUERIES, values, question="all", good_for_s=GOOD_FOR_S
    )
    ever = await past.ask(
        sources, "alerts", ("incidents",), values,
        question=past.times(view), good_for_s=GOOD_FOR_S,
    )  # fmt: skip
    rows = ever.of("incidents")
    opened = [row for row in rows if row.state != "resolved"]
    places = {f.facility_id: f.title for f in sources.picture.facilities}
    drawn = charts.incident_lanes(window, rows, places)
    never = not found.of("evaluators") and not rows
    return {
        "alerts-note": {"children": past.notes(window.note, found.trouble or ever.trouble)},
        "alerts-tiles": {"children": _tiles(found, opened, sources.now_s)},
        "alerts-incidents": {"children": _incidents(view, sources, opened, never=never)},
        "alerts-lanes": {"figure": lanes.figure(window, drawn, alone=True) if drawn else None},
        "alerts-legend": {"children": seat.looks_legend(lanes.shown_looks(drawn))},
        "alerts-alerts": {"children": _alerts(view, sources, found)},
        "alerts-rules": {"children": _rules(found.of("rules"), sources.now_s)},
        "alerts-notices": {"children": incident.notices(view, found.of("notices"), named=True)},
        "alerts-silences": {"children": _silences(found.of("silences"), places)},
    }


def _tiles(found: past.Past, opened: list[Any], now_s: float) -> list[Component]:
    counts = {word: sum(row.severity == word for row in opened) for word in elements.SEVERITIES}
    acknowledged = sum(row.state == "acknowledged" for row in opened)
    totals = next(iter(found.of("totals")), None)
    tones = {"critical": "bad", "warning": "warn"}
    tiles = [
        elements.tile(
            word.capitalize(), str(count), plural(count, "open incident"),
            tones.get(word, "") if count else "",
        )
        for word, count in counts.items()
    ]  # fmt: skip
    tiles.append(elements.tile("Acknowledged", str(acknowledged), "somebody has it"))
    if totals is not None:
        muted = f"{totals.inhibited} explained, {totals.silenced} silenced"
        tiles.append(elements.tile("Open alerts", number(totals.open), muted))
    return [*tiles, *_watching(found.of("evaluators"), now_s)]


def _watching(evaluators: list[Any], now_s: float) -> list[Component]:
    """Say whether anybody judges at all: silence of this program must not look like health."""
    awake = [row for row in evaluators if now_s - row.reported_s < SILENT_S]
    unwell = next((row.unhealthy for row in awake if row.unhealthy), "")
    word = "unwell" if unwell else "awake" if awake else "nobody"
    standby = sum(not row.active for row in awake)
    note = unwell or (f"{standby} on standby" if awake else "no alerts program reports")
    passed = max((row.passed_s for row in awake if row.passed_s is not None), default=None)
    beat = max((row.heartbeat_s for row in awake if row.heartbeat_s is not None), default=None)
    waiting = sum(row.outbox_waiting or 0 for row in awake)
    heard = ["heartbeat ", elements.since(beat), " ago"] if beat else "no heartbeat leaves"
    return [
        elements.tile("Watching", word, note, "" if awake and not unwell else "bad"),
        elements.tile("Last look", elements.age(passed, SILENT_S), heard),
        elements.tile("Outbox", number(waiting), "notices wait", "warn" if waiting else ""),
    ]


def _incidents(view: View, sources: Sources, opened: list[Any], *, never: bool) -> Component:
    if never:
        return elements.empty(
            "No alerts program has run yet",
            "Nothing is judged, so nothing here means that all is well. Start it with:",
            "fleetgauge alerts",
        )
    if not opened:
        return elements.well("No open incident.")
    facilities = sources.picture.facility_by_id
    return html.Div(
        [incident.sentence(view, row, facilities) for row in opened], className="incidents one"
    )


def _alerts(view: View, sources: Sources, found: past.Past) -> Component:
    rows = found.of("alerts")
    if not rows:
        if found.trouble:
            return elements.empty("Not known", found.trouble)
        judged = bool(found.of("evaluators"))
        return elements.well("No open alert." if judged else "Nothing is judged.", looked=judged)
    table = incident.alert_table(view, sources, rows)
    totals = next(iter(found.of("totals")), None)
    rest = 0 if totals is None else totals.open - len(rows)
    note = html.Small(f"and {plural(rest, 'more alert')}: see their incident") if rest > 0 else None
    return html.Div([table, note])


def _rules(rows: list[Any], now_s: float) -> Component:
    if not rows:
        return elements.empty("No rule loaded", "Rules appear once the alerts program has run.")
    tones = {"ok": "good", "failed": "bad", "disabled": "warn"}
    shown = [
        [
            [row.title, html.Small(row.error or "", className="below bad")],
            row.severity,
            elements.tag(row.state, tones.get(row.state, "")),
            number(row.offenders),
            with_unit(row.pass_milliseconds, "ms", 1),
            DASH if row.evaluated_s is None else duration(now_s - row.evaluated_s),
        ]
        for row in rows
    ]
    columns = (
        ("Rule", "wide"), ("Severity", ""), ("State", ""), ("Offenders", "num"), ("Took", "num"),
        ("Age", "num"),
    )  # fmt: skip
    return elements.table(columns, shown, "tight")


def _silences(rows: list[Any], places: dict[int, str]) -> Component:
    if not rows:
        return html.Div("Nothing is silenced.", className="all-well")
    shown = []
    for row in rows:
        where = [places.get(row.facility_id, ""), row.host or ""]
        where += [f"GPU {row.index}"] if row.index is not None else []
        what = (row.rule or "every rule").replace("_", " ")
        shown.append(
            [
                [html.B(what), html.Small(" · ".join(filter(None, where)), className="below")],
                [row.comment, html.Small(row.author, className="below")],
                [elements.moment(row.ends_s, "short"), _end_of(row.silence_id)],
            ]
        )
    return elements.table((("Of", ""), ("Why", "wide"), ("Ends", "num")), shown, "tight")


def _end_of(silence_id: int) -> Component:
    """Return the place of a button that ends a silence.

    A live part is the same for all who look; `assets/45-acts.js` fills it for those who may.
    """
    named = elements.attributes({"data-silence": str(silence_id)})
    return html.Div(className="end-silence", **named)
