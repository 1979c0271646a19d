"""Where the name of a stretch of a lane stands: in the stretch, or beside one that is too short.

Owns the choice. How wide a chart is on the screen is known to the browser alone: the room is
reckoned for a chart between that of a phone and that of a desk. Pure.
"""

from typing import Any

from dashboard.charts.frame import plain
from dashboard.view import Window

NAME_PX = 11
LETTER_PX = 6.0
SHIFT_PX = 4
PLOT_PX = 900


def note(
    window: Window,
    stretch_s: tuple[float, float],
    free_s: tuple[float, float],
    text: str,
    middle_px: float,
) -> dict[str, Any]:
    """Return the annotation that names a stretch.

    In the stretch it is written from the edge from which there is more room in the window. Beside
    a stretch that is too short for it, where the lane is free there: half in and half out of its
    colour it is hard to read.

    Args:
        window: the time axis.
        stretch_s: from when to when the stretch is seen.
        free_s: from when to when nothing else is in the lane.
        text: the name, as it came.
        middle_px: the middle of the lane, on the axis of lanes.
    """
    start_s, end_s = stretch_s
    left_s, right_s = start_s - free_s[0], free_s[1] - end_s
    whole_s = window.end_s - window.start_s
    wide_s = (LETTER_PX * len(text) + 2 * SHIFT_PX) / PLOT_PX * whole_s
    beside = end_s - start_s < wide_s <= max(left_s, right_s)
    late = left_s >= right_s if beside else end_s - window.start_s > window.end_s - start_s
    return {
        "text": plain(text),
        "x": 1000 * (end_s if late != beside else start_s),
        "y": middle_px,
        "xref": "x",
        "yref": "y",
        "xanchor": "right" if late else "left",
        "yanchor": "middle",
        "showarrow": False,
        "xshift": -SHIFT_PX if late else SHIFT_PX,
        "font": {"size": NAME_PX, "color": "@text"},
    }
