"""Queues: what waits, where, for how long, and when it will be gone."""

from collections.abc import Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import annotations, elements, past, shell
from dashboard.charts import queues as charts
from dashboard.charts import series
from dashboard.charts.queues import Measure, Parts
from dashboard.sources import Slots, Sources
from dashboard.summary import QUEUE_STALE_S, backlog
from dashboard.view import View, Window
from dashboard.wording import (
    DASH,
    brief,
    drain_words,
    duration,
    number,
    plural,
    roughly,
    unit_of,
    with_unit,
)

NAME = "Queues"

GOOD_FOR_S = 5.0
NOT_TOLD_NAMED_MAX = 6


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    return [
        shell.heading(view, "Queues", elements.slot("queues-switch")),
        elements.slot("queues-note"),
        elements.slot("queues-tiles", "Totals", "tiles"),
        elements.section(
            "Backlog and its outlook",
            elements.graph("queues-chart"),
            elements.slot("queues-measures"),
        ),
        elements.slot("queues-silent"),
        elements.slot("queues-facilities"),
        elements.section("Every queue", elements.slot("queues-table")),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    picture = sources.picture
    chosen = picture.facility(view.get("facility"))
    queues = [q for q in picture.queues if chosen is None or q.facility_id == chosen.facility_id]
    if not queues:
        return _nothing(view, sources)
    window = past.steady(view.window(sources.now_s))
    values = {
        "start_s": window.start_s,
        "end_s": window.end_s,
        "step_s": window.step_s,
        "facility_id": None if chosen is None else chosen.facility_id,
    }
    found = await past.ask(
        sources, "queues", ("past",), values,
        question=(values["facility_id"], past.times(view)),
        good_for_s=max(GOOD_FOR_S, window.step_s / 4),
    )  # fmt: skip
    offered = charts.measures(queues)
    word = view.get("signal") if view.get("signal") in offered else next(iter(offered), "")
    measure = offered.get(word, Measure("entries", "entries", queues[0].unit))
    parts = charts.sizes(window, found.of("past"), measure)
    names = {} if chosen else {f.facility_id: f.title for f in picture.facilities}
    marks = await annotations.incident_marks(
        view, sources, window, None if chosen is None else chosen.facility_id
    )
    drawn = await past.kept(
        sources,
        ("queues", values["facility_id"], word, past.times(view)),
        (window, found.of("past"), names, marks),
        lambda: charts.figure(window, found.of("past"), parts, measure, names, marks),
    )
    return {
        "queues-switch": {"children": _switch(view, sources)},
        "queues-note": {"children": past.notes(window.note, found.trouble)},
        "queues-tiles": {"children": _tiles(queues, parts, measure, window, sources.now_s)},
        "queues-measures": {"children": _measures(view, offered, word)},
        "queues-chart": {"figure": drawn},
        "queues-silent": {"children": _not_told(queues, measure)},
        "queues-facilities": {
            "children": None if chosen else _by_facility(view, sources, parts, measure, window)
        },
        "queues-table": {"children": _table(view, sources, queues, parts, measure, window)},
    }


def _nothing(view: View, sources: Sources) -> Slots:
    if sources.as_of_s is None:
        told = elements.empty("Waiting for the database", sources.trouble or "Connecting …")
    else:
        told = elements.empty(
            "No queue source here",
            "No agent here reads a scheduler or a model server, so it is not known whether anybody "
            "waits. Name a source in an agent's settings:",
            "fleetgauge agent --help",
        )
    blank = ("note", "tiles", "measures", "silent", "facilities")
    return {
        "queues-switch": {"children": _switch(view, sources)},
        "queues-table": {"children": told},
        **{f"queues-{name}": {"children": None} for name in blank},
    }


def _switch(view: View, sources: Sources) -> Component:
    with_queues = {q.facility_id for q in sources.picture.queues}
    items = [("all", view.href(facility=None, signal=None), not view.get("facility"))]
    items += [
        (f.title, view.href(facility=f.slug, signal=None), view.get("facility") == f.slug)
        for f in sources.picture.facilities
        if f.facility_id in with_queues
    ]
    return elements.choices(items[:13], "Facility")


def _measures(view: View, offered: dict[str, Measure], word: str) -> Component:
    items = [(m.label, view.href(signal=name), name == word) for name, m in offered.items()]
    return elements.choices(items, "Measured in")


def _tiles(
    queues: Sequence[Any], parts: Parts, measure: Measure, window: Window, now_s: float
) -> list[Component]:
    whole = backlog(list(queues))
    told = [size for q in queues if (size := charts.size_now(q, measure)) is not None]
    trend = series.drain(series.total(parts.values(), window.points), window.step_s)
    size = sum(told) if told else None
    stale = sum(now_s - queue.time_s > QUEUE_STALE_S for queue in queues)
    units = sorted({queue.unit for queue in queues if queue.waiting is not None})
    tiles = [
        elements.tile(
            "Waiting", elements.counted(size, measure.unit),
            f"in {len(told)} of {plural(len(queues), 'queue')}",
        ),
        _outlook_tile(size, trend, measure.unit),
    ]  # fmt: skip
    if whole.gpu_hours is not None and measure.column != "hours":
        hours = elements.counted(whole.gpu_hours, "GPU-h")
        tiles.append(elements.tile("Work waiting", hours, "as its owners asked for it"))
    for unit in units[:2]:
        waiting = sum(q.waiting or 0 for q in queues if q.unit == unit)
        running = [q.running for q in queues if q.unit == unit and q.running is not None]
        note = f"{brief(sum(running))} run" if running else "how many run is not told"
        tiles.append(elements.tile(unit.capitalize(), brief(waiting), note))
    oldest = duration(whole.oldest_s) if whole.oldest_s else DASH
    tiles.append(elements.tile("Oldest wait", oldest, "of the queues that tell it"))
    tiles.append(
        elements.tile(
            "Sources", "live" if not stale else f"{stale} stale",
            "each asked within 3 minutes" if not stale else f"of {plural(len(queues), 'queue')}",
            "warn" if stale else "",
        )
    )  # fmt: skip
    return tiles


def _outlook_tile(size: float | None, trend: series.Drain | None, unit: str) -> Component:
    """Say when the backlog is gone and within which band; or that it is not known, or grows."""
    if size is None or trend is None:
        return elements.tile("Empty in", DASH, "no trend yet")
    if size <= 0:
        return elements.tile("Empty in", "now", "nothing waits")
    if trend.seconds is None:
        word = "grows" if trend.per_hour >= 0.02 * size else "steady"
        tone = "warn" if word == "grows" else ""
        change = number(trend.per_hour, sign="+")
        return elements.tile("Trend", word, f"{change} {unit_of(change, unit)} an hour", tone)
    low = "now" if trend.low_s is None else roughly(trend.low_s)
    high = "never" if trend.high_s is None else roughly(trend.high_s)
    return elements.tile("Empty in", roughly(trend.seconds), f"band {low} to {high}")


def _not_told(queues: Sequence[Any], measure: Measure) -> Component | None:
    """Name the queues that the chart cannot show in this measure."""
    silent = [q.queue for q in queues if charts.size_now(q, measure) is None]
    if not silent:
        return None
    named = ", ".join(silent[:NOT_TOLD_NAMED_MAX])
    more = (
        f" and {len(silent) - NOT_TOLD_NAMED_MAX} more" if len(silent) > NOT_TOLD_NAMED_MAX else ""
    )
    text = f"Not in this chart, because their sources do not tell {measure.label}: {named}{more}."
    return html.Small(text)


def _by_facility(
    view: View, sources: Sources, parts: Parts, measure: Measure, window: Window
) -> Component | None:
    """Return a row a facility; nothing where there is only one."""
    rows = []
    for facility in sources.picture.facilities:
        own = [q for q in sources.picture.queues if q.facility_id == facility.facility_id]
        if not own:
            continue
        past_own = [v for key, v in parts.items() if key[0] == facility.facility_id]
        total = series.total(past_own, window.points)
        told = [size for q in own if (size := charts.size_now(q, measure)) is not None]
        whole = backlog(own)
        trend = series.drain(total, window.step_s)
        size = sum(told) if told else None
        rows.append(
            [
                dcc.Link(
                    facility.title, href=view.href(facility=facility.slug), className="strong"
                ),
                plural(len(own), "queue"),
                _spark(total, window, measure, facility.title) if past_own else "",
                with_unit(size, measure.unit),
                with_unit(whole.gpu_hours, "GPU-h"),
                duration(whole.oldest_s),
                DASH if size is None else drain_words(size, trend, measure.unit),
                elements.age(whole.time_s, QUEUE_STALE_S),
            ]
        )
    if len(rows) < 2:
        return None
    columns = (
        ("Facility", ""), ("Queues", ""), ("Trend", "chart"), ("Waiting", "num"), ("Work", "num"),
        ("Oldest wait", "num"), ("Outlook", "wide"), ("Age", "num"),
    )  # fmt: skip
    return elements.section("By facility", elements.table(columns, rows, "tight"))


def _spark(values: series.Series, window: Window, measure: Measure, name: str) -> Component:
    return elements.spark(
        series.rounded(values),
        f"Backlog of {name}",
        start_s=window.start_s,
        step_s=window.step_s,
        tone="backlog",
        unit=measure.unit,
    )


def _table(
    view: View,
    sources: Sources,
    queues: Sequence[Any],
    parts: Parts,
    measure: Measure,
    window: Window,
) -> Component:
    facilities = sources.picture.facility_by_id
    rows = []
    for queue in sorted(queues, key=lambda q: -(charts.size_now(q, measure) or 0)):
        facility = facilities.get(queue.facility_id)
        drawn = parts.get((queue.facility_id, queue.source, queue.queue))
        size = charts.size_now(queue, measure)
        trend = None if drawn is None else series.drain(drawn, window.step_s)
        hours = queue.gpu_seconds_waiting
        rows.append(
            [
                [html.B(queue.queue), html.Small(queue.source, className="below")],
                DASH if facility is None else dcc.Link(
                    facility.title, href=view.elsewhere("/facility", facility=facility.slug)
                ),
                "" if drawn is None else _spark(drawn, window, measure, queue.queue),
                elements.counted(queue.waiting, queue.unit),
                brief(queue.running),
                brief(queue.gpus_waiting),
                DASH if hours is None else with_unit(hours / 3600, "GPU-h"),
                _wait(queue),
                _flow(queue),
                DASH if size is None else drain_words(size, trend, measure.unit),
                elements.age(queue.time_s, QUEUE_STALE_S),
            ]
        )  # fmt: skip
    columns = (
        ("Queue", ""), ("Facility", ""), ("Trend", "chart"), ("Waiting", "num"), ("Running", "num"),
        ("GPUs", "num"), ("Work", "num"), ("Wait", "num"), ("Arrive", ""), ("Outlook", "wide"),
        ("Age", "num"),
    )  # fmt: skip
    return elements.table(columns, rows, "tight")


def _wait(queue: Any) -> list[Any]:
    """The oldest entry's wait and, where the source tells one, its own word for the wait now."""
    own = queue.wait_milliseconds
    told = html.Small(f"{with_unit(own, 'ms')} now", className="below") if own is not None else None
    return [duration(queue.oldest_wait_seconds), told]


def _flow(queue: Any) -> list[Any]:
    leave = f"{charts.rate(queue.completions_per_second)} leave"
    return [charts.rate(queue.arrivals_per_second), html.Small(leave, className="below")]
