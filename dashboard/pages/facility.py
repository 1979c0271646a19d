"""Facility: load, heat and queue of one facility on one time axis, and its racks as a grid."""

import contextlib
import math
from typing import Any

import numpy as np
from dash import dcc, html
from dash.development.base_component import Component

from dashboard import annotations, elements, incidents, maps, shell
from dashboard.charts import facility as charts
from dashboard.charts import series
from dashboard.pages import facility_head
from dashboard.picture import Picture
from dashboard.places import Facility
from dashboard.sources import Slots, Sources
from dashboard.states import Codes, State
from dashboard.summary import Summary, short_place, summarise
from dashboard.view import View, Window
from dashboard.wording import DASH, brief, duration, with_unit
from telemetry.errors import RetryableError

NAME = "Facility"

SIGNALS = ("state", "utilisation", "sm", "headroom", "temperature", "power", "age")
HISTORY_GOOD_FOR_S = 5.0
HOT_HOSTS = 8
RACKS_PX = 430


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    signals = [
        (maps.SIGNALS[name].label, view.href(signal=name), _signal(view) == name)
        for name in SIGNALS
    ]
    return [
        shell.heading(view, elements.slot("facility-title"), elements.slot("facility-switch")),
        elements.slot("facility-note"),
        elements.slot("facility-tiles", "Figures", "tiles"),
        html.Div(
            [
                elements.section("Load, heat, power and queue", elements.graph("facility-chart")),
                html.Div(
                    [
                        elements.section(
                            "Racks",
                            elements.slot("facility-racks"),
                            elements.choices(signals, "Colour by"),
                            "needs-racks",
                        ),
                        html.Div(elements.slot("facility-legend"), className="needs-racks"),
                        elements.section("Backlog by queue", elements.slot("facility-queues")),
                    ]
                ),
            ],
            className="columns",
        ),
        elements.section("Open incidents", elements.slot("facility-incidents")),
        html.Div(
            [
                elements.section(
                    "Least headroom", elements.slot("facility-hot"), class_name="needs-racks"
                ),
                elements.section("Events", elements.slot("facility-events")),
            ],
            className="columns even",
        ),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    picture = sources.picture
    summaries, states = summarise(picture, sources.now_s)
    summary = _chosen(view, summaries)
    if summary is None:
        return _nothing(view, sources)
    facility = summary.facility
    window = view.window(sources.now_s)
    past = await _past(view, window, facility, sources)
    backlog = charts.backlog_parts(window, past["queues"])
    opened: list[Any] | None = None
    with contextlib.suppress(RetryableError):  # the page goes on with what is in memory
        opened = await incidents.opened(sources)
    own = None if opened is None else [r for r in opened if r.facility_id == facility.facility_id]
    marks = await annotations.incident_marks(view, sources, window, facility.facility_id)
    trend = series.drain(series.total(backlog.values(), window.points), window.step_s)
    queues = [q for q in picture.queues if q.facility_id == facility.facility_id]
    return {
        "facility-title": {"children": facility_head.title(summary)},
        "facility-switch": {"children": facility_head.switch(view, summaries, facility)},
        "facility-note": {
            "children": html.Div(window.note, className="note") if window.note else None
        },
        "facility-tiles": {"children": facility_head.tiles(summary, trend)},
        "facility-chart": {"figure": charts.figure(window, summary, past, backlog, marks)},
        "facility-racks": {"children": _racks(view, sources, facility, states)},
        "facility-legend": {"children": _legend(_signal(view))},
        "facility-queues": {"children": _queues(queues, backlog, window)},
        "facility-incidents": {"children": incidents.listing(view, own, sources)},
        "facility-hot": {"children": _hot(view, picture, facility, states, sources.now_s)},
        "facility-events": {"children": _events(view, facility, past["events"])},
    }


def _signal(view: View) -> str:
    return view.get("signal") if view.get("signal") in SIGNALS else "state"


def _chosen(view: View, summaries: list[Summary]) -> Summary | None:
    """Return the facility of the address; without one, the first."""
    wanted = view.get("facility")
    found = [s for s in summaries if s.facility.slug == wanted or not wanted]
    return found[0] if found else None


def _nothing(view: View, sources: Sources) -> Slots:
    if sources.as_of_s is None:
        told = elements.empty("Waiting for the database", sources.trouble or "Connecting …")
    else:
        told = elements.empty("No such facility", f"Nothing is known of {view.get('facility')!r}.")
    blank = (
        "facility-switch", "facility-note", "facility-racks", "facility-legend",
        "facility-queues", "facility-incidents", "facility-hot", "facility-events",
    )  # fmt: skip
    return {
        "facility-title": {"children": view.get("facility") or "Facility"},
        "facility-tiles": {"children": told},
        **{name: {"children": None} for name in blank},
    }


async def _past(
    view: View, window: Window, facility: Facility, sources: Sources
) -> dict[str, list[Any]]:
    """Ask for the series of the window; `live` windows are asked again every few seconds."""
    values = {
        "facility_id": facility.facility_id,
        "start_s": window.start_s,
        "end_s": window.end_s,
        "step_s": window.step_s,
        "rollup_s": window.rollup_s,
        "spread_s": window.spread_s,
    }
    times = (view.range_name, view.get("from"), view.get("to"))
    good_for_s = max(HISTORY_GOOD_FOR_S, window.step_s / 4)
    found: dict[str, list[Any]] = {}
    for name in ("rollup", "racks", "queues", "events"):

        async def ask(name: str = name) -> list[Any]:
            return await sources.queries.rows("facility", name, values)

        question = ("facility", name, facility.facility_id, *times)
        found[name] = []
        with contextlib.suppress(RetryableError):
            found[name] = await sources.history.get(question, good_for_s, ask)
    return found


def _racks(view: View, sources: Sources, facility: Facility, states: Codes) -> Component:
    if facility.seats.start == facility.seats.stop:
        return html.I(className="no-racks")
    signal = _signal(view)
    mosaic = sources.maps.of(sources.picture, facility.slug)
    codes = maps.levels(sources.picture, states, signal, sources.now_s)
    spec = {
        "layout": sources.blobs(mosaic.layout),
        "values": sources.blobs(maps.cells(mosaic, codes)),
        "ramp": maps.SIGNALS[signal].ramp,
        "mode": "racks",
        "height": RACKS_PX,
        "facility": facility.slug,
    }
    label = f"Racks of {facility.title}, coloured by {maps.SIGNALS[signal].label}"
    return elements.canvas("mosaic", spec, label, "mosaic")


def _legend(signal: str) -> Component:
    return shell.signal_legend(signal)


def _queues(queues: list[Any], backlog: dict[Any, series.Series], window: Window) -> Component:
    if not queues:
        return elements.empty("No queue source", "No agent here reads a queue.")
    rows = []
    for queue in sorted(queues, key=lambda q: -(q.gpus_waiting or q.waiting or 0)):
        past = backlog.get((queue.source, queue.queue))
        chart = (
            None
            if past is None
            else elements.spark(
                series.rounded(past),
                f"Backlog of {queue.queue}",
                start_s=window.start_s,
                step_s=window.step_s,
                tone="backlog",
                unit="GPUs" if queue.gpus_waiting is not None else queue.unit,
            )
        )
        rows.append(
            [
                [html.B(queue.queue), html.Small(f" {queue.source}")],
                chart,
                elements.counted(queue.waiting, queue.unit),
                brief(queue.gpus_waiting),
                duration(queue.oldest_wait_seconds),
                elements.age(queue.time_s, 180),
            ]
        )
    columns = (
        ("Queue", ""), ("Trend", "chart"), ("Waiting", "num"), ("GPUs", "num"), ("Oldest", "num"),
        ("Age", "num"),
    )  # fmt: skip
    return elements.table(columns, rows)


def _hot(
    view: View, picture: Picture, facility: Facility, states: Codes, now_s: float
) -> Component:
    """The hosts with the least headroom, worst first."""
    headroom = maps.signal_values(picture, "headroom", now_s)
    shown = states < State.LOST
    spare = np.where(shown, headroom, np.nan)[facility.seats]
    order = np.argsort(np.where(np.isnan(spare), np.inf, spare), kind="stable")
    rows: list[list[Any]] = []
    seen: set[int] = set()
    for seat in (order + facility.seats.start).tolist():
        position = int(picture.host_of[seat])
        if math.isnan(float(headroom[seat])) or not shown[seat] or len(rows) == HOT_HOSTS:
            break
        if position in seen:
            continue
        seen.add(position)
        host = picture.hosts[position]
        heat = float(picture.readings["temperature_gpu_celsius"][seat])
        left = float(headroom[seat])
        load = picture.readings["utilization_gpu_percent"][host.first : host.last]
        told = load[~np.isnan(load)]
        tone = (
            "bad"
            if left <= charts.HEADROOM_SPENT
            else "warned"
            if left <= charts.HEADROOM_LOW
            else ""
        )
        rows.append(
            [
                dcc.Link(
                    host.name, href=view.elsewhere("/host", facility=facility.slug, host=host.name)
                ),
                short_place(host.place),
                f"GPU {int(picture.index_of[seat])}",
                html.B(with_unit(left, "°C"), className=tone),
                with_unit(heat, "°C"),
                with_unit(float(told.mean()), "%") if len(told) else DASH,
            ]
        )
    if not rows:
        return elements.empty("No temperatures", "Nothing here tells its temperature now.")
    columns = (
        ("Host", ""), ("Rack", ""), ("Hottest", ""), ("Headroom", "num"), ("Temperature", "num"),
        ("Load", "num"),
    )  # fmt: skip
    return elements.table(columns, rows)


def _events(view: View, facility: Facility, rows: list[Any]) -> Component:
    if not rows:
        return elements.empty("No events", "Nothing happened in this range.")
    shown = [
        [
            elements.since(row.time_s),
            elements.tag(charts.event_words(row), charts.event_tone(row)),
            [
                dcc.Link(
                    row.host, href=view.elsewhere("/host", facility=facility.slug, host=row.host)
                ),
                "" if row.index is None else f" · GPU {row.index}",
            ],
            row.message,
        ]
        for row in rows[:12]
    ]
    return elements.table(
        (("Ago", "num"), ("Event", ""), ("Where", ""), ("What it said", "wide")), shown
    )
