"""The driver of this host over time: opened, read, lost, hung, replaced, opened again.

Owns when the driver is opened and which accelerators a tick has a reading for. An accelerator
that was once seen keeps its place in every tick until another inventory has taken it away, so a
board that fell off the bus is `lost` and never just missing. What an answer means is for
`events.py`, how it travels for `sampler.py`, where the driver is called for `boards.py`.
"""

import logging
from collections.abc import Sequence

from agent.accelerators import AcceleratorReading, Inspection
from agent.boards import Boards, Opening
from agent.counters import Counters
from telemetry.clock import Clock
from telemetry.errors import PermanentError, RetryableError
from telemetry.metrics import Group
from telemetry.records import Accelerator, Event, ReaderStatus

log = logging.getLogger(__name__)

OPEN_PATIENCE_S = 3.0
RETRY_MIN_S = 1.0
RETRY_MAX_S = 60.0
# For a board that stays away or hangs, opening anew is tried ever more rarely: one that comes back
# under its own name, or whose call returns, is found by `read` alone.
FAULT_RETRY_MIN_S = 60.0
FAULT_RETRY_MAX_S = 3600.0
HUNG_AFTER_S = 3.0


class Backoff:
    """Waits that double with each failure."""

    def __init__(self, first_s: float, min_s: float, max_s: float) -> None:
        self._first_s, self._min_s, self._max_s = first_s, min_s, max_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return how long to wait now, and wait longer the next time."""
        wait_s = self._next_s
        self._next_s = min(self._max_s, max(self._min_s, 2 * wait_s))
        return wait_s

    def reset(self) -> None:
        """Begin with the first wait again."""
        self._next_s = self._first_s


class Driver:
    """The boards of one host with everything that may go wrong with them.

    Attributes:
        accelerators: those that every tick has a reading for, in column order.
        trouble: why nothing can be read, or empty.
    """

    def __init__(
        self,
        boards: Boards,
        clock: Clock,
        counters: Counters,
        *,
        deadline_s: float,
        known: tuple[Accelerator, ...] = (),
    ) -> None:
        self.accelerators = known
        self.trouble = "not opened yet"
        self._boards = boards
        self._clock = clock
        self._counters = counters
        self._deadline_s = deadline_s
        # Where the reader finds each accelerator; None: it does not.
        self._positions: list[int | None] = [None] * len(known)
        self._down_status = ReaderStatus.TIMEOUT
        self._opening: Opening | None = None
        self._opening_since_s = 0.0
        self._open_at_s: float | None = clock.monotonic_s()
        self._retry = Backoff(RETRY_MIN_S, RETRY_MIN_S, RETRY_MAX_S)
        self._lost_retry = Backoff(FAULT_RETRY_MIN_S, FAULT_RETRY_MIN_S, FAULT_RETRY_MAX_S)
        self._hung_retry = Backoff(HUNG_AFTER_S, FAULT_RETRY_MIN_S, FAULT_RETRY_MAX_S)
        self._end_retry = Backoff(0.0, RETRY_MIN_S, RETRY_MAX_S)
        self._well_since_s: float | None = None
        self._for_hang = False
        self._some_missing = False

    def poll(self) -> Inspection | None:
        """Look after opening; return what an opening that has just ended found."""
        now_s = self._clock.monotonic_s()
        self._notice_an_end(now_s)
        if self._opening is None and self._open_at_s is not None and now_s >= self._open_at_s:
            self._opening = self._boards.open()
            if self._opening is not None:
                self._open_at_s, self._for_hang = None, False
                self._opening_since_s = now_s
        opening = self._opening
        if opening is None or not opening.wait(self._patience_s(now_s)):
            return None
        self._opening = None
        try:
            inspection = opening.result()
        except RetryableError as error:
            self._fail(str(error), ReaderStatus.TIMEOUT)
        except PermanentError as error:
            self._fail(str(error), ReaderStatus.DRIVER_MISMATCH)
        else:
            self._boards.adopt(opening)
            self._adopt(inspection)
            return inspection
        return None

    def read(self, group: Group) -> list[AcceleratorReading]:
        """Return one reading an accelerator, in column order; none during a short reopening."""
        if not self._boards.serving():
            if self._opening is not None and self._opening_for_s() < OPEN_PATIENCE_S:
                return []
            return self._all(self._down_status)
        asked = [
            (index, position)
            for index, position in enumerate(self._positions)
            if position is not None
        ]
        answers = self._boards.read([at for _, at in asked], group, self._deadline_s)
        readings = self._all(ReaderStatus.LOST)
        for (index, _), answer in zip(asked, answers, strict=True):
            uuid = self.accelerators[index].uuid
            readings[index] = answer or AcceleratorReading(uuid, ReaderStatus.TIMEOUT)
        self._plan_reopening(readings)
        return readings

    def wait_events(self, timeout_s: float) -> list[Event]:
        """Return the driver's events as soon as there are any; nothing while it is not open."""
        return self._boards.wait_events(timeout_s)

    def silence(self, readings: Sequence[AcceleratorReading]) -> str:
        """Return why no accelerator answers, for a person; empty where one does."""
        if self.trouble:
            return self.trouble
        if not readings or any(r.status is not ReaderStatus.TIMEOUT for r in readings):
            return ""
        note = self._boards.hang_note()
        return "no accelerator answers in time" + (f": {note}" if note else "")

    def process_ids(self) -> list[int]:
        """Return the processes that reading takes beside the agent's own."""
        return self._boards.process_ids()

    def close(self) -> None:
        """Let go of the driver."""
        self._boards.close()

    def _patience_s(self, now_s: float) -> float:
        """A tick waits for an opening only while nothing else can be read, and not for long."""
        if self._boards.serving() or now_s - self._opening_since_s >= OPEN_PATIENCE_S:
            return 0.0
        return self._deadline_s

    def _opening_for_s(self) -> float:
        return self._clock.monotonic_s() - self._opening_since_s

    def _notice_an_end(self, now_s: float) -> None:
        """Open anew when whoever read is gone."""
        if self.trouble or self._boards.serving():
            return
        self.trouble = self._boards.hang_note() or "nobody reads the driver"
        self._down_status = ReaderStatus.TIMEOUT
        if self._opening is None:
            self._open_at_s = now_s + self._end_retry.next_s()

    def _adopt(self, inspection: Inspection) -> None:
        found = {accelerator.uuid for accelerator in inspection.accelerators}
        lost = tuple(
            accelerator
            for accelerator in self.accelerators
            if accelerator.uuid not in found and accelerator.index in inspection.missing
        )
        self.accelerators = inspection.accelerators + lost
        self._positions = [*range(len(inspection.accelerators)), *(None for _ in lost)]
        self._some_missing = bool(inspection.missing)
        self.trouble = ""
        self._retry.reset()
        self._open_at_s = None
        log.info("driver %s: %d accelerators", inspection.driver_version, len(found))

    def _fail(self, why: str, status: ReaderStatus) -> None:
        self._counters.add("driver_open_failures")
        self._open_at_s = self._clock.monotonic_s() + self._retry.next_s()
        if self._boards.serving():
            log.info("cannot open the driver anew, reading on as before: %s", why)
            return
        self._down_status = status
        if why != self.trouble:
            log.warning("cannot open the driver, trying again: %s", why)
        self.trouble = why or "no reason given"

    def _plan_reopening(self, readings: Sequence[AcceleratorReading]) -> None:
        """A changed driver, or another board in a lost one's place, is only found by opening.

        One that hangs may hang for this process alone; another one is worth a try.
        """
        now_s = self._clock.monotonic_s()
        statuses = {reading.status for reading in readings}
        if self._some_missing:
            # Also of those that were never seen, and so have no reading.
            statuses.add(ReaderStatus.LOST)
        if ReaderStatus.LOST not in statuses:
            self._lost_retry.reset()
        self._forget_hangs(ReaderStatus.TIMEOUT not in statuses, now_s)
        if self._open_at_s is not None or self._opening is not None:
            return
        if any(reading.outdated for reading in readings):
            self._open_at_s = now_s
        elif ReaderStatus.DRIVER_MISMATCH in statuses:
            self._open_at_s = now_s + self._retry.next_s()
        elif ReaderStatus.TIMEOUT in statuses:
            self._open_at_s = now_s + self._hung_retry.next_s()
            self._for_hang = True
        elif ReaderStatus.LOST in statuses:
            self._open_at_s = now_s + self._lost_retry.next_s()

    def _forget_hangs(self, well: bool, now_s: float) -> None:
        if not well:
            self._well_since_s = None
            return
        if self._for_hang:
            # It has come back by itself.
            self._open_at_s, self._for_hang = None, False
        if self._well_since_s is None:
            self._well_since_s = now_s
        elif now_s - self._well_since_s >= FAULT_RETRY_MIN_S:
            self._hung_retry.reset()
            self._end_retry.reset()

    def _all(self, status: ReaderStatus) -> list[AcceleratorReading]:
        return [AcceleratorReading(accelerator.uuid, status) for accelerator in self.accelerators]
