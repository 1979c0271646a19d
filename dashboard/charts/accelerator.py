"""The figures of one accelerator: its state lanes, and its main readings in panels.

Owns which readings stand together and what their limits are. Gauges are drawn as the mean of each
step inside a band from its least to its most, so that a spike of one sample stays visible.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.charts import lanes, series
from dashboard.charts.conditions import (
    BRAKE_BIT,
    HARDWARE_BIT,
    HEAT_BITS,
    LOOKS,
    POWER_CAP_BIT,
    Condition,
    Interval,
    conditions,
    heard,
    with_intervals,
)
from dashboard.charts.facility import event_label, event_tone
from dashboard.charts.lanes import Lane, Segment, exactly, stretches
from dashboard.charts.series import Series
from dashboard.charts.timeline import Figure, Line, Mark, Panel, Threshold, timeline
from dashboard.view import Window
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group, Kind, Metric

# Lanes of their own for what slows clocks down; a lane that never happened is left out.
SLOWDOWNS = (
    ("heat", HEAT_BITS, Condition.HEAT),
    ("brake", BRAKE_BIT, Condition.BRAKE),
    ("hardw.", HARDWARE_BIT, Condition.HARDWARE),
    ("cap", POWER_CAP_BIT, Condition.POWER_CAP),
)

# Conditions that the slow readings tell; they last until somebody acts.
HEALTH = (Condition.DEGRADED, Condition.PREDICTED, Condition.FAILED)

Grid = dict[str, Series]

PANEL_PX = 104


def on_grid(window: Window, rows: Sequence[Any], group: Group) -> Grid:
    """Put all columns of a group on the grid, scaled to what a person reads.

    A column that the rows do not have is unknown throughout.
    """
    names = [name for metric in CATALOGUE.group(group) for name in columns(metric)]
    there = [name for name in names if rows and hasattr(rows[0], name)]
    grid = series.on_grid(rows, window, there)
    grid |= {name: np.full(window.points, np.nan) for name in names if name not in grid}
    for metric in CATALOGUE.group(group):
        for name in columns(metric):
            grid[name] = grid[name] * metric.scale
    return grid


def columns(metric: Metric) -> tuple[str, ...]:
    """Return the columns that a query by step has for a metric: gauges have their extremes too."""
    if metric.kind is Kind.GAUGE:
        return (metric.name, f"{metric.name}_min", f"{metric.name}_max")
    return (metric.name,)


def lanes_of(window: Window, grid: Grid, told: Sequence[Interval] = ()) -> list[Lane]:
    """Return what the accelerator went through, its health, and each reason for slow clocks."""
    status = grid["reader_status_code"]
    load = grid["utilization_gpu_percent"]
    bits = np.nan_to_num(grid["clock_event_reasons_bitmask"]).astype(np.int64)
    margin = grid["temperature_margin_celsius_min"]
    codes = conditions(status, bits.astype(np.float64), load, margin)
    unseen = codes == Condition.NO_DATA
    steps = with_intervals(codes, told, window)
    lanes = [Lane("state", exactly(stretches(steps, window), told))]
    calm = np.where(unseen, Condition.NO_DATA, Condition.IDLE).astype(np.int64)

    def lane(name: str, codes: NDArray[np.int64]) -> Lane:
        kept = [s for s in stretches(codes, window) if s.look != LOOKS[Condition.IDLE]]
        return Lane(name, exactly(kept, told))

    health = with_intervals(calm, [i for i in told if i.condition in HEALTH], window)
    if np.isin(health, HEALTH).any():
        lanes.append(lane("health", health))
    for name, mask, condition in SLOWDOWNS:
        happened = (bits & mask) > 0
        read = np.where(happened & ~unseen, condition, calm).astype(np.int64)
        slowed = with_intervals(read, [i for i in told if i.condition is condition], window)
        if (slowed == condition).any():
            lanes.append(lane(name, slowed))
    return lanes


def silences(window: Window, grid: Grid) -> list[Segment]:
    """Return when the accelerator was not heard of."""
    told = heard(grid["reader_status_code"], grid["utilization_gpu_percent"])
    return lanes.silences(told, window)


def figure(window: Window, grid: Grid, who: Any, events: Sequence[Any]) -> Figure:
    """Return the main readings; `who` has the accelerator's limits, None where they are unknown."""
    panels = [
        _load(grid),
        _heat(grid, who),
        _power(grid, who),
        _clock(grid, who),
        _memory(grid, who),
    ]
    told = [panel for panel in panels if any((~np.isnan(x.values)).any() for x in panel.lines)]
    marks = [Mark(row.time_s, event_label(row), event_tone(row) or "info") for row in events]
    silence = grid["reader_status_code"]
    drawn = timeline(window, told or panels[:1], marks, panel_px=PANEL_PX, silence=silence)
    bands = [_band(window, panel, n + 1) for n, panel in enumerate(told)]
    drawn["data"] = [band for band in bands if band] + drawn["data"]
    return drawn


def _edges(grid: Grid, name: str) -> list[Line]:
    """Return the least and the most of each step: not drawn as lines, but read by the pointer."""
    return [
        Line(word, grid[f"{name}_{end}"], "muted", width=0, in_legend=False)
        for word, end in (("least", "min"), ("most", "max"))
    ]


def _band(window: Window, panel: Panel, number: int) -> dict[str, Any]:
    """Return the area between the edges of a panel, in one closed shape for each stretch of data.

    Plotly's own filling between two lines runs across gaps.
    """
    edges = {line.name: line.values for line in panel.lines if line.width == 0}
    if len(edges) != 2:
        return {}
    low, high = edges["least"], edges["most"]
    known = np.flatnonzero(~np.isnan(low) & ~np.isnan(high))
    runs = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1) if len(known) else []
    x: list[float | None] = []
    y: list[float | None] = []
    for run in runs:
        times = ((window.start_s + run * window.step_s) * 1000).tolist()
        x += [*times, *reversed(times), None]
        y += [*series.rounded(low[run], 1), *reversed(series.rounded(high[run], 1)), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "yaxis": "y" if number == 1 else f"y{number}",
        "fill": "toself",
        "fillcolor": "@band",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "connectgaps": False,
    }


def _load(grid: Grid) -> Panel:
    lines = [
        *_edges(grid, "utilization_gpu_percent"),
        Line("GPU", grid["utilization_gpu_percent"], "load", width=1.8),
        Line("SM", grid["sm_active_permille"], "second", dash="dash"),
        Line("tensor", grid["tensor_active_permille"], "third", dash="dot"),
    ]
    return Panel("Utilisation", "%", lines, high=100)


def _heat(grid: Grid, who: Any) -> Panel:
    lines = [
        *_edges(grid, "temperature_gpu_celsius"),
        Line("core", grid["temperature_gpu_celsius"], "heat", width=1.8),
        Line("HBM", grid["temperature_memory_celsius"], "second", dash="dash"),
    ]
    limits = [
        Threshold(value, name, colour)
        for value, name, colour in (
            (getattr(who, "temperature_slowdown_celsius", None), "core slows down", "bad"),
            (getattr(who, "temperature_memory_max_celsius", None), "HBM limit", "warn"),
        )
        if value is not None
    ]
    top = max([limit.value for limit in limits], default=None)
    high = None if top is None else top + 5
    return Panel("Temperature", "°C", lines, low=20, high=high, thresholds=limits)


def _power(grid: Grid, who: Any) -> Panel:
    limit_mw = getattr(who, "power_limit_default_milliwatts", None)
    limits = [] if limit_mw is None else [Threshold(limit_mw / 1000, "default limit", "muted")]
    lines = [
        *_edges(grid, "power_milliwatts"),
        Line("", grid["power_milliwatts"], "power", width=1.8),
    ]
    high = limits[0].value * 1.12 if limits else None
    return Panel("Power", "W", lines, high=high, thresholds=limits)


def _clock(grid: Grid, who: Any) -> Panel:
    most = getattr(who, "clock_sm_max_megahertz", None)
    limits = [] if most is None else [Threshold(most, "most", "muted")]
    lines = [
        *_edges(grid, "clock_sm_megahertz"),
        Line("", grid["clock_sm_megahertz"], "load", width=1.8),
    ]
    high = None if most is None else most * 1.15
    return Panel("SM clock", "MHz", lines, high=high, thresholds=limits)


def _memory(grid: Grid, who: Any) -> Panel:
    total = getattr(who, "memory_total_mebibytes", None)
    lines = [Line("", grid["memory_used_mebibytes"], "third", fill="", width=1.8)]
    return Panel("Memory used", "GiB", lines, high=None if total is None else total / 1024)
