"""A panel of a time chart: lines of one unit under one title.

Owns what a panel is told to draw, the range of its axis, its title, and how lines are stacked.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dashboard.charts.frame import plain
from dashboard.charts.series import Series


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel.

    Attributes:
        fill: `area`, `stack`, or the name of the line to fill up to.
        key: what the title calls it, where that is not its name: a band has two lines.
    """

    name: str
    values: Series
    colour: str
    dash: str = "solid"
    width: float = 1.6
    fill: str = ""
    step_s: int = 0
    in_legend: bool = True
    key: str = ""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A named level that means something."""

    value: float
    name: str
    colour: str = "bad"


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines of one unit under one title."""

    title: str
    unit: str
    lines: Sequence[Line]
    low: float | None = 0.0
    high: float | None = None
    thresholds: Sequence[Threshold] = ()
    digits: int = 0
    aside: str = ""
    bars: bool = False


def stack(panel: Panel) -> list[Line]:
    """Return the lines lifted onto each other; plotly's own stacks draw a gap as zero."""
    lifted = []
    base: Series | None = None
    for line in panel.lines:
        if base is None:
            base = line.values
        else:
            known = ~(np.isnan(base) & np.isnan(line.values))
            base = np.where(known, np.nan_to_num(base) + np.nan_to_num(line.values), np.nan)
        lifted.append(replace(line, values=base))
    return lifted


def limits(panel: Panel, *, stacked: bool) -> tuple[float, float]:
    """Return where the axis begins and ends: at all that is in it, with some room above."""
    low, high = panel.low, panel.high
    arrays = [line.values for line in panel.lines if len(line.values)]
    known = [array[~np.isnan(array)] for array in arrays]
    known = [array for array in known if len(array)]
    if stacked and known and len({len(a) for a in arrays}) == 1:
        known.append(np.nansum(np.array(arrays), axis=0))
    least = min((float(array.min()) for array in known), default=0.0)
    most = max((float(array.max()) for array in known), default=1.0)
    if low is None:
        low = least - 0.06 * max(1.0, most - least)
    low = min(low, least)
    if high is None:
        high = most + 0.14 * max(1e-9, most - low)
    return low, max(high, low + 1e-6, 1.0 if panel.low == 0 else -math.inf)


def title(panel: Panel) -> str:
    """Return its title, unit, and the names of its lines in their colours, those of bands last."""
    shown = [line for line in panel.lines if line.in_legend and line.name]
    names = [
        f'{_sample(line)}<span style="color:@{line.colour}"> {plain(line.key or line.name)}</span>'
        for line in sorted(shown, key=_is_edge)
    ]
    unit = f" {plain(panel.unit)}" if panel.unit else ""
    head = f'<b>{plain(panel.title)}</b><span style="color:@muted">{unit}</span>'
    return "   ".join([head, *names])


def _is_edge(line: Line) -> bool:
    """Whether it is not drawn, but what is filled up to it."""
    return line.width == 0


def _sample(line: Line) -> str:
    colour, text = (
        ("hair", "▆")
        if _is_edge(line)
        else (line.colour, {"dash": "╍", "dot": "┈"}.get(line.dash, "━"))
    )
    return f'<span style="color:@{colour}">{text}</span>'
