"""When the next tick is due, on the monotonic clock.

Owns nothing but arithmetic: a wall-clock step changes nothing, a late tick does not delay the
next one, and ticks that could not happen are counted, not made up for in a burst.
"""


class Schedule:
    """Ticks at `start + n * interval`."""

    def __init__(self, interval_s: float, start_s: float) -> None:
        self.interval_s = interval_s
        self._next_s = start_s

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next tick is due; 0 when it is."""
        return max(0.0, self._next_s - now_s)

    def due(self, now_s: float) -> bool:
        """Whether the next tick is due."""
        return now_s >= self._next_s

    def advance(self, now_s: float) -> int:
        """Take the tick that is due, and return how many before it were missed."""
        missed = max(0, int((now_s - self._next_s) / self.interval_s))
        self._next_s += (missed + 1) * self.interval_s
        return missed
