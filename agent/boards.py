"""Who reads the boards, wherever that happens: the contract, and reading in this very process.

Owns the seam between what a host's readings mean (`driver.py`) and where the driver is called: in a
child process on a GPU host (`child/boards.py`), or here, for simulated drivers, of which thousands
fit into one process, and tests.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from agent.accelerators import AcceleratorReader, AcceleratorReading, Inspection
from agent.calls import Calls, Pending, ThreadedCalls
from agent.counters import Counters
from telemetry.clock import Clock
from telemetry.errors import PermanentError, ReadError
from telemetry.metrics import Group
from telemetry.records import Event

log = logging.getLogger(__name__)

CLOSE_PATIENCE_S = 3.0
EVENT_RETRY_S = 30.0
# An opening waits for the wait for events to end.
EVENT_WAIT_S_MAX = 1.0


class Opening(Protocol):
    """An attempt to open the driver."""

    def wait(self, timeout_s: float) -> bool:
        """Wait for its outcome; False when there is none yet."""

    def result(self) -> Inspection:
        """Return what was found.

        Raises:
            RetryableError: no driver yet, or it hangs; try again later.
            PermanentError: the driver and its library do not fit each other.
        """


class Boards(Protocol):
    """All boards of one host. Used by one thread, but for `wait_events`."""

    def serving(self) -> bool:
        """Whether `read` has somebody to ask."""

    def open(self) -> Opening | None:
        """Begin to open the driver anew; None: not now, because an earlier attempt hangs.

        Where it can be, reading goes on as before until `adopt`.
        """

    def adopt(self, opening: Opening) -> None:
        """From now on, read what this opening, which went well, has found."""

    def read(
        self, positions: Sequence[int], group: Group, deadline_s: float
    ) -> list[AcceleratorReading | None]:
        """Return one reading a position of the inspection, None where none came in time."""

    def wait_events(self, timeout_s: float) -> list[Event]:
        """Return the driver's events as soon as there are any, or nothing, no later than asked.

        It has a thread of its own.
        """

    def hang_note(self) -> str:
        """Return what is known of a driver that does not answer, for a person; or nothing."""

    def process_ids(self) -> list[int]:
        """Return the processes that this takes beside the agent's own."""

    def close(self) -> None:
        """Let go of the driver, unless it hangs: then the end of the process does that."""


class LocalBoards:
    """The boards of a reader in this process."""

    def __init__(
        self, reader: AcceleratorReader, calls: Calls, clock: Clock, counters: Counters
    ) -> None:
        self._reader = reader
        self._calls = calls
        self._serving = False
        self._opened = threading.Event()
        self._lock = threading.Lock()
        self._events = EventSource(reader.wait_events, clock, counters)

    def serving(self) -> bool:
        """Whether the reader is open."""
        return self._serving

    def open(self) -> Pending[Inspection] | None:
        """Begin to open the reader; nothing can be read until that is over."""
        if self._calls.hung():
            return None  # a second crowd of threads would hang as well; wait for the first
        self._serving = False
        self._opened.clear()
        return self._calls.begin(self._open)

    def adopt(self, opening: Opening) -> None:  # noqa: ARG002 - there is but one
        """Read from the reader again."""
        self._serving = True
        self._opened.set()

    def read(
        self, positions: Sequence[int], group: Group, deadline_s: float
    ) -> list[AcceleratorReading | None]:
        """Ask the reader."""
        jobs: list[Callable[[], AcceleratorReading]] = [
            partial(self._reader.read, position, group) for position in positions
        ]
        return self._calls.gather(jobs, deadline_s)

    def wait_events(self, timeout_s: float) -> list[Event]:
        """Ask the reader while it is open."""
        timeout_s = min(timeout_s, EVENT_WAIT_S_MAX)
        if not self._opened.wait(timeout_s):
            return []
        with self._lock:
            return self._events.wait(timeout_s) if self._opened.is_set() else []

    def hang_note(self) -> str:
        """Nothing is known but that it hangs."""
        return ""

    def process_ids(self) -> list[int]:
        """It takes none."""
        return []

    def close(self) -> None:
        """Let go of the reader."""
        self._serving = False
        self._opened.clear()
        if not self._calls.hung() and self._lock.acquire(timeout=CLOSE_PATIENCE_S):
            try:
                self._reader.close()
            finally:
                self._lock.release()
        self._calls.close()

    def _open(self) -> Inspection:
        with self._lock:
            self._reader.close()
            return self._reader.open()


def in_process(reader: AcceleratorReader, clock: Clock, counters: Counters) -> LocalBoards:
    """Return the boards of a reader that is called on threads of this process."""
    return LocalBoards(reader, ThreadedCalls(clock), clock, counters)


class EventSource:
    """Asks a reader for events, and lets it rest where it has none to give."""

    def __init__(
        self, ask: Callable[[float], list[Event]], clock: Clock, counters: Counters
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._counters = counters
        self._again_at_s = float("-inf")
        self._said = False
        self._rest = threading.Event()

    def wait(self, timeout_s: float) -> list[Event]:
        """Return events as soon as there are any, or nothing when the time is over."""
        if self._clock.monotonic_s() < self._again_at_s:
            self._rest.wait(timeout_s)
            return []
        try:
            events = self._ask(timeout_s)
        except (ReadError, PermanentError) as error:
            # The readings see a replaced driver too, and decide; here there is only no hurry.
            self._again_at_s = self._clock.monotonic_s() + EVENT_RETRY_S
            self._counters.add("event_failures")
            if not self._said:
                log.warning("the driver reports no events: %s", error)
            self._said = True
            return []
        self._said = self._said and not events
        return events
