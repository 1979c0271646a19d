"""Pipeline: the instrument watching itself, from the agents' spools to the age of this page."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from dash import html
from dash.development.base_component import Component

from dashboard import annotations, elements, shell
from dashboard.charts import series
from dashboard.charts.timeline import Line, Mark, Panel, timeline
from dashboard.pages import flow
from dashboard.sources import Slots, Sources
from dashboard.view import View, Window
from dashboard.wording import DASH, brief, number, octets, plural, with_unit

NAME = "Pipeline"

QUERIES = (
    "collectors", "agents", "streams", "quarantine", "identities", "delivery", "gaps",
    "lost_ranges", "database",
)  # fmt: skip
GOOD_FOR_S = 2.0

Rows = dict[str, list[Any]]


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    return [
        shell.heading(view, "Pipeline"),
        elements.slot("pipeline-flow", "From host to screen", "flow"),
        elements.slot("pipeline-notes"),
        html.Div(
            [
                elements.section("Collectors", elements.slot("pipeline-collectors")),
                elements.section("Ingest", elements.graph("pipeline-chart")),
            ],
            className="columns even",
        ),
        elements.section("Agents", elements.slot("pipeline-agents")),
        html.Div(
            [
                elements.section("Quarantine, last 24 h", elements.slot("pipeline-quarantine")),
                elements.section(
                    "Accounts: sent = stored + dropped + on the way",
                    elements.slot("pipeline-accounts"),
                ),
            ],
            className="columns even",
        ),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    window = view.window(sources.now_s, 200)
    rows: Rows = {}
    for name in QUERIES:

        async def ask(name: str = name) -> list[Any]:
            return await sources.queries.rows("pipeline", name)

        rows[name] = await sources.history.get(("pipeline", name), GOOD_FOR_S, ask)

    async def ask_ingest() -> list[Any]:
        values = {
            "start_s": window.start_s,
            "end_s": window.end_s,
            "step_s": window.step_s,
            "rollup_s": window.rollup_s,
        }
        return await sources.queries.rows("pipeline", "ingest", values)

    times = ("ingest", view.range_name, view.get("from"), view.get("to"))
    ingest = await sources.history.get(times, max(5.0, window.step_s / 4), ask_ingest)
    marks = await annotations.incident_marks(view, sources, window)
    return {
        "pipeline-flow": {"children": flow.stations(rows, sources)},
        "pipeline-notes": {"children": _notes(rows)},
        "pipeline-collectors": {"children": _collectors(rows["collectors"], sources.now_s)},
        "pipeline-chart": {"figure": _figure(window, ingest, marks)},
        "pipeline-agents": {"children": _agents(rows["agents"], sources)},
        "pipeline-quarantine": {
            "children": _quarantine(rows["quarantine"], heard=bool(rows["agents"]))
        },
        "pipeline-accounts": {"children": _accounts(rows)},
    }


def _notes(rows: Rows) -> list[Component]:
    """What an operator should know about the whole pipe, in sentences."""
    notes = []
    unsigned = sum(row.known - row.signed for row in rows["agents"])
    if unsigned:
        notes.append(
            f"{plural(unsigned, 'agent sends', 'agents send')} unsigned messages: whoever reaches "
            "the broker could speak for these hosts."
        )
    unchecked = sum(row.signatures != "required" for row in rows["collectors"])
    if unchecked:
        notes.append(
            f"{plural(unchecked, 'collector stores', 'collectors store')} messages that no "
            "enrolled key stands for; with signatures = required they go to quarantine."
        )
    notes += [
        f"The Kafka client of {row.instance} has stood still "
        f"{plural(row.fetch_stalls, 'time')} since its start, and was replaced."
        for row in rows["collectors"]
        if row.fetch_stalls
    ]
    notes += [
        f"{row.reason}: {plural(row.messages, 'message')} in the name of "
        f"{row.host or 'hosts that nobody knows' if row.hosts == 1 else plural(row.hosts, 'host')}"
        f"{', refused' if row.refused else ', stored all the same'}."
        for row in rows["identities"]
    ]
    if not rows["collectors"]:
        notes.append("No collector has reported within a day: nothing is being stored.")
    notes += [
        f"{row.topic}: {number(row.messages)} messages were deleted by the broker before they "
        f"were read ({row.reason})."
        for row in rows["lost_ranges"]
    ]
    return [html.Div(note, className="note-line") for note in notes]


def _collectors(rows: list[Any], now_s: float) -> Component:
    if not rows:
        return elements.empty(
            "No collector", "Nobody moves messages from the broker to here.", "fleetgauge collector"
        )
    shown = [
        [
            [html.B(row.instance), html.Small(f" {row.version}")],
            brief(row.rows_per_second),
            brief(row.rows_stored),
            flow.duration_ms(row.commit_seconds),
            [brief(sum((row.lag or {}).values())), *_catching_up(row)],
            number(row.messages_quarantined),
            _condition(row, now_s),
            elements.age(row.reported_s, flow.COLLECTOR_SILENT_S),
        ]
        for row in rows
    ]
    columns = (
        ("Collector", ""), ("Rows/s", "num"), ("Stored", "num"), ("Commit", "num"),
        ("Behind", "num"), ("Quarantined", "num"), ("State", ""), ("Heard", "num"),
    )  # fmt: skip
    return elements.table(columns, shown)


def _catching_up(row: Any) -> list[Component]:
    """Return what this collector has left behind and reads beside live messages, in short lines."""
    left = sum((row.backlog or {}).values())
    words = flow.catching_up(left, row.backlog_per_second).split(", ") if left else []
    return [html.Small(word, className="below warned") for word in words]


def _condition(row: Any, now_s: float) -> Component:
    if row.waiting_for:
        return html.Div([elements.tag("waits", "warn"), html.Small(f" for {row.waiting_for}")])
    if not flow.is_alive(row, now_s):
        return elements.tag("silent", "bad")
    return elements.tag("storing", "good")


def _figure(window: Window, rows: list[Any], opened: Sequence[Mark]) -> dict[str, Any]:
    rate = series.on_grid(rows, window, ("rows_per_second",))["rows_per_second"]
    if len(rate) and not np.isnan(rate[-1]):
        rate[-1] = np.nan  # the unfinished step is always low
    panel = Panel("Stored for each moment", "rows/s", [Line("", rate, "load", fill="area")])
    return timeline(window, [panel], opened, panel_px=170, silence=rate[:-1])


def _agents(rows: list[Any], sources: Sources) -> Component:
    by_id = {row.facility_id: row for row in rows}
    shown = []
    for facility in sources.picture.facilities:
        row = by_id.get(facility.facility_id)
        if row is None:
            continue
        silent = row.known - row.heard
        shown.append(
            [
                html.B(facility.title),
                number(row.hosts),
                [number(row.heard), html.Small(f" · {number(silent)} silent", className="warned")]
                if silent
                else number(row.heard),
                ", ".join(row.versions or []) or DASH,
                brief(row.spool_messages),
                octets(row.spool_bytes),
                elements.since(row.spool_oldest_s),
                DASH if row.tick_milliseconds_max is None
                else with_unit(row.tick_milliseconds_max, "ms", 1),
                octets(row.resident_bytes_max),
                DASH if not row.known else "signed" if row.signed == row.known else "unsigned",
                elements.age(row.newest_s, 60),
            ]
        )  # fmt: skip
    if not shown:
        return elements.empty("No agent yet", "No host has reported.", "fleetgauge agent")
    columns = (
        ("Facility", ""), ("Hosts", "num"), ("Heard", "num"), ("Agent", ""), ("Spooled", "num"),
        ("Spool size", "num"), ("Oldest", "num"), ("Slowest tick", "num"), ("Memory", "num"),
        ("Messages", ""), ("Newest", "num"),
    )  # fmt: skip
    return elements.table(columns, shown)


def _quarantine(rows: list[Any], *, heard: bool) -> Component:
    if not rows:
        return elements.well("Every message could be read.", looked=heard)
    shown = [
        [
            elements.tag(row.reason, "warn"),
            number(row.count),
            [row.detail, html.Small(f"{row.topic} [{row.partition}] @ {row.offset}")],
            octets(row.payload_bytes),
            elements.since(row.newest_s),
        ]
        for row in rows
    ]
    columns = (
        ("Reason", ""),
        ("Count", "num"),
        ("Newest", "wide"),
        ("Size", "num"),
        ("Ago", "num"),
    )
    return elements.table(columns, shown, "stacked")


def _accounts(rows: Rows) -> Component:
    """Per stream: what was given out, and where each of it is."""
    if not rows["delivery"]:
        return elements.empty("Nothing sent yet", "No host has given out a message.")
    shown = []
    for row in rows["delivery"]:
        own = [gap for gap in rows["gaps"] if gap.stream == row.stream]
        dropped = sum(gap.messages for gap in own if gap.reason is not None)
        missing = sum(gap.messages for gap in own if gap.reason is None)
        sent = row.stored + dropped + missing + row.not_arrived
        shown.append(
            [
                html.B(row.stream),
                number(sent),
                number(row.stored),
                number(dropped),
                html.Span(number(missing), className="warned" if missing else ""),
                number(row.not_arrived),
                number(row.repeated),
            ]
        )
    unexplained = "nobody has said why yet; they may still come"
    if any(row.left_behind for row in rows["streams"]):
        unexplained = "not read yet, or not arrived: older messages are left behind"
    reasons = [
        html.Div(
            f"{gap.stream}: {plural(gap.messages, 'message')} of {plural(gap.hosts, 'host')} — "
            + (gap.reason or unexplained),
            className="note-line",
        )
        for gap in rows["gaps"]
    ]
    columns = (
        ("Stream", ""), ("Sent", "num"), ("Stored", "num"), ("Dropped", "num"),
        ("Unexplained", "num"), ("On the way", "num"), ("Repeats", "num"),
    )  # fmt: skip
    return html.Div([elements.table(columns, shown), *reasons])
