"""State timelines: one lane a subject, coloured by what was true from when to when.

Owns the words and the textures of conditions, how readings become stretches of one condition, and
the figure. Its time axis has the margins of `timeline.py`, so that the two stand exactly under
each other. What is alike in hue is told apart by texture.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.charts import frame
from dashboard.charts.frame import MARGIN_PX, plain
from dashboard.charts.series import Series
from dashboard.charts.timeline import Figure
from dashboard.states import BUSY_PERCENT_MIN
from dashboard.view import Window
from dashboard.wording import duration
from telemetry.records import ReaderStatus

LANE_PX = 19
# Messages leave every ten seconds or so: the last of the axis is not silent, only not here yet.
ON_ITS_WAY_S = 30
SEGMENTS_MAX = 3000
ALERT_LANES_MAX = 5
# NVML's clock event reasons. https://docs.nvidia.com/deploy/nvml-api
POWER_CAP_BIT = 0x4
HARDWARE_BIT = 0x8
HEAT_BITS = 0x20 | 0x40
BRAKE_BIT = 0x80
REASONS = {
    0x1: "idle",
    0x2: "application clocks",
    POWER_CAP_BIT: "power cap",
    HARDWARE_BIT: "hardware slowdown",
    0x10: "sync boost",
    0x20: "heat, by software",
    0x40: "heat, by hardware",
    BRAKE_BIT: "power brake",
    0x100: "display clocks",
}


class Condition(IntEnum):
    """What an accelerator went through in a step; where several hold, the highest."""

    IDLE = 0
    BUSY = 1
    POWER_CAP = 2
    PARTIAL = 3
    HARDWARE = 4
    BRAKE = 5
    HEAT = 6
    NO_DATA = 7
    SILENT = 8
    MISMATCH = 9
    LOST = 10


@dataclass(frozen=True, slots=True)
class Look:
    """How a condition is called and drawn: a colour of the style sheet and a texture."""

    label: str
    colour: str
    pattern: str = ""
    opacity: float = 1.0


LOOKS = {
    Condition.IDLE: Look("idle", "cell-idle"),
    Condition.BUSY: Look("busy", "cell-busy"),
    Condition.POWER_CAP: Look("busy, at the power cap", "load"),
    Condition.PARTIAL: Look("read in part", "cell-predicted", "."),
    Condition.HARDWARE: Look("slowed by hardware", "cell-degraded", "+"),
    Condition.BRAKE: Look("power brake", "cell-degraded", "|"),
    Condition.HEAT: Look("slowed by heat", "cell-degraded"),
    Condition.NO_DATA: Look("no data", "cell-stale", "/", 0.55),
    Condition.SILENT: Look("driver does not answer", "cell-unknown", "x"),
    Condition.MISMATCH: Look("driver and library differ", "cell-unknown", "."),
    Condition.LOST: Look("lost", "cell-lost", "x"),
}
SEVERITY_LOOKS = {
    "critical": Look("critical alert", "bad", "", 0.55),
    "warning": Look("warning", "warn", "", 0.55),
    "info": Look("note", "info", "", 0.55),
}


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of a lane. `open` means that it has not ended; `text` is drawn in it."""

    start_s: float
    end_s: float
    look: Look
    open: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """A subject and its stretches. Names are labels of ours or names that were checked on entry."""

    name: str
    segments: Sequence[Segment]


def conditions(
    status: Series, reasons: Series, load: Series, headroom: Series
) -> NDArray[np.int64]:
    """Return the condition of each step; a step without any reading is `NO_DATA`."""
    seen = ~(np.isnan(status) & np.isnan(load))
    bits = np.nan_to_num(reasons).astype(np.int64)
    with np.errstate(invalid="ignore"):
        busy = load >= BUSY_PERCENT_MIN
        # Later lines win.
        rules = (
            (busy, Condition.BUSY),
            (busy & ((bits & POWER_CAP_BIT) > 0), Condition.POWER_CAP),
            (status == ReaderStatus.PARTIAL, Condition.PARTIAL),
            ((bits & HARDWARE_BIT) > 0, Condition.HARDWARE),
            ((bits & BRAKE_BIT) > 0, Condition.BRAKE),
            (((bits & HEAT_BITS) > 0) | (headroom <= 0), Condition.HEAT),
            (status == ReaderStatus.TIMEOUT, Condition.SILENT),
            (status == ReaderStatus.DRIVER_MISMATCH, Condition.MISMATCH),
            (status == ReaderStatus.LOST, Condition.LOST),
            (~seen, Condition.NO_DATA),
        )
    codes = np.full(len(status), Condition.IDLE, np.int64)
    for condition, code in rules:
        codes[condition] = code
    return codes


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


def reason_words(bits: float | None) -> str:
    """Name the clock event reasons in a mask, the unknown ones by their number."""
    if bits is None or np.isnan(bits):
        return ""
    mask = int(bits)
    words = [word for bit, word in REASONS.items() if mask & bit and bit != 0x1]
    rest = mask & ~sum(REASONS)
    return ", ".join([*words, *([f"0x{rest:x}"] if rest else [])])


def shown_looks(lanes: Iterable[Lane]) -> list[Look]:
    """Return the looks that occur, in a fixed order: what a legend must explain."""
    used = dict.fromkeys(segment.look for lane in lanes for segment in lane.segments)
    order = [*LOOKS.values(), *SEVERITY_LOOKS.values()]
    return sorted(used, key=lambda look: order.index(look) if look in order else len(order))


def figure(window: Window, lanes: Sequence[Lane], label_px: int = MARGIN_PX["l"]) -> Figure:
    """Return the lanes from top to bottom, on the axis of a `timeline` under it."""
    order = {lane.name: n for n, lane in enumerate(lanes)}
    data = []
    for look in shown_looks(lanes):
        found = [(lane, s) for lane in lanes for s in lane.segments if s.look == look]
        data.append(_trace(window, order, look, found[-SEGMENTS_MAX:]))
    notes = [
        _name(window, order[lane.name], segment)
        for lane in lanes
        for segment in lane.segments
        if segment.text
    ]
    return {"data": data, "layout": _layout(window, lanes, notes, label_px)}


def _trace(
    window: Window, order: dict[str, int], look: Look, found: list[tuple[Lane, Segment]]
) -> dict[str, Any]:
    starts = [max(s.start_s, window.start_s) for _, s in found]
    ends = [min(s.end_s, window.end_s) for _, s in found]
    marker: dict[str, Any] = {
        "color": f"@{look.colour}",
        "opacity": look.opacity,
        "line": {"width": 0},
    }
    if look.pattern:
        marker["pattern"] = {
            "shape": look.pattern,
            "size": 5,
            "solidity": 0.4,
            "fillmode": "overlay",
            "bgcolor": "@clear",
            "fgcolor": f"@{look.colour}",
        }
    return {
        "type": "bar",
        "orientation": "h",
        "name": look.label,
        "base": [int(start * 1000) for start in starts],
        "x": [max(0, int((end - s) * 1000)) for s, end in zip(starts, ends, strict=True)],
        "y": [order[lane.name] for lane, _ in found],
        "width": 0.74,
        "marker": marker,
        "customdata": [_told(lane, segment) for lane, segment in found],
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def _told(lane: Lane, segment: Segment) -> str:
    start = f"@t{segment.start_s:.0f};"
    end = "now" if segment.open else f"@t{segment.end_s:.0f};"
    lasted = duration(segment.end_s - segment.start_s)
    what = plain(segment.text) or segment.look.label
    return f"<b>{plain(lane.name)}</b> {what}<br>{start} to {end} · {lasted}"


def _name(window: Window, row: int, segment: Segment) -> dict[str, Any]:
    """Write a stretch's name into it, from the side where there is room."""
    late = segment.start_s > (window.start_s + window.end_s) / 2
    at = min(segment.end_s, window.end_s) if late else max(segment.start_s, window.start_s)
    return {
        "text": plain(segment.text),
        "x": at * 1000,
        "y": row,
        "xref": "x",
        "yref": "y",
        "xanchor": "right" if late else "left",
        "yanchor": "middle",
        "showarrow": False,
        "xshift": -4 if late else 4,
        "font": {"size": 11, "color": "@text"},
    }


def _layout(
    window: Window, lanes: Sequence[Lane], notes: list[dict[str, Any]], label_px: int
) -> dict[str, Any]:
    margin_px = {"l": label_px, "r": MARGIN_PX["r"], "t": 2, "b": 4}
    return frame.layout(window, len(lanes) * LANE_PX + 6, margin_px) | {
        "barmode": "overlay",
        "hovermode": "closest",
        "xaxis": frame.time_axis(window, labelled=False),
        "yaxis": {
            "range": [len(lanes) - 0.5, -0.5],
            "tickmode": "array",
            "tickvals": list(range(len(lanes))),
            "ticktext": [plain(lane.name) for lane in lanes],
            "tickfont": {"size": 11, "color": "@muted"},
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
            "ticks": "",
        },
        "annotations": notes,
    }
