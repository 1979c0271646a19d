"""One accelerator: state lanes above its main readings, every metric, events, seats, raw readings.

A part of the Hosts page, shown where its address names a GPU; see `host.py`.
"""

from dataclasses import dataclass

from dash import html
from dash.development.base_component import Component

from dashboard import elements, past, seat, shell
from dashboard import told as told_in_words
from dashboard.charts import accelerator as charts
from dashboard.charts import conditions
from dashboard.charts.timeline import Figure
from dashboard.pages import board, metrics
from dashboard.past import Past
from dashboard.places import Host
from dashboard.sources import Slots, Sources
from dashboard.view import STEPS_S, View, Window
from telemetry.metrics import Group

GOOD_FOR_S = 5.0
IDENTITY_GOOD_FOR_S = 10.0
RAW_ROWS = 24
RAW_SPAN_S = 600
NEAR_STEPS = 12
READINGS_SPAN_S_MAX = 3600
SLOW_STEP_S = 60


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    return [
        shell.heading(view, elements.slot("gpu-title"), elements.slot("gpu-switch")),
        elements.slot("gpu-note"),
        elements.slot("gpu-tiles", "Figures", "tiles"),
        elements.slot("gpu-alerts"),
        html.Div(
            [
                html.Div(
                    [
                        elements.section(
                            "What it went through",
                            [
                                elements.graph("gpu-lanes"),
                                elements.slot("gpu-legend"),
                                elements.slot("gpu-told"),
                            ],
                        ),
                        elements.section("Main readings", elements.graph("gpu-chart")),
                    ]
                ),
                html.Div(
                    [
                        elements.section("Events", elements.slot("gpu-events")),
                        elements.section("Where this board has been", elements.slot("gpu-seats")),
                        elements.section("Identity", elements.slot("gpu-facts")),
                    ]
                ),
            ],
            className="columns detail",
        ),
        elements.section("Every metric", elements.slot("gpu-metrics")),
        elements.section(
            "Readings as stored", elements.slot("gpu-raw"), elements.slot("gpu-exports")
        ),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    picture = sources.picture
    host = seat.find_host(picture, view)
    at = None if host is None else seat.find_gpu(picture, host, view.get("gpu"))
    if host is None or at is None:
        return _nothing(view, sources)
    gpu_id = int(picture.gpu_ids[at])
    spans = _spans(view, sources, float(picture.interval_s[host.position]))
    window = spans.window
    found, slow, known = await _ask(view, sources, host, gpu_id, spans)
    who = next((row for row in known.of("accelerators") if row.gpu_id == gpu_id), None)
    alerts, events = found.of("alerts"), found.of("events")

    told = conditions.intervals(found.of("states"))

    def draw() -> tuple[Figure, Component, Component, Figure, Component]:
        near = charts.on_grid(spans.near, found.of("gpu_fast"), Group.FAST)
        grid = near
        if spans.near is not window:
            grid = charts.on_grid(window, found.of("gpu_rollup"), Group.FAST)
        slow_grid = charts.on_grid(spans.coarse, slow.of("gpu_slow"), Group.SLOW)
        parts = ((window, grid), (spans.near, near), (spans.coarse, slow_grid))
        strip = told_in_words.timeline(
            window,
            charts.lanes_of(window, grid, told),
            found.of("work"),
            alerts,
            {gpu_id: int(picture.index_of[at])},
            charts.silences(window, grid),
        )
        return (
            *strip,
            charts.figure(window, grid, who, events),
            metrics.every(parts, who),
        )

    drawn = await past.kept(
        sources,
        ("gpu", gpu_id, past.times(view)),
        (
            spans,
            who,
            alerts,
            events,
            *map(found.of, ("gpu_rollup", "gpu_fast", "states", "work")),
            slow.of("gpu_slow"),
        ),
        draw,
    )
    index = int(picture.index_of[at])
    return {
        "gpu-title": {"children": seat.crumbs(view, picture, host, html.Span(f"GPU {index}"))},
        "gpu-switch": {"children": board.siblings(view, sources, host, at)},
        "gpu-note": {
            "children": past.notes(
                window.note,
                spans.coarse.note and f"slow metrics: {spans.coarse.note}",
                found.trouble or slow.trouble,
            )
        },
        "gpu-tiles": {"children": board.tiles(sources, host, at, who, told)},
        "gpu-alerts": {"children": seat.open_alerts(view, picture, host, alerts)},
        "gpu-lanes": {"figure": drawn[0]},
        "gpu-legend": {"children": drawn[1]},
        "gpu-told": {"children": drawn[2]},
        "gpu-chart": {"figure": drawn[3]},
        "gpu-events": {"children": seat.event_table(view, events[:20], with_place=False)},
        "gpu-seats": {"children": board.seats(view, sources, gpu_id, known.of("seats"))},
        "gpu-facts": {"children": board.identity(who)},
        "gpu-metrics": {"children": drawn[4]},
        "gpu-raw": {"children": metrics.raw(found.of("raw_fast"))},
        "gpu-exports": {"children": board.exports(view, window)},
    }


@dataclass(frozen=True, slots=True)
class _Spans:
    """What is asked for what span: sums, single readings, and the slow metrics.

    Sums are kept for the main readings alone. The others are shown for the last minutes; a short
    span of the past, where readings can be looked up by accelerator, is drawn from them entirely.
    """

    window: Window
    near: Window
    coarse: Window


def _spans(view: View, sources: Sources, interval_s: float) -> _Spans:
    asked = view.window(sources.now_s)
    if not asked.live and asked.end_s - asked.start_s <= READINGS_SPAN_S_MAX:
        window = near = past.steady(asked, interval_s=interval_s)
    else:
        between_s = past.rollup_interval_s(asked, sources.now_s)
        window = past.steady(asked, interval_s=max(between_s, interval_s))
        step_s = next(s for s in STEPS_S if s >= interval_s or s == STEPS_S[-1])
        start_s = (window.end_s - NEAR_STEPS * step_s) // step_s * step_s
        near = Window(start_s, window.end_s, step_s, live=window.live)
    coarse = past.steady(window, interval_s=SLOW_STEP_S, span_s_max=past.SAMPLES_SPAN_S_MAX)
    return _Spans(window, near, coarse)


async def _ask(
    view: View, sources: Sources, host: Host, gpu_id: int, spans: _Spans
) -> tuple[Past, Past, Past]:
    window, coarse, near = spans.window, spans.coarse, spans.near
    values = {
        "host_id": host.host_id,
        "gpu_id": gpu_id,
        "gpu_ids": [gpu_id],
        "start_s": window.start_s,
        "end_s": window.end_s,
        "step_s": window.step_s,
    }
    question = (gpu_id, past.times(view))
    found = await past.ask(
        sources, "host", ("gpu_rollup", "states", "work", "events", "alerts"), values,
        question=question, good_for_s=max(GOOD_FOR_S, window.step_s / 4),
    )  # fmt: skip
    near_values = {**values, "start_s": near.start_s, "step_s": near.step_s}
    readings = await past.ask(
        sources, "host", ("gpu_fast",), near_values, question=question, good_for_s=GOOD_FOR_S
    )
    found.rows |= readings.rows
    found.trouble = found.trouble or readings.trouble
    raw = {**values, "start_s": window.end_s - RAW_SPAN_S, "limit": RAW_ROWS}
    rows = await past.ask(
        sources, "host", ("raw_fast",), raw, question=question, good_for_s=GOOD_FOR_S
    )
    found.rows |= rows.rows
    slow_values = values | {"start_s": coarse.start_s, "step_s": coarse.step_s}
    slow = await past.ask(
        sources, "host", ("gpu_slow",), slow_values,
        question=question, good_for_s=max(GOOD_FOR_S, coarse.step_s / 4),
    )  # fmt: skip
    known = await past.ask(
        sources, "host", ("accelerators", "seats"), values,
        question=gpu_id, good_for_s=IDENTITY_GOOD_FOR_S,
    )  # fmt: skip
    return found, slow, known


def _nothing(view: View, sources: Sources) -> Slots:
    if sources.as_of_s is None:
        told = elements.empty("Waiting for the database", sources.trouble or "Connecting …")
    else:
        text = f"Nothing is known of GPU {view.get('gpu')!r} of {view.get('host')!r}."
        told = elements.empty("No such accelerator", text)
    blank = ("note", "tiles", "switch", "legend", "told", "events", "seats", "facts", "metrics",
             "raw", "exports")  # fmt: skip
    return {
        "gpu-title": {"children": f"{view.get('host')} · GPU {view.get('gpu')}"},
        "gpu-alerts": {"children": told},
        **{f"gpu-{name}": {"children": None} for name in blank},
    }
