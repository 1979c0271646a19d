"""The hand-over from those who read to the one who writes to disk.

Owns a bounded queue. A disk that takes seconds for a write must not hold up a reading, so readings
wait here; when too many do, the oldest go and are counted. They have no number yet, so nothing in
the sequence is missing.
"""

import threading
from collections import deque
from collections.abc import Iterable

from agent.counters import Counters
from agent.drafts import Draft, SampleTick

TICKS_MAX = 600
OTHERS_MAX = 1000


class Inbox:
    """Drafts on their way to the outbox; any thread may put."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._change = threading.Condition()
        self._ticks: deque[SampleTick] = deque()
        self._others: deque[Draft] = deque()
        self._closed = False

    def put(self, drafts: Iterable[Draft]) -> None:
        """Hand drafts over."""
        with self._change:
            for draft in drafts:
                if isinstance(draft, SampleTick):
                    self._bound(self._ticks, TICKS_MAX, "ticks_dropped")
                    self._ticks.append(draft)
                else:
                    self._bound(self._others, OTHERS_MAX, "drafts_dropped")
                    self._others.append(draft)
            self._change.notify()

    def take(self) -> list[Draft] | None:
        """Wait for drafts and return all there are; None when closed and empty."""
        with self._change:
            self._change.wait_for(lambda: self._ticks or self._others or self._closed)
            drafts: list[Draft] = [*self._others, *self._ticks]
            self._others.clear()
            self._ticks.clear()
            return drafts or None

    def close(self) -> None:
        """Let `take` end when everything is taken."""
        with self._change:
            self._closed = True
            self._change.notify()

    def _bound(self, queue: deque[SampleTick] | deque[Draft], limit: int, counter: str) -> None:
        while len(queue) >= limit:
            queue.popleft()
            self._counters.add(counter)
