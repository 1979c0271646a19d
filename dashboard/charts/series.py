"""Series on a time grid: gaps stay gaps, spikes stay visible, and when a backlog will be gone.

Owns the step from rows to evenly spaced arrays. Missing is NaN and is drawn as a gap.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.view import Window

Series = NDArray[np.float64]

# A queue is asked every half minute or so; for this long its last answer still counts.
CARRY_S = 120
# Spans over which the trend of a backlog is taken; their results are the band.
TREND_SPANS_S = (300, 900, 3600)
TREND_POINTS_MIN = 4
DRAIN_S_MAX = 14 * 86_400


def times(window: Window) -> Series:
    """Return the grid, in seconds since 1970."""
    return np.asarray(window.start_s + np.arange(window.points) * window.step_s, np.float64)


def on_grid(rows: Iterable[Any], window: Window, columns: Sequence[str]) -> dict[str, Series]:
    """Put rows with a `bucket_s` on the grid, one array a column."""
    rows = list(rows)
    grid = {name: np.full(window.points, np.nan) for name in columns}
    at = np.array([(row.bucket_s - window.start_s) / window.step_s for row in rows])
    index = np.round(at).astype(int)
    inside = (index >= 0) & (index < window.points)
    for name in columns:
        values = np.array([getattr(row, name) for row in rows], np.float64)
        grid[name][index[inside]] = values[inside]
    return grid


def carry(values: Series, steps_max: int) -> Series:
    """Fill gaps of up to `steps_max` steps with the last value before them."""
    known = np.where(np.isnan(values), -1, np.arange(len(values)))
    last = np.maximum.accumulate(known) if len(known) else known
    near = (last >= 0) & (np.arange(len(values)) - last <= steps_max)
    return np.where(near, values[last], np.nan)


def stacked(
    rows: Iterable[Any], window: Window, column: str, keys: Sequence[str]
) -> dict[tuple[Hashable, ...], Series]:
    """Split rows by key columns, and put each part on the grid with its answers carried on."""
    parts: dict[tuple[Hashable, ...], list[Any]] = {}
    for row in rows:
        parts.setdefault(tuple(getattr(row, key) for key in keys), []).append(row)
    steps = max(1, CARRY_S // window.step_s)
    found = {}
    for key, part in parts.items():
        values = on_grid(part, window, [column])[column]
        if not np.isnan(values).all():
            # Backwards only at the very start, where the answer before is outside the window.
            found[key] = _carry_to_start(carry(values, steps), steps)
    return found


def _carry_to_start(values: Series, steps_max: int) -> Series:
    first = int(np.flatnonzero(~np.isnan(values))[0])
    if first <= steps_max:
        values[:first] = values[first]
    return values


def total(parts: Iterable[Series], points: int) -> Series:
    """Add series up; where none is known the sum is not known either."""
    parts = list(parts)
    if not parts:
        return np.full(points, np.nan)
    known = ~np.isnan(np.array(parts))
    return np.where(known.any(axis=0), np.nansum(parts, axis=0), np.nan)


@dataclass(frozen=True, slots=True)
class Drain:
    """When a backlog will be gone, if it goes on as it did.

    Attributes:
        per_hour: how much the backlog changes in an hour, by the middle estimate.
        seconds: until it is empty; None while it does not shrink.
        low_s: the fastest of the estimates.
        high_s: the slowest; None if one of them says never.
    """

    per_hour: float
    seconds: float | None
    low_s: float | None
    high_s: float | None


def drain(values: Series, step_s: float) -> Drain | None:
    """Estimate from the trends of the last minutes to an hour; None where too little is known.

    The backlog must have been seen within the last few steps.
    """
    tail = values[-5:]
    if np.isnan(tail).all():
        return None
    now = float(tail[~np.isnan(tail)][-1])
    slopes = [s for span in TREND_SPANS_S if (s := slope(values, step_s, span)) is not None]
    if not slopes:
        return None
    middle = sorted(slopes)[len(slopes) // 2]
    ends = [-now / slope if slope < 0 else math.inf for slope in slopes]
    ends = [end if end <= DRAIN_S_MAX else math.inf for end in ends]
    finite = [end for end in ends if end < math.inf]
    seconds = -now / middle if middle < 0 and -now / middle <= DRAIN_S_MAX else None
    return Drain(
        per_hour=middle * 3600,
        seconds=0.0 if now <= 0 else seconds,
        low_s=min(finite) if finite else None,
        high_s=max(finite) if len(finite) == len(ends) else None,
    )


def slope(values: Series, step_s: float, span_s: float) -> float | None:
    """Change a second over the last span, by least squares."""
    part = values[-max(2, int(span_s // step_s)) :]
    known = ~np.isnan(part)
    if known.sum() < TREND_POINTS_MIN:
        return None
    at = np.arange(len(part))[known] * step_s
    slope, _ = np.polyfit(at, part[known], 1)
    return float(slope)


def rounded(values: Series, digits: int = 1) -> list[float | None]:
    """Return plain numbers, None for gaps: short in JSON."""
    return [None if math.isnan(v) else round(v, digits) for v in values.tolist()]
