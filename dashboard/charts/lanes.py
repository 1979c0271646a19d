"""State timelines: one lane a subject, coloured by what was true from when to when.

Owns how conditions become stretches of one condition, and the figure. Its time axis has the margins
of `timeline.py`, so that the two stand exactly under each other.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dashboard.charts import frame, names
from dashboard.charts.conditions import LOOKS, Condition, Interval, Look
from dashboard.charts.frame import MARGIN_PX, plain
from dashboard.charts.timeline import Figure
from dashboard.view import Window
from dashboard.wording import duration

LANE_PX = 19
LABELLED_PX = 26
GAP_PX = 5
LABEL_PX = 11
# Messages leave every ten seconds or so: the last of the axis is not silent, only not here yet.
ON_ITS_WAY_S = 30
SEGMENTS_MAX = 3000
ALERT_LANES_MAX = 5
SEVERITY_LOOKS = {
    "critical": Look("critical alert", "bad", "", 0.55),
    "warning": Look("warning", "warn", "", 0.55),
    "info": Look("note", "info", "", 0.55),
}


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of a lane.

    Attributes:
        open: it has not ended.
        text: what it is, where its look does not say so; drawn beside its edge.
        label: drawn in it where there is room.
        told_s: from when to when it truly was, where that is known better than to the step.
        more: what the pointer reads besides.
    """

    start_s: float
    end_s: float
    look: Look
    open: bool = False
    text: str = ""
    label: str = ""
    told_s: tuple[float, float] | None = None
    more: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """A subject and its stretches. Names are labels of ours or names that were checked on entry."""

    name: str
    segments: Sequence[Segment]


def stretches(codes: NDArray[np.int64], window: Window) -> list[Segment]:
    """Return runs of one condition; what came before the first reading is left blank."""
    known = np.flatnonzero(codes != Condition.NO_DATA)
    if not len(known):
        return []
    last = len(codes)
    if (last - 1 - known[-1]) * window.step_s <= ON_ITS_WAY_S:
        last = int(known[-1]) + 1
    edges = np.flatnonzero(np.diff(codes[known[0] : last])) + 1 + known[0]
    bounds = [int(known[0]), *edges.tolist(), last]
    return [
        Segment(
            window.start_s + left * window.step_s,
            min(window.start_s + right * window.step_s, window.end_s),
            LOOKS[Condition(int(codes[left]))],
            open=right == last and window.live,
        )
        for left, right in pairwise(bounds)
    ]


def silences(heard: NDArray[np.bool_], window: Window) -> list[Segment]:
    """Return when nothing was heard, of steps in which something was or not."""
    codes = np.where(heard, Condition.IDLE, Condition.NO_DATA).astype(np.int64)
    return [s for s in stretches(codes, window) if s.look == LOOKS[Condition.NO_DATA]]


def exactly(segments: Sequence[Segment], told: Iterable[Interval]) -> list[Segment]:
    """Return stretches with the times of the stored intervals that they are made of.

    Intervals are those of one accelerator, so that two of one condition never overlap.
    """
    by_look: dict[Look, list[Interval]] = {}
    for interval in sorted(told, key=_start_s):
        by_look.setdefault(LOOKS[interval.condition], []).append(interval)
    return [_exact(segment, by_look.get(segment.look, [])) for segment in segments]


def _start_s(interval: Interval) -> float:
    return interval.start_s


def _end_s(interval: Interval) -> float:
    return interval.end_s


def _exact(segment: Segment, told: Sequence[Interval]) -> Segment:
    last = bisect_left(told, segment.end_s, key=_start_s)
    found = told[bisect_left(told, segment.start_s, hi=last, key=_end_s) : last]
    if not found:
        return segment
    start_s = min(interval.start_s for interval in found)
    end_s = max(interval.end_s for interval in found)
    times = sum(interval.times for interval in found)
    lasted_s = sum(interval.lasted_s for interval in found)
    return replace(
        segment,
        open=segment.open and math.isinf(end_s),
        told_s=(start_s, segment.end_s if math.isinf(end_s) else end_s),
        more=f"{times} times, {duration(lasted_s)} in all" if times > 1 else "",
    )


def alert_lanes(window: Window, alerts: Iterable[Any]) -> list[Lane]:
    """Return a lane a rule; an alert that is open reaches to the end."""
    by_rule: dict[str, list[Segment]] = {}
    for alert in alerts:
        is_open = alert.resolved_s is None
        segment = Segment(
            alert.started_s,
            window.end_s if is_open else alert.resolved_s,
            SEVERITY_LOOKS.get(alert.severity, SEVERITY_LOOKS["info"]),
            open=is_open,
            text="" if alert.rule in by_rule else alert.rule.replace("_", " "),
        )
        by_rule.setdefault(alert.rule, []).append(segment)
    # Names of lanes must differ, though all are called alike: spaces without width tell them apart.
    return [
        Lane("alert" + "\u200b" * n, segments)
        for n, segments in enumerate(list(by_rule.values())[:ALERT_LANES_MAX])
    ]


def shown_looks(lanes: Iterable[Lane]) -> list[Look]:
    """Return the looks that occur, in a fixed order: what a legend must explain."""
    used = dict.fromkeys(segment.look for lane in lanes for segment in lane.segments)
    order = [*LOOKS.values(), *SEVERITY_LOOKS.values()]
    return sorted(used, key=lambda look: order.index(look) if look in order else len(order))


def figure(window: Window, lanes: Sequence[Lane], *, alone: bool = False) -> Figure:
    """Return the lanes from top to bottom, on the axis of a `timeline` under it.

    Args:
        window: the time axis.
        lanes: from top to bottom.
        alone: no chart stands under them, and their stretches are named: the axis has its times.
    """
    heights_px = [_height_px(lane) for lane in lanes]
    order = {
        lane.name: _Row(until_px - height_px / 2, height_px)
        for lane, height_px, until_px in zip(lanes, heights_px, accumulate(heights_px), strict=True)
    }
    data = []
    for look in shown_looks(lanes):
        found = [(lane, s) for lane in lanes for s in lane.segments if s.look == look]
        data.append(_trace(window, order, look, found[-SEGMENTS_MAX:]))
    notes = [
        _name(window, order[lane.name], lane, segment)
        for lane in lanes
        for segment in lane.segments
        if segment.text and not segment.label
    ]
    return {"data": data, "layout": _layout(window, order, notes, alone=alone)}


class _Row(NamedTuple):
    """Where a lane lies, in pixels from the top: its middle, and its height."""

    middle_px: float
    height_px: int


def _height_px(lane: Lane) -> int:
    """Return the height of a lane; Plotly needs three pixels above and below a label."""
    return LABELLED_PX if any(segment.label for segment in lane.segments) else LANE_PX


def _trace(
    window: Window, order: dict[str, _Row], look: Look, found: list[tuple[Lane, Segment]]
) -> dict[str, Any]:
    starts = [max(s.start_s, window.start_s) for _, s in found]
    ends = [min(s.end_s, window.end_s) for _, s in found]
    marker: dict[str, Any] = {
        "color": f"@{look.colour}",
        "opacity": look.opacity,
        "line": {"width": 0},
    }
    if look.edged:
        marker["line"] = {"width": 1, "color": "@bg"}
    if look.pattern:
        marker["pattern"] = {
            "shape": look.pattern,
            "size": 5,
            "solidity": 0.4,
            "fillmode": "overlay",
            "bgcolor": "@clear",
            "fgcolor": f"@{look.colour}",
        }
    trace: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "name": look.label,
        "base": [int(start * 1000) for start in starts],
        "x": [max(0, int((end - s) * 1000)) for s, end in zip(starts, ends, strict=True)],
        "y": [order[lane.name].middle_px for lane, _ in found],
        "width": [order[lane.name].height_px - GAP_PX for lane, _ in found],
        "marker": marker,
        "customdata": [_told(lane, segment) for lane, segment in found],
        "hovertemplate": "%{customdata}<extra></extra>",
    }
    if any(segment.label for _, segment in found):
        trace |= {
            "text": [plain(segment.label) for _, segment in found],
            "textposition": "inside",
            "insidetextanchor": "start",
            "textangle": 0,
            "insidetextfont": {"size": LABEL_PX, "color": "@text"},
        }
    return trace


def _told(lane: Lane, segment: Segment) -> str:
    start_s, end_s = segment.told_s or (segment.start_s, segment.end_s)
    end = "now" if segment.open else f"@t{end_s:.0f};"
    what = plain(segment.text) or segment.look.label
    more = f"<br>{plain(segment.more)}" if segment.more else ""
    return (
        f"<b>{plain(lane.name)}</b> {what}<br>@t{start_s:.0f}; to {end}"
        f" · {duration(end_s - start_s)}{more}"
    )


def _name(window: Window, row: _Row, lane: Lane, segment: Segment) -> dict[str, Any]:
    before = [s.end_s for s in lane.segments if s.end_s <= segment.start_s]
    after = [s.start_s for s in lane.segments if s.start_s >= segment.end_s]
    free_s = (max([window.start_s, *before]), min([window.end_s, *after]))
    stretch_s = (max(segment.start_s, window.start_s), min(segment.end_s, window.end_s))
    return names.note(window, stretch_s, free_s, segment.text, row.middle_px)


def _layout(
    window: Window, order: dict[str, _Row], notes: list[dict[str, Any]], *, alone: bool
) -> dict[str, Any]:
    below_px = MARGIN_PX["b"] if alone else 4
    margin_px = {"l": 2 if alone else MARGIN_PX["l"], "r": MARGIN_PX["r"], "t": 2, "b": below_px}
    high_px = sum(row.height_px for row in order.values())
    return frame.layout(window, high_px + 2 + below_px, margin_px) | {
        "barmode": "overlay",
        "hovermode": "closest",
        "xaxis": frame.time_axis(window, labelled=alone),
        "yaxis": {
            "range": [high_px, 0],
            "tickmode": "array",
            "tickvals": [row.middle_px for row in order.values()],
            "ticktext": [plain(name) for name in order],
            "tickfont": {"size": 11, "color": "@muted"},
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
            **frame.CLEAR_TICKS,
        },
        "annotations": notes,
        # A label that does not fit in its stretch is left out, and not made small.
        "uniformtext": {"mode": "hide", "minsize": LABEL_PX},
    }
