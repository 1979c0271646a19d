"""The driver of this host over time: opened, read, lost, opened again.

Owns when the reader is opened and which accelerators a tick has a reading for. An accelerator
that was once seen keeps its place in every tick until another inventory has taken it away, so a
board that fell off the bus is `lost` and never just missing. What an answer means is for
`events.py`, how it travels for `sampler.py`.
"""

import logging
import threading
from collections.abc import Callable
from functools import partial

from agent.accelerators import AcceleratorReader, AcceleratorReading, Inspection
from agent.calls import Calls, Pending
from agent.counters import Counters
from telemetry.clock import Clock
from telemetry.errors import PermanentError, RetryableError
from telemetry.metrics import Group
from telemetry.records import Accelerator, Event, ReaderStatus

log = logging.getLogger(__name__)

OPEN_PATIENCE_S = 3.0
RETRY_MIN_S = 1.0
RETRY_MAX_S = 60.0
# Opening anew costs a tick and interrupts the driver's events, so for a board that stays away it
# is tried ever more rarely; one that comes back under its own name is found by `read` alone.
LOST_RETRY_MIN_S = 60.0
LOST_RETRY_MAX_S = 3600.0


class Driver:
    """One reader with everything that may go wrong with it.

    Attributes:
        accelerators: those that every tick has a reading for, in column order.
        trouble: why nothing can be read, or empty.
    """

    def __init__(
        self,
        reader: AcceleratorReader,
        calls: Calls,
        clock: Clock,
        counters: Counters,
        *,
        deadline_s: float,
        known: tuple[Accelerator, ...] = (),
    ) -> None:
        self.accelerators = known
        self.trouble = "not opened yet"
        self._reader = reader
        self._calls = calls
        self._clock = clock
        self._counters = counters
        self._deadline_s = deadline_s
        # Where the reader finds each accelerator; None: it does not.
        self._positions: list[int | None] = [None] * len(known)
        self._down_status = ReaderStatus.TIMEOUT
        self._opening: Pending[Inspection] | None = None
        self._opening_since_s = 0.0
        self._open_at_s: float | None = clock.monotonic_s()
        self._retry_s = RETRY_MIN_S
        self._lost_retry_s = LOST_RETRY_MIN_S
        self._opened_once = False
        self._ready = threading.Event()
        self._events_lock = threading.Lock()

    def poll(self) -> Inspection | None:
        """Look after opening; return what an opening that has just ended found.

        Raises:
            PermanentError: the driver changed under this process; only a new process helps.
        """
        now_s = self._clock.monotonic_s()
        if self._opening is None and self._open_at_s is not None and now_s >= self._open_at_s:
            self._begin_opening(now_s)
        if self._opening is None or not self._opening.done():
            return None
        opening, self._opening = self._opening, None
        try:
            inspection = opening.result()
        except RetryableError as error:
            self._fail(str(error), now_s, self._next_retry_s())
        except PermanentError as error:
            if self._opened_once:
                raise
            # This process is as new as the next one would be; only waiting can help.
            self._fail(str(error), now_s, RETRY_MAX_S)
        else:
            self._adopt(inspection)
            return inspection
        return None

    def read(self, group: Group) -> list[AcceleratorReading]:
        """Return one reading an accelerator, in column order; none during a short reopening."""
        if self._opening is not None:
            waited_s = self._clock.monotonic_s() - self._opening_since_s
            return [] if waited_s < OPEN_PATIENCE_S else self._all(ReaderStatus.TIMEOUT)
        if self.trouble:
            return self._all(self._down_status)
        asked = [index for index, position in enumerate(self._positions) if position is not None]
        answers = self._calls.gather(
            [self._read_job(index, group) for index in asked], self._deadline_s
        )
        readings = self._all(ReaderStatus.LOST)
        for index, answer in zip(asked, answers, strict=True):
            uuid = self.accelerators[index].uuid
            readings[index] = answer or AcceleratorReading(uuid, ReaderStatus.TIMEOUT)
        self._plan_reopening(readings)
        return readings

    def wait_events(self, timeout_s: float) -> list[Event]:
        """Return the driver's events as soon as there are any; nothing while it is not open.

        Raises:
            ReadError: the driver reports no events now; ask again later, not at once.
            PermanentError: as `poll`.
        """
        if not self._ready.wait(timeout_s):
            return []
        with self._events_lock:
            return self._reader.wait_events(timeout_s) if self._ready.is_set() else []

    def close(self) -> None:
        """Let go of the driver, unless it hangs: then the end of the process does that."""
        self._ready.clear()
        if not self._calls.hung() and self._events_lock.acquire(timeout=OPEN_PATIENCE_S):
            try:
                self._reader.close()
            finally:
                self._events_lock.release()

    def _begin_opening(self, now_s: float) -> None:
        if self._calls.hung():
            return  # a second crowd of threads would hang as well; wait for the first
        self._open_at_s = None
        self._opening_since_s = now_s
        self._ready.clear()
        self._opening = self._calls.begin(self._open)

    def _open(self) -> Inspection:
        with self._events_lock:
            self._reader.close()
            return self._reader.open()

    def _adopt(self, inspection: Inspection) -> None:
        found = {accelerator.uuid for accelerator in inspection.accelerators}
        lost = tuple(
            accelerator
            for accelerator in self.accelerators
            if accelerator.uuid not in found and accelerator.index in inspection.missing
        )
        self.accelerators = inspection.accelerators + lost
        self._positions = [*range(len(inspection.accelerators)), *(None for _ in lost)]
        self.trouble = ""
        self._opened_once = True
        self._retry_s = RETRY_MIN_S
        self._open_at_s = None
        self._ready.set()
        log.info("driver %s: %d accelerators", inspection.driver_version, len(found))

    def _fail(self, why: str, now_s: float, retry_s: float) -> None:
        if why != self.trouble:
            log.warning("cannot open the driver, trying again: %s", why)
        self._counters.add("driver_open_failures")
        self.trouble = why or "no reason given"
        self._open_at_s = now_s + retry_s

    def _next_retry_s(self) -> float:
        retry_s, self._retry_s = self._retry_s, min(RETRY_MAX_S, 2 * self._retry_s)
        return retry_s

    def _plan_reopening(self, readings: list[AcceleratorReading]) -> None:
        """A changed driver, or another board in a lost one's place, is only found by opening."""
        if any(reading.outdated for reading in readings):
            self._open_at_s = self._clock.monotonic_s()
        statuses = {reading.status for reading in readings}
        if ReaderStatus.LOST not in statuses:
            self._lost_retry_s = LOST_RETRY_MIN_S
        if self._open_at_s is not None:
            return
        now_s = self._clock.monotonic_s()
        if ReaderStatus.DRIVER_MISMATCH in statuses:
            self._down_status = ReaderStatus.DRIVER_MISMATCH
            self._open_at_s = now_s + self._next_retry_s()
        elif ReaderStatus.LOST in statuses:
            self._down_status = ReaderStatus.TIMEOUT
            self._open_at_s = now_s + self._lost_retry_s
            self._lost_retry_s = min(LOST_RETRY_MAX_S, 2 * self._lost_retry_s)

    def _read_job(self, index: int, group: Group) -> Callable[[], AcceleratorReading]:
        position = self._positions[index]
        if position is None:
            raise ValueError("a lost accelerator cannot be read")
        return partial(self._reader.read, position, group)

    def _all(self, status: ReaderStatus) -> list[AcceleratorReading]:
        return [AcceleratorReading(accelerator.uuid, status) for accelerator in self.accelerators]
