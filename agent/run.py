"""The agent on threads: one reads, one waits for events, one writes to disk, one sends.

Owns the threads and their end. What each does is in its own file. At the end everything that was
read is written, the message that the agent stops is the last one, and what could not be sent in a
few seconds stays in the spool for the next start.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from agent.beside import Beside, Put
from agent.boards import Boards
from agent.counters import Counters
from agent.drafts import Draft, EventDraft
from agent.driver import Driver
from agent.inbox import Inbox
from agent.kafka import KafkaSink
from agent.kafka_client import Signer
from agent.observer import Observer, Plan
from agent.outbox import Outbox
from agent.queues import QueueSource
from agent.queues.poller import QueuePoller
from agent.schedule import Schedule
from agent.settled import settle
from telemetry.clock import Clock
from telemetry.errors import FleetgaugeError
from telemetry.records import Event
from telemetry.stop import StopSignal

log = logging.getLogger(__name__)

# Nothing waits for this thread: the end of a child wakes it as well.
EVENT_WAIT_S = 60.0
DRAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What an agent is made of."""

    boards: Boards
    outbox: Outbox
    sink: KafkaSink
    queues: Sequence[QueueSource] = ()
    beside: Callable[[Put], Beside] | None = None
    signer: Signer | None = None


class Agent:
    """One host, until told to stop."""

    def __init__(
        self,
        plan: Plan,
        parts: Parts,
        clock: Clock,
        counters: Counters,
        *,
        read_deadline_s: float,
        queue_interval_s: float,
    ) -> None:
        memory = parts.outbox.memory
        self._plan = plan
        self._parts = parts
        self._clock = clock
        self._counters = counters
        self._driver = Driver(
            parts.boards,
            clock,
            counters,
            deadline_s=read_deadline_s,
            known=memory.accelerators if memory else (),
        )
        self._inbox = Inbox(counters)
        self._beside = parts.beside(self._put) if parts.beside is not None else None
        self._observer = Observer(plan, self._driver, clock, counters, memory, self._beside)
        self._poller = QueuePoller(parts.queues, queue_interval_s, clock, counters, self._put)
        self._ending = threading.Event()
        self._besides: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._failed: Callable[[], None] = lambda: None

    def run(self, stop: StopSignal) -> None:
        """Read until `stop`, then bring in what is under way."""
        self._failed = stop.set
        writer = self._thread("writer", self._write)
        self._parts.sink.attach(self._parts.outbox, self._parts.signer)
        self._parts.sink.start()
        self._put(self._observer.start(self._parts.outbox.boot_epoch, self._parts.outbox.note))
        self._thread("events", self._wait_events)
        if self._parts.queues:
            self._thread("queues", lambda: self._poller.run(self._ending))
        works = self._beside.works() if self._beside is not None else {}
        self._besides = [
            self._thread(name, partial(work, self._ending)) for name, work in works.items()
        ]
        try:
            self._read(stop)
        finally:
            self._end(writer)
        if self._failure is not None:
            raise self._failure

    def _read(self, stop: StopSignal) -> None:
        settled = False
        schedule = Schedule(self._plan.sample_interval_s, self._clock.monotonic_s())
        while not stop.wait(schedule.wait_s(self._clock.monotonic_s())):
            self._counters.add("ticks_missed", schedule.advance(self._clock.monotonic_s()))
            self._put(self._observer.tick())
            if not settled:
                # What is there now stays; the collector need not look at it ever again.
                settled = True
                settle()

    def _write(self) -> None:
        while (drafts := self._inbox.take()) is not None:
            self._parts.outbox.write(drafts)
        self._parts.outbox.flush()

    def _wait_events(self) -> None:
        while not self._ending.is_set():
            events = self._driver.wait_events(EVENT_WAIT_S)
            if events:
                self._hear(events)

    def _end(self, writer: threading.Thread) -> None:
        self._ending.set()
        if self._beside is not None:
            self._beside.wake()
        for thread in self._besides:
            thread.join(DRAIN_S)
        self._put(self._observer.stop())
        self._inbox.close()
        writer.join()
        if not self._parts.sink.drained(DRAIN_S):
            log.info("%d messages stay in the spool", self._parts.outbox.state().messages)
        self._parts.sink.close()
        self._parts.outbox.close()
        if self._beside is not None:
            self._beside.close()
        self._driver.close()

    def _put(self, drafts: Iterable[Draft]) -> None:
        drafts = list(drafts)
        if self._beside is not None:
            self._beside.note(drafts)
        self._inbox.put(drafts)

    def _hear(self, events: Sequence[Event]) -> None:
        if self._beside is not None:
            self._beside.heard(events)
        else:
            self._put([EventDraft(events)])

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
        thread.start()
        return thread

    def _guarded(self, work: Callable[[], None]) -> None:
        """A thread that dies takes the agent with it: half an agent would look like a whole one."""
        try:
            work()
        except FleetgaugeError as error:
            self._failure = error
            self._failed()
        except BaseException as error:
            self._failure = error
            self._failed()
            log.exception("thread %s ended", threading.current_thread().name)
            raise
