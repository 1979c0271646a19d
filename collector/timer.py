"""Something that is due every so often."""

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
