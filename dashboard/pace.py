"""How often the live views are computed: as often as something changes, while that is cheap.

Owns the arithmetic. What a look costs is the time it waits for the database and the processor time
of the process until the next one; of each second only so much may go into it, between a fastest
and a slowest pace. So a small fleet is seen four times a second, and a hundred viewers of a
quarter of a million accelerators once. Pure.
"""

from dataclasses import dataclass

# Of a core, the database's work counted as our own.
SHARE_MAX = 0.1
# How much a new measurement counts: one slow look is not yet a slow fleet.
WEIGHT = 0.3


@dataclass(slots=True)
class Pace:
    """The interval between two looks, in seconds."""

    slowest_s: float
    fastest_s: float
    interval_s: float = 0.0

    def __post_init__(self) -> None:
        """Begin slowly: a process that starts has enough to do."""
        self.interval_s = self.slowest_s

    def take(self, cost_s: float) -> None:
        """Learn what the newest look cost, with what followed from it."""
        wanted_s = min(self.slowest_s, max(self.fastest_s, cost_s / SHARE_MAX))
        self.interval_s += WEIGHT * (wanted_s - self.interval_s)

    def is_over(self, since_s: float) -> bool:
        """Tell whether a look is due so long after the one before, whatever has come."""
        return since_s >= 0.95 * self.slowest_s
