"""Panels under each other on one time axis: the figure of the Facility, Host and Queues pages.

Owns its layout: one pointer reads all panels, units stand in the titles, thresholds are lines with
names, time without data is shaded and no line runs through it, events stand above. A figure is a
plain dict, since building plotly's own objects takes ten times as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dashboard.charts import frame
from dashboard.charts.frame import MARGIN_PX, plain
from dashboard.charts.marks import Mark, silent_stretches, strip
from dashboard.charts.panel import Line, Panel, Threshold, limits, stack, title
from dashboard.charts.series import Series, rounded
from dashboard.view import Window

__all__ = ["Figure", "Line", "Mark", "Panel", "Threshold", "timeline"]

Figure = dict[str, Any]

PANEL_PX = 132
GAP_PX = 34
EVENTS_PX = 26
THRESHOLD_NAME_PX = 14


@dataclass(slots=True)
class _Sheet:
    """The figure while it is put together."""

    window: Window
    height_px: int
    data: list[dict[str, Any]] = field(default_factory=list)
    shapes: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    axes: dict[str, dict[str, Any]] = field(default_factory=dict)


def timeline(
    window: Window,
    panels: Sequence[Panel],
    marks: Sequence[Mark] = (),
    *,
    panel_px: int = PANEL_PX,
    silence: Series | None = None,
) -> Figure:
    """Return the figure.

    Args:
        window: the time axis.
        panels: from top to bottom.
        marks: events, in a strip of their own above the panels.
        panel_px: height of one panel.
        silence: a series whose gaps are shaded through all panels.
    """
    strip_px = EVENTS_PX if marks else 0
    inner_px = strip_px + len(panels) * (panel_px + GAP_PX)
    sheet = _Sheet(window, inner_px + MARGIN_PX["t"] + MARGIN_PX["b"])
    top = 1 - strip_px / inner_px
    for n, panel in enumerate(panels):
        head = top - n * (panel_px + GAP_PX) / inner_px
        domain = (head - (panel_px + GAP_PX) / inner_px, head - GAP_PX / inner_px)
        _add_panel(sheet, panel, n + 1, domain)
    if marks:
        number = len(panels) + 1
        trace, axis, lines = strip(marks, f"y{number}", (top, 1.0))
        sheet.data.append(trace)
        sheet.axes[f"yaxis{number}"] = axis
        sheet.shapes += lines
    if silence is not None:
        shades, words = silent_stretches(window, silence)
        sheet.shapes += shades
        sheet.notes += words
    return {"data": sheet.data, "layout": _layout(sheet)}


def _add_panel(sheet: _Sheet, panel: Panel, number: int, domain: tuple[float, float]) -> None:
    axis = "y" if number == 1 else f"y{number}"
    stacked = any(line.fill == "stack" for line in panel.lines)
    if panel.bars:
        sheet.data += [_bars(sheet.window, panel, line, axis) for line in panel.lines]
    else:
        lifted = stack(panel) if stacked else panel.lines
        for line, drawn in zip(panel.lines, lifted, strict=True):
            sheet.data.append(_trace(sheet.window, panel, line, axis, drawn))
    low, high = limits(panel, stacked=stacked)
    sheet.axes[axis.replace("y", "yaxis")] = {
        "domain": list(domain),
        "range": [low, high],
        "fixedrange": True,
        "nticks": 4,
        "gridcolor": "@grid",
        "zeroline": False,
        "tickfont": {"size": 11, "color": "@muted"},
        **frame.CLEAR_TICKS,
        "tickformat": "~s" if high >= 10_000 else "",
        "anchor": "x",
        "rangemode": "tozero",
    }
    sheet.notes.append(_note("title", title(panel), 0.0, domain[1], "left"))
    if panel.aside:
        sheet.notes.append(_note("aside", plain(panel.aside), 1.0, domain[1], "right"))
    close = THRESHOLD_NAME_PX / PANEL_PX * (high - low)
    for threshold in panel.thresholds:
        if low <= threshold.value <= high:
            # A name stands above its line, and below it where another line's name is there.
            others = (other.value - threshold.value for other in panel.thresholds)
            is_below = any(0 < above < close for above in others)
            _add_threshold(sheet, threshold, axis, "top" if is_below else "bottom")


def _bars(window: Window, panel: Panel, line: Line, axis: str) -> dict[str, Any]:
    """Return counts of each step as bars on top of each other; empty steps draw nothing."""
    return {
        "type": "bar",
        "name": plain(line.name),
        "x0": window.start_s * 1000 + window.step_s * 500,
        "dx": window.step_s * 1000,
        "y": [value or None for value in rounded(line.values, panel.digits)],
        "yaxis": axis,
        "marker": {"color": f"@{line.colour}", "line": {"width": 0}},
        "hovertemplate": f"%{{y:,.{panel.digits}f}}",
    }


def _trace(window: Window, panel: Panel, line: Line, axis: str, drawn: Line) -> dict[str, Any]:
    step_s = line.step_s or window.step_s
    unit = plain(panel.unit)
    name = plain(line.name or panel.title)
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x0": window.start_s // step_s * step_s * 1000,
        "dx": step_s * 1000,
        "y": rounded(drawn.values, panel.digits + 1),
        "yaxis": axis,
        "line": {
            "color": f"@{line.colour}",
            "width": line.width,
            "dash": line.dash,
            "shape": "linear",
        },
        "connectgaps": False,
        "hovertemplate": f"%{{y:,.{panel.digits}f}} {unit}",
    }
    if line.fill == "stack":
        fill = "tozeroy" if line is panel.lines[0] else "tonexty"
        trace |= {
            "fill": fill,
            "fillcolor": f"@{line.colour}-soft",
            "customdata": rounded(line.values, panel.digits + 1),
            "hovertemplate": f"%{{customdata:,.{panel.digits}f}} {unit}",
        }
        trace["line"]["width"] = 1.2
    elif line.fill == "area":
        trace |= {"fill": "tozeroy", "fillcolor": f"@{line.colour}-soft"}
    elif line.fill:
        trace |= {"fill": "tonexty", "fillcolor": "@band"}
    if line.width == 0:
        trace["line"]["color"] = "@clear"
    return trace


def _note(name: str, text: str, x: float, y: float, anchor: str) -> dict[str, Any]:
    """Return a text above a panel; by its name a phone knows what it may leave out."""
    return {
        "name": name,
        "text": text,
        "x": x,
        "y": y,
        "xref": "paper",
        "yref": "paper",
        "xanchor": anchor,
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 12, "color": "@text"},
        # Lines of events run through all panels, not through what is written.
        "bgcolor": "@bg",
        "borderpad": 0,
        "yshift": 3,
        # Titles begin above the axis labels, where the eye looks for them.
        "xshift": -MARGIN_PX["l"] + 2 if anchor == "left" else 0,
    }


def _add_threshold(sheet: _Sheet, threshold: Threshold, axis: str, anchor: str) -> None:
    sheet.shapes.append(
        {
            "type": "line",
            "xref": "paper",
            "yref": axis,
            "x0": 0,
            "x1": 1,
            "y0": threshold.value,
            "y1": threshold.value,
            "line": {"color": f"@{threshold.colour}", "width": 1, "dash": "dash"},
            "layer": "below",
        }
    )
    sheet.notes.append(
        {
            "text": plain(threshold.name),
            "x": 1,
            "y": threshold.value,
            "xref": "paper",
            "yref": axis,
            "xanchor": "right",
            "yanchor": anchor,
            "showarrow": False,
            "bgcolor": "@bg",
            "borderpad": 0,
            "font": {"size": 10.5, "color": f"@{threshold.colour}"},
        }
    )


def _layout(sheet: _Sheet) -> dict[str, Any]:
    window = sheet.window
    axis = frame.time_axis(window) | {
        "showspikes": True,
        "spikemode": "across",
        "spikethickness": 1,
        "spikecolor": "@muted",
        "spikedash": "solid",
        "anchor": "y" if len(sheet.axes) < 2 else "free",
        "position": 0,
    }
    return frame.layout(window, sheet.height_px, MARGIN_PX) | {
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "barmode": "stack",
        "bargap": 0.15,
        "xaxis": axis,
        **sheet.axes,
        "shapes": sheet.shapes,
        "annotations": sheet.notes,
    }
