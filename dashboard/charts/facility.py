"""The Facility page's figure: load, headroom, power and backlog on one time axis.

Owns which series stand in which panel, what their thresholds are, and how events are named.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dashboard.charts import series
from dashboard.charts.series import Series
from dashboard.charts.timeline import Figure, Line, Mark, Panel, Threshold, timeline
from dashboard.summary import Summary
from dashboard.view import Window
from dashboard.wording import brief, plural, unit_of, watts, with_unit

HEADROOM_LOW = 10
HEADROOM_SPENT = 3
QUEUES_APART_MAX = 4

ROLLUP = (
    "load_mean", "sm_mean", "tensor_mean", "headroom_mean", "headroom_min", "heat_mean",
    "heat_max", "power_mean", "power_max", "throttled_share",
)  # fmt: skip
RACK_SPREAD = ("load_p10", "load_p90", "headroom_p10", "headroom_p90")
QUEUE_COLOURS = ("backlog", "second", "third", "load")
EVENT_TONES = {
    "xid": "bad",
    "xid_burst": "bad",
    "sxid": "bad",
    "gpu_lost": "bad",
    "ecc_uncorrected": "bad",
    "driver_hung": "bad",
    "gpu_unavailable": "bad",
    "recovery_action": "warn",
    "row_remap": "warn",
}


def backlog_parts(window: Window, rows: list[Any]) -> dict[tuple[Any, ...], Series]:
    """Return the size of each queue on the grid: in GPUs where any source tells, else entries."""
    column = "waiting" if all(row.gpus is None for row in rows) else "gpus"
    return series.stacked(rows, window, column, ("source", "queue"))


def figure(
    window: Window,
    summary: Summary,
    past: dict[str, list[Any]],
    backlog: dict[tuple[Any, ...], Series],
    opened: Sequence[Mark] = (),
) -> Figure:
    """Return the panels; one that a facility should fill is there even when it is empty.

    Args:
        window: the time axis.
        summary: the facility now.
        past: rows of the named queries of the page.
        backlog: the size of each queue on the grid.
        opened: incidents that began.
    """
    grid = series.on_grid(past["rollup"], window, ROLLUP)
    spread_s = window.spread_s
    coarse = Window(window.start_s // spread_s * spread_s, window.end_s, spread_s)
    spread = series.on_grid(past["racks"], coarse, RACK_SPREAD)
    panels: list[Panel] = []
    if not summary.queues_only:
        panels += [
            _load(summary, grid, spread, coarse.step_s),
            _heat(summary, grid, spread, coarse.step_s),
            _power(summary, grid),
        ]
        if np.nanmax(grid["throttled_share"], initial=0) > 0:
            panels.append(_slowed(grid))
    if backlog or summary.queues_only:
        panels.append(_backlog(summary, backlog))
    marks = [
        Mark(row.time_s, event_label(row), event_tone(row) or "info") for row in past["events"]
    ]
    silence = None if summary.queues_only else grid["load_mean"]
    tall = 300 if len(panels) == 1 else 132
    return timeline(window, panels, [*marks, *opened], panel_px=tall, silence=silence)


def _load(summary: Summary, grid: dict[str, Series], spread: dict[str, Series], step: int) -> Panel:
    mean, low, _, high = summary.load
    now = f"now {mean:.0f} % · p10 {low:.0f} · p90 {high:.0f} %" if not math.isnan(mean) else ""
    return Panel(
        "Utilisation",
        "%",
        [
            *_band(spread, "load", step),
            Line("GPU", grid["load_mean"], "load", width=2),
            Line("SM", grid["sm_mean"], "second", dash="dash"),
            Line("tensor", grid["tensor_mean"], "third", dash="dot"),
        ],
        high=100,
        aside=now,
    )


def _heat(summary: Summary, grid: dict[str, Series], spread: dict[str, Series], step: int) -> Panel:
    if np.isnan(grid["headroom_min"]).all() and not np.isnan(grid["heat_max"]).all():
        limits = [Threshold(87, "slowdown", "bad")]
        lines = [
            Line("hottest GPU", grid["heat_max"], "heat", width=2),
            Line("mean", grid["heat_mean"], "load"),
        ]
        return Panel("Temperature", "°C", lines, low=20, high=95, thresholds=limits)
    least = summary.headroom_min
    now = (
        f"now least {with_unit(least, '°C')} · {summary.hottest_rack}"
        if not math.isnan(least)
        else ""
    )
    return Panel(
        "Thermal headroom",
        "°C to slowdown",
        [
            *_band(spread, "headroom", step),
            Line("mean", grid["headroom_mean"], "load"),
            Line("least of any GPU", grid["headroom_min"], "heat", width=2),
        ],
        high=None,
        thresholds=[Threshold(0, "slowdown"), Threshold(HEADROOM_LOW, "low", "warn")],
        aside=now,
    )


def _power(summary: Summary, grid: dict[str, Series]) -> Panel:
    seen = max(1, summary.seen)
    limit = summary.power_limit_mw / 1000 / seen
    thresholds = [] if math.isnan(limit) else [Threshold(limit, "board limit", "muted")]
    now = "" if math.isnan(summary.power_mw) else f"now {watts(summary.power_mw)} together"
    return Panel(
        "Power a GPU",
        "W",
        [
            Line("most", grid["power_max"], "muted", dash="dot", width=1),
            Line("mean", grid["power_mean"], "power", width=2),
        ],
        high=None if math.isnan(limit) else limit * 1.12,
        thresholds=thresholds,
        aside=now,
    )


def _slowed(grid: dict[str, Series]) -> Panel:
    """How much of all GPU time was slowed by heat or power; left out where none was."""
    share = grid["throttled_share"] * 100
    return Panel("Slowed by heat or power", "% of GPU time",
                 [Line("", share, "warn", fill="area", width=1.4)], digits=1)  # fmt: skip


def _backlog(summary: Summary, backlog: dict[tuple[Any, ...], Series]) -> Panel:
    order = sorted(backlog, key=lambda key: -float(np.nansum(backlog[key])))
    named = [(key[1], backlog[key]) for key in order[:QUEUES_APART_MAX]]
    rest = [backlog[key] for key in order[QUEUES_APART_MAX:]]
    if rest:
        named.append((plural(len(rest), "more queue"), series.total(rest, len(rest[0]))))
    lines = [
        Line(name, values, QUEUE_COLOURS[n] if n < len(QUEUE_COLOURS) else "muted", fill="stack")
        for n, (name, values) in enumerate(named)
    ]
    unit = summary.backlog.size_unit
    size = summary.backlog.size
    hours = summary.backlog.gpu_hours
    shown = brief(size)
    now = "" if size is None else f"now {shown} {unit_of(shown, unit)}"
    if hours:
        now += f" · {with_unit(hours, 'GPU-h')}"
    return Panel("Waiting", unit, lines, aside=now)


def _band(spread: dict[str, Series], name: str, step_s: int) -> list[Line]:
    """A band between the racks at the 10th and at the 90th percentile; two lines not drawn."""
    low, high = spread[f"{name}_p10"], spread[f"{name}_p90"]
    if np.isnan(low).all():
        return []
    return [
        Line("racks p10", low, "muted", width=0, step_s=step_s, in_legend=False),
        Line(
            "racks p90", high, "muted", width=0, step_s=step_s, fill="p10", key="racks p10 to p90"
        ),
    ]


def event_words(row: Any) -> str:
    """Name an event in two words."""
    if row.kind == "xid":
        return f"Xid {row.code}"
    return str(row.kind).replace("_", " ").replace("gpu", "GPU").replace("ecc", "ECC")


def event_label(row: Any) -> str:
    """Name an event and its place, for a mark on a chart."""
    where = row.host if row.index is None else f"{row.host} GPU {row.index}"
    return f"{event_words(row)} · {where}"


def event_tone(row: Any) -> str:
    """Return how grave an event looks: `bad`, `warn` or nothing."""
    return EVENT_TONES.get(row.kind, "")
