"""What the agent counts about itself, from all its threads.

Owns the counters that travel in the heartbeat. Each warning in the log has one beside it.
"""

import threading
from collections import Counter


class Counters:
    """Named counts since the start; adding is safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, count: int = 1) -> None:
        """Add to a count; 0 leaves no trace."""
        if count:
            with self._lock:
                self._counts[name] += count

    def __getitem__(self, name: str) -> int:
        with self._lock:
            return self._counts[name]

    def snapshot(self) -> dict[str, int]:
        """Return all counts, sorted by name."""
        with self._lock:
            return dict(sorted(self._counts.items()))
