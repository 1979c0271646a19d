"""What stands across the panels of a timeline: events above them, stretches without data in them.

Owns the strip of events, the lines that the grave ones draw through all panels, and the shades.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dashboard.charts.frame import plain
from dashboard.charts.series import Series
from dashboard.view import Window

MARKS_MAX = 200
LINES_MAX = 20
GAPS_MAX = 40
# A shorter hole is the sampling itself, not a silence.
GAP_STEPS_MIN = 3
# A stretch of less than this share of a chart has no room for a word on a phone; its shade says it.
WORD_SHARE = 0.15

Parts = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: a word at a time. Events are diamonds, incidents triangles."""

    time_s: float
    text: str
    colour: str = "warn"
    symbol: str = "diamond"


def strip(
    marks: Sequence[Mark], axis: str, domain: tuple[float, float]
) -> tuple[dict[str, Any], dict[str, Any], Parts]:
    """Return the newest marks as a trace, the axis of their strip, and lines for the grave ones."""
    shown = sorted(marks, key=lambda mark: mark.time_s)[-MARKS_MAX:]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "event",
        "x": [mark.time_s * 1000 for mark in shown],
        "y": [0.5] * len(shown),
        "yaxis": axis,
        "marker": {
            "symbol": [mark.symbol for mark in shown],
            "size": 9,
            "color": [f"@{mark.colour}" for mark in shown],
        },
        "text": [plain(mark.text) for mark in shown],
        "hovertemplate": "%{text}<extra></extra>",
    }
    hidden = {
        "domain": list(domain),
        "range": [0, 1],
        "visible": False,
        "fixedrange": True,
        "anchor": "x",
    }
    grave = [mark for mark in shown if mark.colour == "bad"][-LINES_MAX:]
    return trace, hidden, [_line(mark.time_s * 1000) for mark in grave]


def _line(at_ms: float) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": at_ms,
        "x1": at_ms,
        "y0": 0,
        "y1": 1,
        "line": {"color": "@bad", "width": 1, "dash": "dot"},
        "layer": "below",
        "opacity": 0.55,
    }


def gaps(values: Series) -> list[tuple[int, int]]:
    """Return first and last step of each stretch without data, once there was some."""
    known = np.flatnonzero(~np.isnan(values)).tolist()
    if not known:
        return []
    edges = pairwise([*known, len(values)])
    return [(left + 1, right - 1) for left, right in edges if right - left > GAP_STEPS_MIN]


def silent_stretches(window: Window, silence: Series) -> tuple[Parts, Parts]:
    """Return a shade for each stretch without data, and a word where there is room."""

    def at_ms(step: float) -> float:
        return (window.start_s + step * window.step_s) * 1000

    shades: Parts = []
    words: Parts = []
    for first, last in gaps(silence)[-GAPS_MAX:]:
        shades.append(
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": at_ms(first - 1),
                "x1": at_ms(last + 1),
                "y0": 0,
                "y1": 1,
                "fillcolor": "@band",
                "line": {"width": 0},
                "layer": "below",
            }
        )
        if (last - first) * window.step_s < WORD_SHARE * (window.end_s - window.start_s):
            continue
        words.append(
            {
                "text": "no data",
                "x": at_ms((first + last) / 2),
                "y": 0,
                "xref": "x",
                "yref": "paper",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 10.5, "color": "@muted"},
            }
        )
    return shades, words
