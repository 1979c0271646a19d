"""The Host page's figures: all accelerators of a host together, or one of them in detail.

Owns which series stand in which panel.
"""

from typing import Any

from dashboard.charts import series
from dashboard.charts.facility import HEADROOM_LOW, event_label, event_tone
from dashboard.charts.series import Series
from dashboard.charts.timeline import Figure, Line, Mark, Panel, Threshold, timeline
from dashboard.view import Window

COLUMNS = (
    "load", "sm", "tensor", "heat", "heat_memory", "headroom", "power", "clock", "memory",
)  # fmt: skip
# Told apart by hue and lightness; beyond eight the colours begin again, and the pointer tells.
COLOURS = ("load", "heat", "third", "second", "power", "backlog", "good", "muted")


def by_accelerator(window: Window, rows: list[Any]) -> dict[int, dict[str, Series]]:
    """Return the series of each accelerator on the grid."""
    parts: dict[int, list[Any]] = {}
    for row in rows:
        parts.setdefault(row.gpu_id, []).append(row)
    return {gpu_id: series.on_grid(part, window, COLUMNS) for gpu_id, part in parts.items()}


def together(
    window: Window, past: dict[int, dict[str, Series]], names: dict[int, str], events: list[Any]
) -> Figure:
    """Return one line an accelerator: load, headroom, power."""

    def lines(column: str) -> list[Line]:
        return [
            Line(names[gpu_id], grid[column], COLOURS[n % len(COLOURS)], width=1.3)
            for n, (gpu_id, grid) in enumerate(past.items())
            if gpu_id in names
        ]

    panels = [
        Panel("Utilisation", "%", lines("load"), high=100),
        Panel(
            "Thermal headroom",
            "°C to slowdown",
            lines("headroom"),
            thresholds=[Threshold(0, "slowdown"), Threshold(HEADROOM_LOW, "low", "warn")],
        ),
        Panel("Power", "W", lines("power")),
    ]
    return timeline(window, panels, _marks(window, events), panel_px=150)


def single(
    window: Window, grid: dict[str, Series], limit_watts: float | None, events: list[Any]
) -> Figure:
    """Return one accelerator: activity, heat, power, clock and memory."""
    limits = [] if limit_watts is None else [Threshold(limit_watts, "limit", "muted")]
    panels = [
        Panel(
            "Activity",
            "%",
            [
                Line("GPU", grid["load"], "load", width=2),
                Line("SM", grid["sm"], "second", dash="dash"),
                Line("tensor", grid["tensor"], "third", dash="dot"),
            ],
            high=100,
        ),
        Panel(
            "Temperature",
            "°C",
            [
                Line("core", grid["heat"], "heat", width=2),
                Line("HBM", grid["heat_memory"], "power"),
            ],
            low=20,
        ),
        Panel(
            "Thermal headroom",
            "°C to slowdown",
            [Line("", grid["headroom"], "third", width=2)],
            thresholds=[Threshold(0, "slowdown"), Threshold(HEADROOM_LOW, "low", "warn")],
        ),
        Panel(
            "Power",
            "W",
            [Line("", grid["power"], "power", fill="area")],
            high=None if limit_watts is None else limit_watts * 1.12,
            thresholds=limits,
        ),
        Panel("SM clock", "MHz", [Line("", grid["clock"], "load")]),
        Panel("Memory used", "GiB", [Line("", grid["memory"], "second", fill="area")], digits=1),
    ]
    return timeline(window, panels, _marks(window, events), panel_px=92, silence=grid["load"])


def _marks(window: Window, events: list[Any]) -> list[Mark]:
    return [
        Mark(row.time_s, event_label(row), event_tone(row) or "info")
        for row in events
        if window.start_s <= row.time_s <= window.end_s
    ]
