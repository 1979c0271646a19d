"""Reading all queue sources at their interval, on a thread of its own.

Owns that thread. A source that is slow or away delays only the sources after it, never a reading
of the accelerators; that it is away is said once, and counted each time.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence

from agent.counters import Counters
from agent.drafts import Draft, QueueDraft
from agent.queues import QueueSource
from agent.schedule import Schedule
from telemetry.clock import Clock
from telemetry.errors import ReadError
from telemetry.records import QueueSnapshot

log = logging.getLogger(__name__)


class QueuePoller:
    """Puts a draft with all snapshots of a round."""

    def __init__(
        self,
        sources: Sequence[QueueSource],
        interval_s: float,
        clock: Clock,
        counters: Counters,
        put: Callable[[Iterable[Draft]], None],
    ) -> None:
        self._sources = sources
        self._schedule = Schedule(interval_s, clock.monotonic_s())
        self._clock = clock
        self._counters = counters
        self._put = put
        self._silent: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Read until `stop`."""
        while not stop.wait(self._schedule.wait_s(self._clock.monotonic_s())):
            self._schedule.advance(self._clock.monotonic_s())
            self.round()

    def round(self) -> None:
        """Read every source once."""
        found: list[QueueSnapshot] = []
        for source in self._sources:
            name = str(source)
            try:
                found += source.read(self._clock.now_us(), self._clock.monotonic_s())
            except ReadError as error:
                self._counters.add("queue_read_failures")
                if name not in self._silent:
                    log.warning("no queues from %s: %s", name, error)
                self._silent.add(name)
            else:
                if name in self._silent:
                    log.info("queues from %s again", name)
                self._silent.discard(name)
        if found:
            self._put([QueueDraft(found)])
