"""The Host page's figures: what each accelerator went through, and their readings together.

Owns how rows of a trail become arrays by accelerator, and which readings stand in which panel.
Load is a mean of each step; headroom, power and memory are the worst of it, so that a spike of one
sample stays visible.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.charts import lanes, series
from dashboard.charts.conditions import Condition, Interval, conditions, with_intervals
from dashboard.charts.facility import HEADROOM_LOW, event_label, event_tone
from dashboard.charts.lanes import Lane, Segment, exactly, stretches
from dashboard.charts.series import Series
from dashboard.charts.timeline import Figure, Line, Mark, Panel, Threshold, timeline
from dashboard.view import Window

COLUMNS = ("status", "reasons", "load", "sm", "headroom", "power", "memory")
# Eight lines that can be told apart in both themes, in `assets/40-detail.css`; more repeat.
LINE_COLOURS = tuple(f"line-{letter}" for letter in "abcdefgh")
PANEL_PX = 92

Trail = dict[str, Series]
Codes = NDArray[np.int64]


def trails(window: Window, rows: Sequence[Any], gpu_ids: Sequence[int]) -> dict[int, Trail]:
    """Split the rows by accelerator and put each on the grid."""
    parts: dict[int, list[Any]] = {gpu_id: [] for gpu_id in gpu_ids}
    for row in rows:
        if row.gpu_id in parts:
            parts[row.gpu_id].append(row)
    return {gpu_id: series.on_grid(part, window, COLUMNS) for gpu_id, part in parts.items()}


def codes_of(
    window: Window, found: Mapping[int, Trail], told: Sequence[Interval]
) -> dict[int, Codes]:
    """Return the condition of each step by accelerator, from its readings and what is stored."""
    codes = {}
    for gpu_id, trail in found.items():
        read = conditions(trail["status"], trail["reasons"], trail["load"], trail["headroom"])
        mine = [interval for interval in told if interval.gpu_id == gpu_id]
        codes[gpu_id] = with_intervals(read, mine, window)
    return codes


def lanes_of(
    window: Window,
    codes: Mapping[int, Codes],
    told: Sequence[Interval],
    indices: Mapping[int, int],
) -> list[Lane]:
    """Return a lane an accelerator."""
    lanes = []
    for gpu_id, steps in codes.items():
        mine = [interval for interval in told if interval.gpu_id == gpu_id]
        lanes.append(Lane(f"GPU {indices[gpu_id]}", exactly(stretches(steps, window), mine)))
    return lanes


def silences(window: Window, codes: Mapping[int, Codes]) -> list[Segment]:
    """Return when not one accelerator was heard."""
    heard = [steps != Condition.NO_DATA for steps in codes.values()]
    if not heard:
        return []
    return lanes.silences(np.any(heard, axis=0), window)


def figure(
    window: Window,
    found: Mapping[int, Trail],
    indices: Mapping[int, int],
    events: Sequence[Any],
) -> Figure:
    """Return the readings of all accelerators, one line each, in panels on one axis."""

    def lines(name: str) -> list[Line]:
        return [
            Line(f"GPU {indices[gpu_id]}", trail[name], colour(n), width=1.3, in_legend=False)
            for n, (gpu_id, trail) in enumerate(found.items())
        ]

    limits = [Threshold(0, "slowdown"), Threshold(HEADROOM_LOW, "low", "warn")]
    panels = [
        Panel("Utilisation", "%", lines("load"), high=100, aside="mean of each step"),
        Panel("SM activity", "%", lines("sm"), high=100, aside="mean of each step"),
        Panel("Thermal headroom", "°C to slowdown", lines("headroom"), thresholds=limits,
              aside="least of each step"),
        Panel("Power", "W", lines("power"), aside="most of each step"),
        Panel("Memory used", "GiB", lines("memory"), aside="most of each step"),
    ]  # fmt: skip
    told = [panel for panel in panels if not all(_is_empty(line) for line in panel.lines)]
    marks = [Mark(row.time_s, event_label(row), event_tone(row) or "info") for row in events]
    anything = series.total([trail["status"] for trail in found.values()], window.points)
    return timeline(window, told or panels[:1], marks, panel_px=PANEL_PX, silence=anything)


def colour(position: int) -> str:
    """Return the colour of the accelerator at a position."""
    return LINE_COLOURS[position % len(LINE_COLOURS)]


def _is_empty(line: Line) -> bool:
    return bool(np.isnan(line.values).all())
