"""The Health page's figure: what happened to the hardware, a row a code, a mark a step.

Owns which events are one row, how rows are ordered and how grave each looks. The size of a mark is
how often it happened in the step; the grave are squares, so that hue is not all that tells them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dashboard.charts import frame
from dashboard.charts.facility import event_tone, event_words
from dashboard.charts.frame import MARGIN_PX, plain
from dashboard.charts.marks import Mark, strip
from dashboard.charts.timeline import Figure
from dashboard.view import Window

ROW_PX = 23
ROWS_MAX = 16
INCIDENT_ROW = -1
LABEL_PX = 186
LABEL_CHARS_MAX = 27
# Codes that make another kind of an event; those of the others are counts or evidence.
CODED = ("xid", "xid_burst", "sxid", "recovery_action")
# Recovery actions as NVML numbers them, after nvmlDeviceGetGpuRecoveryAction and field 230.
RECOVERY_ACTIONS = {
    1: "reset the GPU",
    2: "reboot the host",
    3: "drain the peers",
    4: "drain and reset",
    5: "restart IMEX",
    6: "reset the bus",
    7: "reboot the system",
}
COLOURS = {"critical": "bad", "warning": "warn", "info": "info", "": "muted"}
SYMBOLS = {"critical": "diamond", "warning": "square", "info": "circle", "": "circle"}
TONE_SEVERITIES = {"bad": "critical", "warn": "warning"}


@dataclass(slots=True)
class Kind:
    """One row: a kind of event with its code."""

    words: str
    meaning: str
    action: str
    severity: str
    count: int = 0
    newest_s: float = 0.0
    steps: list[Any] = field(default_factory=list)


def kinds(rows: Sequence[Any]) -> list[Kind]:
    """Gather the steps of each kind and code, gravest and most frequent first."""
    found: dict[tuple[str, int | None], Kind] = {}
    for row in rows:
        key = (row.kind, row.code if row.kind in CODED else None)
        if key not in found:
            found[key] = Kind(words(row), row.meaning or "", row.action or "", _severity(row))
        kind = found[key]
        kind.count += row.count
        kind.newest_s = max(kind.newest_s, row.newest_s)
        kind.steps.append(row)
    order = list(COLOURS)
    return sorted(found.values(), key=lambda kind: (order.index(kind.severity), -kind.count))


def words(row: Any) -> str:
    """Name a kind of event, with its code where that makes it another kind."""
    if row.kind == "recovery_action" and row.code is not None:
        return f"asks: {RECOVERY_ACTIONS.get(row.code, row.code)}"
    if row.kind == "sxid":
        return f"SXid {row.code}"
    return event_words(row).replace("xid burst", "Xid burst")


def _severity(row: Any) -> str:
    """An Xid has what the policy gives it, which may be nothing; other events have their tone."""
    if row.kind in ("xid", "xid_burst") and row.meaning:
        return row.severity or ""
    return TONE_SEVERITIES.get(event_tone(row), "")


def figure(window: Window, found: Sequence[Kind], marks: Sequence[Mark] = ()) -> Figure:
    """Return rows of events on a time axis, and above them a row of incidents where there are any.

    Args:
        window: the time axis.
        found: a row each.
        marks: where incidents began.
    """
    shown = found[:ROWS_MAX]
    data = [_trace(kind, row) for row, kind in enumerate(shown)]
    layout = _layout(window, shown)
    if marks:
        trace, _, lines = strip(marks, "y", (0.0, 1.0))
        data.append({**trace, "name": "incident", "y": [INCIDENT_ROW] * len(trace["x"])})
        axis = layout["yaxis"]
        axis["range"][1] = INCIDENT_ROW - 0.5
        axis["tickvals"].append(INCIDENT_ROW)
        axis["ticktext"].append("incidents")
        layout |= {"shapes": lines, "height": layout["height"] + ROW_PX}
    return {"data": data, "layout": layout}


def _trace(kind: Kind, row: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": kind.words,
        "x": [step.bucket_s * 1000 for step in kind.steps],
        "y": [row] * len(kind.steps),
        "marker": {
            "symbol": SYMBOLS[kind.severity],
            "size": [min(20.0, 7 + 4 * math.log2(step.count)) for step in kind.steps],
            "color": f"@{COLOURS[kind.severity]}",
            "opacity": 0.85,
            "line": {"width": 0},
        },
        "customdata": [
            f"{step.count} on {step.accelerators or step.hosts} "
            f"{'GPU' if step.accelerators else 'host'}"
            f"{'s' if (step.accelerators or step.hosts) != 1 else ''}"
            for step in kind.steps
        ],
        "hovertemplate": f"<b>{plain(kind.words)}</b> %{{customdata}}<br>%{{x}}<br>"
        f"{plain(kind.meaning)}<extra></extra>",
    }


def _label(kind: Kind) -> str:
    words = f"{kind.words} {kind.meaning}" if kind.meaning else kind.words
    cut = words if len(words) <= LABEL_CHARS_MAX else f"{words[: LABEL_CHARS_MAX - 1]}…"
    return plain(cut)


def _layout(window: Window, shown: Sequence[Kind]) -> dict[str, Any]:
    height_px = max(2, len(shown)) * ROW_PX + MARGIN_PX["t"] + MARGIN_PX["b"]
    return frame.layout(window, height_px, {**MARGIN_PX, "l": LABEL_PX}) | {
        "hovermode": "closest",
        "xaxis": frame.time_axis(window),
        "yaxis": {
            "range": [max(2, len(shown)) - 0.5, -0.5],
            "tickmode": "array",
            "tickvals": list(range(len(shown))),
            "ticktext": [_label(kind) for kind in shown],
            "tickfont": {"size": 11.5, "color": "@soft"},
            "gridcolor": "@grid",
            "zeroline": False,
            "fixedrange": True,
            **frame.CLEAR_TICKS,
        },
    }
