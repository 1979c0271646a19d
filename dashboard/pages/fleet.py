"""Fleet, the first screen: which facility is in trouble, and is it us, hardware or building?

One row a facility, the totals above, open incidents and every accelerator below.
"""

import contextlib
import math
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboard import elements, incidents, maps, shell
from dashboard.charts import series
from dashboard.pages import facility_row
from dashboard.sources import Slots, Sources
from dashboard.states import State
from dashboard.summary import Summary, summarise
from dashboard.view import View, Window
from dashboard.wording import DASH, brief, number, plural, share, watts
from telemetry.errors import RetryableError

NAME = "Fleet"

HISTORY_GOOD_FOR_S = 10.0
POINTS_MAX = 120
MAP_SIGNALS = ("state", "utilisation", "sm", "headroom", "power", "age")


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    signals = [
        (maps.SIGNALS[name].label, view.href(signal=name), _signal(view) == name)
        for name in MAP_SIGNALS
    ]
    return [
        shell.heading(view, "Fleet"),
        elements.slot("fleet-tiles", "Totals", "tiles"),
        elements.slot("fleet-rows", "Facilities", "fleet-rows"),
        elements.section(
            "Open incidents", elements.slot("fleet-incidents"), class_name="fleet-incidents"
        ),
        elements.section(
            "Every accelerator",
            elements.slot("fleet-map", "Map", "map-band"),
            elements.choices(signals, "Colour by"),
            "fleet-map",
        ),
        elements.slot("fleet-legend", class_name="fleet-legend"),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    window = view.window(sources.now_s, POINTS_MAX)
    summaries, states = summarise(sources.picture, sources.now_s)
    if not summaries:
        return _nothing_yet(sources)
    load: dict[int, Any] = {}
    queues: dict[int, series.Series] = {}
    opened: list[Any] | None = None
    with contextlib.suppress(RetryableError):  # the page goes on with what is in memory
        load, queues = await history(view, window, sources)
        opened = await incidents.opened(sources)
    by_facility = incidents.count_by_facility(opened)
    rows = [
        facility_row.row(
            sources.now_s,
            view,
            window,
            summary,
            load,
            queues,
            None if opened is None else by_facility.get(summary.facility.facility_id, {}),
        )
        for summary in summaries
    ]
    signal = _signal(view)
    mosaic = sources.maps.of(sources.picture)
    codes = maps.levels(sources.picture, states, signal, sources.now_s)
    spec = {
        "layout": sources.blobs(mosaic.layout),
        "values": sources.blobs(maps.cells(mosaic, codes)),
        "ramp": maps.SIGNALS[signal].ramp,
        "mode": "band",
    }
    label = f"Every accelerator of the fleet, coloured by {maps.SIGNALS[signal].label}"
    return {
        "fleet-tiles": {"children": _tiles(summaries, opened)},
        "fleet-rows": {"children": [facility_row.head(), *rows]},
        "fleet-map": {"children": elements.canvas("mosaic", spec, label, "mosaic")},
        "fleet-legend": {"children": shell.signal_legend(signal)},
        "fleet-incidents": {"children": incidents.listing(view, opened, sources)},
    }


def _signal(view: View) -> str:
    return view.get("signal") if view.get("signal") in MAP_SIGNALS else "state"


def _nothing_yet(sources: Sources) -> Slots:
    if sources.as_of_s is None:
        told = elements.empty("Waiting for the database", sources.trouble or "Connecting …")
    else:
        told = elements.empty(
            "No facility yet",
            "The schema is there and nobody has sent anything. Start an agent on a GPU host, "
            "or a simulated facility here:",
            "fleetgauge simulate --facility first --hosts 4",
        )
    parts = ("fleet-tiles", "fleet-map", "fleet-legend", "fleet-incidents")
    return {"fleet-rows": {"children": told}, **{name: {"children": None} for name in parts}}


async def history(
    view: View, window: Window, sources: Sources
) -> tuple[dict[int, Any], dict[int, series.Series]]:
    """Return, by facility, load on the grid, and the backlog's size on the grid."""
    values = {
        "start_s": window.start_s,
        "end_s": window.end_s,
        "step_s": window.step_s,
        "rollup_s": window.rollup_s,
    }
    question = (view.range_name, view.get("from"), view.get("to"))
    good_for_s = max(HISTORY_GOOD_FOR_S, window.step_s / 2)

    async def ask_load() -> list[Any]:
        return await sources.queries.rows("fleet", "load", values)

    async def ask_queues() -> list[Any]:
        return await sources.queries.rows("fleet", "backlog", values)

    load_rows = await sources.history.get(("load", *question), good_for_s, ask_load)
    queue_rows = await sources.history.get(("backlog", *question), good_for_s, ask_queues)
    load = {
        number: series.on_grid(rows, window, ("load_percent", "sm_percent"))
        for number, rows in _by_facility(load_rows).items()
    }
    queues = {}
    for facility_id, rows in _by_facility(queue_rows).items():
        column = "waiting" if all(row.gpus is None for row in rows) else "gpus"
        parts = series.stacked(rows, window, column, ("source", "queue"))
        queues[facility_id] = series.total(parts.values(), window.points)
    return load, queues


def _by_facility(rows: list[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row.facility_id, []).append(row)
    return found


def _tiles(summaries: list[Summary], opened: list[Any] | None) -> list[Component]:
    contracted = sum(s.contracted for s in summaries)
    seen = sum(s.seen for s in summaries)
    healthy = sum(s.healthy for s in summaries)
    busy = sum(s.count(State.BUSY) for s in summaries)
    unseen = contracted - seen
    facilities = plural(len(summaries), "facility", "facilities")
    has_contract = any(s.facility.row.contracted_accelerators for s in summaries)
    whole = "contracted" if has_contract else "known"
    # One decimal would hide three lost accelerators among thousands.
    return [
        elements.tile(
            whole.capitalize(),
            number(contracted),
            f"{'accelerator' if contracted == 1 else 'accelerators'}, {facilities}",
        ),
        elements.tile(
            "Seen now",
            number(seen),
            f"{number(unseen)} not seen" if unseen > 0 else "all of them",
            "warn" if contracted and unseen > 0.02 * contracted else "",
        ),
        elements.tile("Healthy", number(healthy), f"{share(healthy, contracted)} of {whole}"),
        elements.tile("Busy", number(busy), f"{share(busy, healthy)} of healthy"),
        _backlog_tile(summaries),
        _power_tile(summaries),
        _incident_tile(opened),
    ]


def _backlog_tile(summaries: list[Summary]) -> Component:
    hours = [s.backlog.gpu_hours for s in summaries if s.backlog.gpu_hours is not None]
    gpus = [s.backlog.gpus for s in summaries if s.backlog.gpus is not None]
    entries = sum(s.backlog.entries or 0 for s in summaries)
    waiting = brief(entries)
    words = "job or request waits" if waiting == "1" else "jobs and requests wait"
    note = f"{waiting} {words}"
    if hours:
        return elements.tile("Backlog", elements.counted(sum(hours), "GPU-h"), note)
    if gpus:
        return elements.tile("Backlog", elements.counted(sum(gpus), "GPUs"), note)
    known = any(s.backlog.entries is not None for s in summaries)
    if not known:
        return elements.tile("Backlog", DASH, "no queue source")
    return elements.tile("Backlog", waiting, words)


def _power_tile(summaries: list[Summary]) -> Component:
    told = [s.power_mw for s in summaries if not math.isnan(s.power_mw)]
    leased = sum(s.facility.row.contracted_power_watts or 0 for s in summaries)
    note = f"of {watts(leased * 1000)} leased" if leased else "accelerators only"
    return elements.tile("Power", watts(sum(told)) if told else DASH, note)


def _incident_tile(opened: list[Any] | None) -> Component:
    if opened is None:
        return elements.tile("Incidents", DASH, "not known")
    counts = incidents.count_by_severity(opened)
    value: list[Any] = []
    for severity in elements.SEVERITIES:
        value += [html.Span(" · ", className="quiet")] if value else []
        tone = severity if counts.get(severity) else "quiet"
        value.append(html.Span(str(counts.get(severity, 0)), className=f"count-{tone}"))
    return elements.tile("Incidents", value, "critical · warning · info")
