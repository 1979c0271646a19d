"""Recorded times and the present: when each moment is sent, and which time it is stamped with.

Owns that mapping. `shifted` moves the recording so that its last moment is now when the replay
ends; `original` keeps its times; `wall` stamps each moment with the time at which it is sent.
"""

import math
from dataclasses import dataclass

MODES = ("shifted", "original", "wall")


@dataclass(frozen=True, slots=True)
class Timeline:
    """One pass through a recording.

    Attributes:
        speed: recorded seconds a second; infinite is as fast as the broker takes it.
        start_us: wall time at which the pass starts.
    """

    mode: str
    first_s: float
    last_s: float
    speed: float
    start_us: int

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.mode not in MODES:
            raise ValueError(f"{self.mode} is not one of {', '.join(MODES)}")
        if self.mode == "wall" and math.isinf(self.speed):
            raise ValueError("wall times need a speed: without one all times would be the same")

    def due_s(self, time_s: float) -> float:
        """Seconds after the start at which a moment is sent."""
        return (time_s - self.first_s) / self.speed

    def stamp_us(self, time_s: float) -> int:
        """Wall time in microseconds that a moment is stamped with."""
        if self.mode == "original":
            return round(time_s * 1e6)
        if self.mode == "wall":
            return self.start_us + round(self.due_s(time_s) * 1e6)
        end_us = self.start_us + round(self.due_s(self.last_s) * 1e6)
        return end_us - round((self.last_s - time_s) * 1e6)

    def interval_ms(self, moments: int) -> int:
        """Return the mean distance between that many moments, as they are stamped."""
        first_us, last_us = self.range_us
        return round((last_us - first_us) / max(1, moments - 1) / 1000)

    @property
    def range_us(self) -> tuple[int, int]:
        """The first and the last stamp."""
        return self.stamp_us(self.first_s), self.stamp_us(self.last_s)
