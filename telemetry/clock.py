"""Time as something that is passed in, so that tests decide what time it is.

Owns the two clocks a program may ask. Core code takes a `Clock` or a plain time and never
imports `time`.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for stamping, monotonic time for scheduling; they are never mixed."""

    def now_us(self) -> int:
        """Wall time in microseconds since 1970, UTC. It may step in either direction."""

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back and ignores wall-clock steps."""


class SystemClock:
    """The machine's own clocks."""

    def now_us(self) -> int:
        """Wall time in microseconds since 1970, UTC."""
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()
