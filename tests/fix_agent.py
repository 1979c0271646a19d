"""Fixtures of the agent: a reader, a broker and a disk that do what the test says."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid5

import pytest

from agent.accelerators import AcceleratorReading, Inspection
from agent.boards import LocalBoards
from agent.calls import InlineCalls
from agent.counters import Counters
from agent.drafts import Draft, EventDraft, Identity, SampleTick
from agent.driver import Driver
from agent.messages import Composer
from agent.observer import Observer, Plan
from agent.outbox import Outbox
from agent.sampler import Sampler
from agent.spool import Spool
from agent.spool_file import SpoolFile
from telemetry.catalogue import CATALOGUE
from telemetry.errors import FleetgaugeError, RetryableError
from telemetry.metrics import Group
from telemetry.packing import unpack
from telemetry.records import Accelerator, Event, EventKind, EventRecord, ReaderStatus
from telemetry.streams import Stream
from telemetry.wire import decode, decode_events

IDENTITY = Identity("acme", "memphis", "host-1")
START_US = 1_800_000_000_000_000


class HandClock:
    """Wall time and monotonic time, moved by hand, together or apart."""

    def __init__(self) -> None:
        self.wall_us = START_US
        self.seconds = 1000.0

    def now_us(self) -> int:
        return self.wall_us

    def monotonic_s(self) -> float:
        return self.seconds

    def pass_s(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall_us += round(seconds * 1e6)

    def step_wall_s(self, seconds: float) -> None:
        self.wall_us += round(seconds * 1e6)


def uuid_of(name: str) -> bytes:
    return uuid5(UUID(int=0), name).bytes


def accelerator(index: int, name: str | None = None) -> Accelerator:
    return Accelerator(uuid=uuid_of(name or f"gpu-{index}"), index=index)


class ScriptedReader:
    """A reader whose accelerators are as the test says.

    Attributes:
        accelerators: those that answer when opened.
        statuses: per UUID another status than `whole`.
        open_errors: raised by the next calls to `open`, first one first.
        unsupported: metrics that no accelerator offers.
    """

    def __init__(self, count: int = 2) -> None:
        self.accelerators = tuple(accelerator(index) for index in range(count))
        self.missing: tuple[int, ...] = ()
        self.statuses: dict[bytes, ReaderStatus] = {}
        self.open_errors: list[FleetgaugeError] = []
        self.unsupported: frozenset[str] = frozenset({"utilization_ofa_percent"})
        self.slow_values: dict[str, int] = {}
        self.failed: dict[str, str] = {}
        self.driver_version = "590.48.01"
        self.opened = 0
        self.events: list[Event] = []

    def open(self) -> Inspection:
        if self.open_errors:
            raise self.open_errors.pop(0)
        self.opened += 1
        return Inspection(self.driver_version, "13", self.accelerators, self.missing)

    def read(self, position: int, group: Group) -> AcceleratorReading:
        uuid = self.accelerators[position].uuid
        status = self.statuses.get(uuid, ReaderStatus.WHOLE)
        if status not in (ReaderStatus.WHOLE, ReaderStatus.PARTIAL):
            return AcceleratorReading(uuid, status)
        values = {
            metric.name: metric.minimum + (position if group is Group.FAST else 0)
            for metric in CATALOGUE.group(group)
            if metric.name not in self.unsupported and metric.name not in self.failed
        }
        if group is Group.SLOW:
            values |= self.slow_values
        return AcceleratorReading(uuid, status, values, self.unsupported, self.failed)

    def wait_events(self, timeout_s: float) -> list[Event]:
        events, self.events = self.events, []
        return events

    def close(self) -> None:
        pass


class HostUnderTest:
    """An observer over a scripted reader."""

    def __init__(self, clock: HandClock, **plan: Any) -> None:
        self.clock = clock
        self.reader = ScriptedReader()
        self.counters = Counters()
        boards = LocalBoards(self.reader, InlineCalls(), clock, self.counters)
        self.driver = Driver(boards, clock, self.counters, deadline_s=0.5)
        self.observer = Observer(Plan(agent_version="1", **plan), self.driver, clock, self.counters)

    def tick(self, seconds: float = 1.0) -> list[Draft]:
        drafts = self.observer.tick()
        self.clock.pass_s(seconds)
        return drafts


def samples_of(drafts: Sequence[Draft], group: Group = Group.FAST) -> list[SampleTick]:
    return [d for d in drafts if isinstance(d, SampleTick) and d.group is group]


def records_of(drafts: Sequence[Draft]) -> list[EventRecord]:
    return [record for d in drafts if isinstance(d, EventDraft) for record in d.records]


def kinds_of(drafts: Sequence[Draft]) -> list[EventKind]:
    return [record.kind for record in records_of(drafts) if isinstance(record, Event)]


def statuses_in(drafts: Sequence[Draft]) -> list[int | None]:
    """What a tick says of each board; nothing when it says nothing."""
    found = samples_of(drafts)
    if not found:
        return []
    payload = Composer(IDENTITY).samples(found[:1], boot_epoch=1, seq=1, now_us=0)
    return unpack(decode(payload)).columns["reader_status_code"]


def make_tick(number: int = 0, gpus: int = 2, *, urgent: bool = False) -> SampleTick:
    """A tick whose utilisation is the number modulo 100."""
    readings = [
        AcceleratorReading(
            uuid_of(f"gpu-{index}"),
            ReaderStatus.WHOLE,
            {"utilization_gpu_percent": number % 100, "power_milliwatts": 1000 * index},
        )
        for index in range(gpus)
    ]
    return Sampler().tick(Group.FAST, START_US + number * 1_000_000, readings, urgent=urgent)


def times_in(payload: bytes) -> list[int]:
    """Numbers of the ticks (`make_tick`) in a samples message."""
    return [(time - START_US) // 1_000_000 for time in unpack(decode(payload)).times_us]


def records_in(payload: bytes) -> list[EventRecord]:
    return decode_events(decode(payload))


def everything(outbox: Outbox, stream: Stream) -> list[bytes]:
    return [payload for _, payload in outbox.pending(stream, 100_000)]


@pytest.fixture
def hand_clock() -> HandClock:
    return HandClock()


MakeOutbox = Callable[..., Outbox]


@pytest.fixture
def make_outbox(tmp_path: Path, hand_clock: HandClock) -> Iterator[MakeOutbox]:
    """Make outboxes on one spool file: `make_outbox(bytes_max=…)`; the last one is closed."""
    made: list[Outbox] = []

    def make(*, bytes_max: int = 64 << 20, memory: int = 1 << 20, **options: Any) -> Outbox:
        file = SpoolFile(tmp_path / "spool.sqlite3", bytes_max, sync="normal")
        options.setdefault("counters", Counters())
        counters = options.pop("counters")
        outbox = Outbox(IDENTITY, file, hand_clock, counters, memory_bytes_max=memory, **options)
        made.append(outbox)
        return outbox

    yield make
    for outbox in made:
        outbox.close()


class FlakyDisk(SpoolFile):
    """A spool file on a disk that fails while `broken` is set: nothing is read or written then."""

    broken = False

    def open(self, stamp: int, damaged: str = "") -> Spool:
        if self.broken:
            raise RetryableError("spool: no disk")
        spool = super().open(stamp, damaged)
        spool._connection = cast("sqlite3.Connection", _FlakyConnection(spool._connection, self))
        return spool


class _FlakyConnection:
    def __init__(self, connection: sqlite3.Connection, disk: FlakyDisk) -> None:
        self._connection = connection
        self._disk = disk

    def execute(self, *arguments: Any) -> Any:
        self._check(str(arguments[0]))
        return self._connection.execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        self._check(str(arguments[0]))
        return self._connection.executemany(*arguments)

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def close(self) -> None:
        self._connection.close()

    def _check(self, statement: str) -> None:
        if self._disk.broken and statement != "rollback":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error


class FakeFuture:
    """What a producer returns; the test decides how it ends."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[object], object]] = []
        self._errbacks: list[Callable[[BaseException], object]] = []

    def add_callback(self, callback: Callable[[object], object]) -> None:
        self._callbacks.append(callback)

    def add_errback(self, errback: Callable[[BaseException], object]) -> None:
        self._errbacks.append(errback)

    def succeed(self) -> None:
        for callback in self._callbacks:
            callback(None)

    def fail(self, error: BaseException) -> None:
        for errback in self._errbacks:
            errback(error)


class FakeProducer:
    """A broker that keeps what it is sent, until the test answers.

    Attributes:
        waiting: (topic, payload, future) without an answer, in order.
        taken: (topic, payload) that were confirmed.
        error: raised by `send`, when set.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[str, bytes, FakeFuture]] = []
        self.taken: list[tuple[str, bytes]] = []
        self.keys: set[bytes] = set()
        self.headers: list[list[tuple[str, bytes]]] = []
        self.error: Exception | None = None
        self.closed = False

    def send(
        self, topic: str, *, key: bytes, value: bytes, headers: list[tuple[str, bytes]]
    ) -> FakeFuture:
        if self.error is not None:
            raise self.error
        self.keys.add(key)
        self.headers.append(headers)
        future = FakeFuture()
        self.waiting.append((topic, value, future))
        return future

    def close(self, timeout: float) -> None:
        self.closed = True

    def confirm_all(self) -> None:
        waiting, self.waiting = self.waiting, []
        for topic, payload, future in waiting:
            self.taken.append((topic, payload))
            future.succeed()

    def fail_all(self, error: BaseException) -> None:
        waiting, self.waiting = self.waiting, []
        for _, _, future in waiting:
            future.fail(error)
