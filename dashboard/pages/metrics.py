"""Every metric of one accelerator, and its newest readings as they were stored.

A part of the view of one accelerator; see `gpu.py`. The catalogue decides what there is: a metric
that is new in it appears here by itself, told in the unit that the catalogue gives.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from dash import html
from dash.development.base_component import Component

from dashboard import elements
from dashboard.charts import accelerator as charts
from dashboard.charts import conditions, series
from dashboard.view import Window
from dashboard.wording import DASH, brief, duration, number, with_unit
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Kind, Metric

# A metric not read for longer is shown pale: it is no value of now.
OLD_S = 60
OLD_STEPS = 4
NANOSECONDS = 1e9  # in a second
# What the raw table shows; the CSV has every column.
RAW_COLUMNS = (
    "utilization_gpu_percent", "sm_active_permille", "tensor_active_permille",
    "dram_active_permille", "memory_used_mebibytes", "temperature_gpu_celsius",
    "temperature_memory_celsius", "temperature_margin_celsius", "power_milliwatts",
    "clock_sm_megahertz", "clock_event_reasons_bitmask", "reader_status_code",
    "read_failures_count",
)  # fmt: skip
FAMILIES = (
    ("Load", ("utilization_", "sm_", "tensor_", "dram_", "fp", "graphics_", "processes_")),
    ("Heat, power, clocks", ("temperature_", "power_", "energy_", "clock_", "throttled_", "perf")),
    ("Memory and its errors", ("memory_", "bar1_", "ecc_", "sram_", "remap", "retired_")),
    ("Links", ("pcie_", "nvlink_", "fabric_")),
    ("Reader and recovery", ("",)),
)


def every(parts: Sequence[tuple[Window, charts.Grid]], who: Any) -> Component:
    """Every entry of the catalogue, in families: newest value, its course, its extremes.

    Args:
        parts: spans with what is known in them; a metric is shown in the first that knows it.
        who: the accelerator; None where no inventory lists it.
    """
    absent = set(getattr(who, "unsupported", None) or ())
    families: dict[str, list[Component]] = {name: [] for name, _ in FAMILIES}
    for metric in CATALOGUE.metrics:
        own = [(window, grid) for window, grid in parts if metric.name in grid]
        told = [(w, grid) for w, grid in own if not np.isnan(grid[metric.name]).all()]
        window, grid = (told or own)[0]
        families[_family(metric)].append(_metric(metric, window, grid, absent))
    return html.Div(
        [
            html.Div([html.H3(name), *rows], className="metric-family")
            for name, rows in families.items()
            if rows
        ],
        className="metrics",
    )


def _family(metric: Metric) -> str:
    return next(name for name, starts in FAMILIES if metric.name.startswith(starts))


def _metric(metric: Metric, window: Window, grid: charts.Grid, absent: set[str]) -> Component:
    values = grid[metric.name]
    known = values[~np.isnan(values)]
    label = html.Span(metric.label, title=f"{metric.sentence} Source: {metric.source}.")
    if not len(known):
        why = "not offered by the driver" if metric.name in absent else "no reading in this range"
        return html.Div([label, html.Small(why, className="absent")], className="metric")
    low = grid.get(f"{metric.name}_min", values)
    high = grid.get(f"{metric.name}_max", values)
    bounds = f"{_said(float(np.nanmin(low)), metric)} to {_said(float(np.nanmax(high)), metric)}"
    newest = float(known[-1])
    unit = "" if _is_time(metric) else metric.unit
    behind_s = (len(values) - 1 - int(np.flatnonzero(~np.isnan(values))[-1])) * window.step_s
    old = window.live and behind_s > max(OLD_S, OLD_STEPS * window.step_s)
    if metric.kind is Kind.BITMASK and metric.name.startswith("clock_event"):
        shown = conditions.reason_words(newest) or "none"
    else:
        shown = f"{_said(newest, metric)} {unit}".strip()
    chart = elements.spark(
        series.rounded(values / NANOSECONDS if _is_time(metric) else values, 2),
        f"{metric.label} over time",
        start_s=window.start_s,
        step_s=window.step_s,
        unit="s" if _is_time(metric) else metric.unit,
        high=100 if metric.unit == "%" else None,
    )
    return html.Div(
        [label, chart, html.B(shown, className="quiet" if old else ""), html.Small(bounds)],
        className="metric told",
        title=f"{metric.name}, last read {duration(behind_s)} ago" if old else metric.name,
    )


def _is_time(metric: Metric) -> bool:
    """Whether it counts nanoseconds, which nobody can read as such."""
    return metric.name.endswith("_nanoseconds")


def _said(value: float, metric: Metric) -> str:
    if _is_time(metric):
        seconds = value / NANOSECONDS
        return with_unit(seconds, "s", 1) if seconds < 60 else duration(seconds)
    if abs(value) >= 10_000:
        return brief(value)
    return number(value, 1 if metric.scale != 1 and abs(value) < 100 else 0)


def raw(rows: Sequence[Any]) -> Component:
    """Return the newest readings, a row a tick; the downloads have all of them."""
    if not rows:
        return elements.empty("No reading", "Nothing was stored in the last part of this range.")
    metrics = [CATALOGUE.by_name[name] for name in RAW_COLUMNS]
    shown = []
    for row in rows:
        values = [
            DASH if (value := getattr(row, m.name)) is None else _said(value * m.scale, m)
            for m in metrics
        ]
        shown.append([elements.moment(row.time_s), *values])
    heads = [(f"{m.label}, {m.unit}" if m.unit else m.label, "num") for m in metrics]
    table = elements.table((("Time", ""), *heads), shown, "tight raw")
    return html.Div(table, className="scroll")
