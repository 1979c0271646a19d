"""Queues: what waits, where, for how long, and when it will be gone."""

from typing import Any

import numpy as np
from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements, shell
from dashboard.broadcast import Slots, Sources
from dashboard.charts import series
from dashboard.charts.timeline import Figure, Line, Panel, timeline
from dashboard.summary import QUEUE_STALE_S, backlog
from dashboard.view import View, Window
from dashboard.wording import DASH, brief, drain_words, duration, plural, with_unit

NAME = "Queues"

GOOD_FOR_S = 5.0
APART_MAX = 6
COLOURS = ("backlog", "load", "second", "third", "heat", "power")
GRAPH = {"displayModeBar": False, "responsive": True, "doubleClick": False}

Key = tuple[Any, ...]


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    return [
        shell.heading(view, "Queues", elements.slot("queues-switch")),
        elements.slot("queues-tiles", "Totals", "tiles"),
        html.Div(
            dcc.Graph(id="queues-chart", config=GRAPH, figure={}, className="timeline"),
            className="section",
        ),
        elements.section("Every queue", elements.slot("queues-table")),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    window = view.window(sources.now_s)
    picture = sources.picture
    names = {f.facility_id: f for f in picture.facilities}
    chosen = picture.facility(view.get("facility"))
    queues = [q for q in picture.queues if chosen is None or q.facility_id == chosen.facility_id]
    if not queues:
        told = elements.empty(
            "No queue source yet",
            "No agent here reads a scheduler or a model server. Name one in the agent's file.",
        )
        blank = ("queues-switch", "queues-tiles")
        return {"queues-table": {"children": told}, **dict.fromkeys(blank, {"children": None})}
    rows = await _past(view, window, None if chosen is None else chosen.facility_id, sources)
    keys = ("facility_id", "source", "queue")
    in_gpus = any(row.gpus is not None for row in rows)
    size = series.stacked(rows, window, "gpus" if in_gpus else "waiting", keys)
    entries = series.stacked(rows, window, "waiting", keys)
    return {
        "queues-switch": {"children": _switch(view, sources)},
        "queues-tiles": {"children": _tiles(queues, size, window)},
        "queues-chart": {"figure": _figure(window, rows, size, names, in_gpus=in_gpus)},
        "queues-table": {"children": _table(view, queues, entries, names, window)},
    }


async def _past(view: View, window: Window, facility_id: int | None, sources: Sources) -> list[Any]:
    values = {
        "start_s": window.start_s,
        "end_s": window.end_s,
        "step_s": window.step_s,
        "facility_id": facility_id,
    }

    async def ask() -> list[Any]:
        return await sources.queries.rows("queues", "past", values)

    question = ("queues", facility_id, view.range_name, view.get("from"), view.get("to"))
    rows: list[Any] = await sources.history.get(question, max(GOOD_FOR_S, window.step_s / 4), ask)
    return rows


def _switch(view: View, sources: Sources) -> Component:
    with_queues = {q.facility_id for q in sources.picture.queues}
    items = [("All", view.href(facility=None), not view.get("facility"))]
    items += [
        (f.title, view.href(facility=f.slug), view.get("facility") == f.slug)
        for f in sources.picture.facilities
        if f.facility_id in with_queues
    ]
    return elements.choices(items, "Facility")


def _tiles(queues: list[Any], size: dict[Key, series.Series], window: Window) -> list[Component]:
    whole = backlog(queues)
    trend = series.drain(series.total(size.values(), window.points), window.step_s)
    gpus = [
        elements.tile("GPUs waiting", brief(whole.gpus), drain_words(whole.gpus, trend))
    ] if whole.gpus is not None else []  # fmt: skip
    hours = [
        elements.tile("GPU-hours waiting", brief(whole.gpu_hours), "as their owners asked")
    ] if whole.gpu_hours is not None else []  # fmt: skip
    wait = duration(whole.oldest_s) if whole.oldest_s else DASH
    flow = "arrive and leave, a second"
    return [
        *gpus,
        *hours,
        elements.tile(
            "Waiting", brief(whole.entries), f"{whole.unit}, {plural(len(queues), 'queue')}"
        ),
        elements.tile("Oldest wait", wait, "of all queues that tell it"),
        elements.tile("Flow", f"{_rate(whole.arrivals)} · {_rate(whole.completions)}", flow),
    ]


def _rate(value: float | None) -> str:
    return DASH if value is None else f"{value:.3g}"


def _figure(
    window: Window,
    rows: list[Any],
    size: dict[Key, series.Series],
    names: dict[int, Any],
    *,
    in_gpus: bool,
) -> Figure:
    order = sorted(size, key=lambda key: -float(np.nansum(size[key])))
    stack = [
        Line(_name(key, names), size[key], COLOURS[n], fill="stack")
        for n, key in enumerate(order[:APART_MAX])
    ]
    if rest := [size[key] for key in order[APART_MAX:]]:
        stack.append(Line("others", series.total(rest, window.points), "muted", fill="stack"))
    keys = ("facility_id", "source", "queue")

    def total(column: str) -> series.Series:
        parts = series.stacked(rows, window, column, keys)
        return series.total(parts.values(), window.points)

    oldest = series.stacked(rows, window, "oldest", keys).values()
    stacked = np.array(list(oldest)) if oldest else np.full((1, window.points), np.nan)
    known = ~np.isnan(stacked).all(axis=0)
    worst = np.full(window.points, np.nan)
    worst[known] = np.nanmax(stacked[:, known], axis=0) / 60
    panels = [
        Panel("Waiting", "GPUs" if in_gpus else "jobs and requests", stack),
        Panel("Oldest wait", "minutes", [Line("", worst, "heat")]),
        Panel(
            "Flow",
            "a second",
            [
                Line("arrive", total("arrivals"), "load"),
                Line("leave", total("completions"), "third", dash="dash"),
            ],
            digits=3,
        ),
    ]
    return timeline(window, panels, panel_px=150)


def _name(key: Key, names: dict[int, Any]) -> str:
    facility = names.get(key[0])
    return f"{key[2]} · {facility.title}" if facility else str(key[2])


def _table(
    view: View,
    queues: list[Any],
    entries: dict[Key, series.Series],
    names: dict[int, Any],
    window: Window,
) -> Component:
    rows = []
    for queue in sorted(queues, key=lambda q: -(q.gpus_waiting or q.waiting or 0)):
        past = entries.get((queue.facility_id, queue.source, queue.queue))
        facility = names.get(queue.facility_id)
        trend = None if past is None else series.drain(past, window.step_s)
        chart = None if past is None else elements.spark(
            series.rounded(past), f"Backlog of {queue.queue}", start_s=window.start_s,
            step_s=window.step_s, tone="backlog", unit=queue.unit,
        )  # fmt: skip
        hours = queue.gpu_seconds_waiting
        wait = queue.oldest_wait_seconds
        rows.append(
            [
                [html.B(queue.queue), html.Small(f" {queue.source}")],
                DASH if facility is None else dcc.Link(
                    facility.title, href=view.elsewhere("/facility", facility=facility.slug)
                ),
                chart,
                [brief(queue.waiting), html.Small(f" {queue.unit}")],
                brief(queue.running),
                brief(queue.gpus_waiting),
                DASH if hours is None else with_unit(hours / 3600, "GPU-h"),
                duration(wait) if wait is not None
                else with_unit(queue.wait_milliseconds, "ms"),
                DASH if queue.waiting is None else drain_words(queue.waiting, trend),
                elements.age(queue.time_s, QUEUE_STALE_S),
            ]
        )  # fmt: skip
    columns = (
        ("Queue", ""), ("Facility", ""), ("", "chart"), ("Waiting", "num"), ("Running", "num"),
        ("GPUs", "num"), ("Work", "num"), ("Oldest wait", "num"), ("Outlook", ""), ("Age", "num"),
    )  # fmt: skip
    return elements.table(columns, rows)
