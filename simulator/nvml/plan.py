"""What is to happen to a simulated driver later: actions in the order of their times."""

import heapq
import itertools
from collections.abc import Callable


class Plan:
    """Actions that wait for their time. Times are seconds of the driver's monotonic clock."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, due_s: float, action: Callable[[], None]) -> None:
        """Let an action wait for its time."""
        heapq.heappush(self._waiting, (due_s, next(self._numbers), action))

    def run_due(self, now_s: float) -> None:
        """Run the actions that are due, among which may be some that plan others."""
        while self._waiting and self._waiting[0][0] <= now_s:
            heapq.heappop(self._waiting)[2]()
