"""The Host page's figures: what each accelerator went through, and their readings together.

Owns how rows of a trail become arrays by accelerator, and which readings stand in which panel.
Load is a mean of each step; headroom, power and memory are the worst of it, so that a spike of one
sample stays visible.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dashboard.charts import series
from dashboard.charts.facility import HEADROOM_LOW, event_label, event_tone
from dashboard.charts.lanes import Lane, alert_lanes, conditions, stretches
from dashboard.charts.series import Series
from dashboard.charts.timeline import Figure, Line, Mark, Panel, Threshold, timeline
from dashboard.view import Window

COLUMNS = ("status", "reasons", "load", "sm", "headroom", "power", "memory")
# Eight lines that can be told apart in both themes, in `assets/40-detail.css`; more repeat.
LINE_COLOURS = tuple(f"line-{letter}" for letter in "abcdefgh")
PANEL_PX = 92

Trail = dict[str, Series]


def trails(window: Window, rows: Sequence[Any], gpu_ids: Sequence[int]) -> list[Trail]:
    """Split the rows by accelerator and put each on the grid."""
    parts: dict[int, list[Any]] = {gpu_id: [] for gpu_id in gpu_ids}
    for row in rows:
        if row.gpu_id in parts:
            parts[row.gpu_id].append(row)
    return [series.on_grid(part, window, COLUMNS) for part in parts.values()]


def lanes_of(
    window: Window, found: Sequence[Trail], indices: Sequence[int], alerts: Sequence[Any]
) -> list[Lane]:
    """Return a lane an accelerator, then a lane a rule that had an alert."""
    lanes = []
    for index, trail in zip(indices, found, strict=True):
        codes = conditions(trail["status"], trail["reasons"], trail["load"], trail["headroom"])
        lanes.append(Lane(f"GPU {index}", stretches(codes, window)))
    return [*lanes, *alert_lanes(window, alerts)]


def figure(
    window: Window, found: Sequence[Trail], indices: Sequence[int], events: Sequence[Any]
) -> Figure:
    """Return the readings of all accelerators, one line each, in panels on one axis."""

    def lines(name: str) -> list[Line]:
        return [
            Line(f"GPU {index}", trail[name], colour(n), width=1.3, in_legend=False)
            for n, (index, trail) in enumerate(zip(indices, found, strict=True))
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
    anything = series.total([trail["status"] for trail in found], window.points)
    return timeline(window, told or panels[:1], marks, panel_px=PANEL_PX, silence=anything)


def colour(position: int) -> str:
    """Return the colour of the accelerator at a position."""
    return LINE_COLOURS[position % len(LINE_COLOURS)]


def _is_empty(line: Line) -> bool:
    return bool(np.isnan(line.values).all())
