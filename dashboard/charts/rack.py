"""A rack's figure: load, headroom and power of all its accelerators together, from the rollups."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dashboard.charts import series
from dashboard.charts.facility import HEADROOM_LOW
from dashboard.charts.timeline import Figure, Line, Mark, Panel, Threshold, timeline
from dashboard.view import Window

# The rollup's own step; a finer one would draw holes.
STEP_S = 60
COLUMNS = ("load", "sm", "headroom", "headroom_least", "heat_most", "power", "throttled")


def figure(window: Window, rows: Sequence[Any], opened: Sequence[Mark] = ()) -> Figure:
    """Return the panels of which anything is known."""
    grid = series.on_grid(rows, window, COLUMNS)
    limits = [Threshold(0, "slowdown"), Threshold(HEADROOM_LOW, "low", "warn")]
    panels = [
        Panel("Utilisation", "%", [
            Line("GPU", grid["load"], "load", width=1.8),
            Line("SM", grid["sm"], "second", dash="dash"),
            Line("slowed by heat or power", grid["throttled"], "warn", dash="dot"),
        ], high=100),
        Panel("Thermal headroom", "°C to slowdown", [
            Line("mean", grid["headroom"], "load"),
            Line("least of any GPU", grid["headroom_least"], "heat", width=1.8),
        ], thresholds=limits),
        Panel("Hottest GPU", "°C", [Line("", grid["heat_most"], "heat", width=1.8)], low=20),
        Panel("Power a GPU", "W", [Line("mean", grid["power"], "power", width=1.8)]),
    ]  # fmt: skip
    told = [panel for panel in panels if any((~np.isnan(x.values)).any() for x in panel.lines)]
    if any(panel.title == "Thermal headroom" for panel in told):
        told = [panel for panel in told if panel.title != "Hottest GPU"]
    return timeline(window, told or panels[:1], opened, panel_px=96, silence=grid["load"])
