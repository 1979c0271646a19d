"""Something that is due every so often, and something that has been so for long."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Timer:
    """Due at once the first time, then every so often."""

    every_s: float
    _due_s: float = field(default=float("-inf"))

    def is_due(self, now_s: float) -> bool:
        """Whether it is time; if so, the next time is set."""
        if now_s < self._due_s:
            return False
        self._due_s = now_s + self.every_s
        return True


@dataclass(slots=True)
class Patience:
    """Ends once something has been so for longer than so many seconds without a break."""

    lasts_s: float
    _since_s: float | None = field(default=None)

    def has_ended(self, now_s: float, *, is_so: bool) -> bool:
        """Whether that is the case now; if so, it begins anew."""
        if not is_so:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        elif now_s - self._since_s > self.lasts_s:
            self._since_s = None
            return True
        return False
