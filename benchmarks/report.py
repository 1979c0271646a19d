"""What a bench prints: figures with where, how and how often they were measured.

Owns the JSON's shape, the median over runs and its spread. A figure that could not be measured is
null, and a note says why; nothing is left out silently.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

# A number, null where it could not be measured, or a group of figures by name.
Figure = float | int | None | Mapping[str, "Figure"]
Figures = Mapping[str, Figure]

SPREAD = "_spread"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What ran beside the measured programs; None where a bench needs none."""

    broker: str | None = None
    database: str | None = None
    tier: str | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a bench came to.

    Attributes:
        parameters: what it was told, and what it chose itself.
        runs: the figures of each run.
        notes: what a reader must know to judge the figures, one sentence each.
    """

    bench: str
    parameters: Mapping[str, Any]
    runs: Sequence[Figures]
    stack: Stack = field(default_factory=Stack)
    notes: Sequence[str] = ()

    def document(self, machine: Mapping[str, Any]) -> dict[str, Any]:
        """Return the object that is printed."""
        stack = self.stack
        return {
            "bench": self.bench,
            "machine": dict(machine),
            "stack": {"broker": stack.broker, "database": stack.database, "tier": stack.tier},
            "parameters": dict(self.parameters),
            "runs": [dict(run) for run in self.runs],
            "figures": summarise(self.runs),
            "notes": list(self.notes),
        }


def summarise(runs: Sequence[Figures]) -> dict[str, Any]:
    """Return the median of each figure, and beside it `_spread`: the least and the most.

    A figure that some runs lack is that of the others; one that none has is null.
    """
    names = dict.fromkeys(name for run in runs for name in run)
    found: dict[str, Any] = {}
    for name in names:
        values = [run[name] for run in runs if run.get(name) is not None]
        groups = [value for value in values if isinstance(value, Mapping)]
        numbers = [value for value in values if isinstance(value, int | float)]
        if groups:
            found[name] = summarise(groups)
        else:
            found[name] = round_figure(median(numbers)) if numbers else None
            found[name + SPREAD] = (
                [round_figure(f(numbers)) for f in (min, max)] if numbers else None
            )
    return found


def round_figure(value: float) -> float | int:
    """Return a number with four significant digits, whole where it is large."""
    if isinstance(value, int) or abs(value) >= 10_000:
        return round(value)
    return float(f"{value:.4g}")


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the value that so many percent do not exceed (nearest rank); None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float | None:
    """Return by how much a value rises in an hour: least squares over (seconds, value)."""
    if len(points) < 3:
        return None
    mean_s = sum(at for at, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    spread = sum((at - mean_s) ** 2 for at, _ in points)
    if spread == 0:
        return None
    return 3600 * sum((at - mean_s) * (value - mean) for at, value in points) / spread
