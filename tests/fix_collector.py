"""A migrated database, hosts that send whatever a test wants, and a log without a broker."""

import gc
import random
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg
import pytest

from collector import migrate
from collector.claims import Claim
from collector.consumer import Partition, Received
from collector.database import Connection, connect
from collector.lanes import Lanes, Span
from collector.report import Report
from collector.settings import CollectorSettings
from collector.writer import Writer
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group, Metric
from telemetry.packing import Reading, pack
from telemetry.records import EventRecord, QueueSnapshot
from telemetry.streams import Stream
from telemetry.wire import (
    Header,
    SamplesHeader,
    encode_events,
    encode_queues,
    encode_samples,
    layout_of,
)
from tests.fix_services import DatabaseServer

NOW_US = 1_800_000_000_000_000
S = 1_000_000
PREFIX = "t"
TOPIC_IDS = {stream: f"id-of-{stream}" for stream in Stream}


@dataclass
class FixedClock:
    """A clock that a test sets."""

    time_us: int = NOW_US
    seconds: float = 0.0

    def now_us(self) -> int:
        return self.time_us

    def monotonic_s(self) -> float:
        self.seconds += 0.001
        return self.seconds


@dataclass
class FakeHost:
    """A host that numbers its messages like an agent does."""

    name: str = "node-1"
    facility: str = "hall"
    tenant: str = "lab"
    boot_epoch: int = 1
    gpus: int = 2
    made_us: int = 0
    seqs: dict[Stream, int] = field(default_factory=dict)

    @property
    def uuids(self) -> list[bytes]:
        return [uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}-{i}").bytes for i in range(self.gpus)]

    @property
    def key(self) -> bytes:
        return f"{self.tenant}/{self.facility}/{self.name}".encode()

    def _common(self, stream: Stream, seq: int | None) -> dict[str, Any]:
        if seq is None:
            seq = self.seqs[stream] = self.seqs.get(stream, 0) + 1
        names = {"tenant": self.tenant, "facility": self.facility, "host": self.name}
        return names | {"boot_epoch": self.boot_epoch, "seq": seq, "sent_us": self.made_us}

    def samples(
        self,
        times_us: Sequence[int],
        value: int = 50,
        *,
        rows: Sequence[Sequence[Reading]] | None = None,
        group: Group = Group.FAST,
        metrics: Sequence[Metric] | None = None,
        seq: int | None = None,
    ) -> bytes:
        """A samples message; every value is `value`, brought into its range, or as `rows` say."""
        metrics = CATALOGUE.group(group) if metrics is None else metrics
        if rows is None:
            reading: Reading = {m.name: min(max(value, m.minimum), m.maximum) for m in metrics}
            rows = [[reading] * self.gpus for _ in times_us]
        header = SamplesHeader(
            **self._common(Stream.SAMPLES, seq),
            ticks=len(times_us),
            accelerators=b"".join(self.uuids),
            layout=layout_of(metrics),
        )
        return encode_samples(header, pack(metrics, times_us, rows))

    def events(self, *records: EventRecord, seq: int | None = None) -> bytes:
        return encode_events(Header(**self._common(Stream.EVENTS, seq)), records)

    def queues(self, *snapshots: QueueSnapshot, seq: int | None = None) -> bytes:
        return encode_queues(Header(**self._common(Stream.QUEUES, seq)), snapshots)


def random_reading(chance: random.Random, metrics: Sequence[Metric]) -> Reading:
    """Values anywhere in their ranges, and a few missing."""
    return {
        metric.name: None if chance.random() < 0.1 else _between(chance, metric)
        for metric in metrics
    }


def _between(chance: random.Random, metric: Metric) -> int:
    return chance.randint(metric.minimum, min(metric.maximum, 10**9))


class Shelf:
    """Logs without a broker in front of a real writer and database."""

    def __init__(self, url: str, clock: FixedClock, **settings: Any) -> None:
        self.url = url
        self.clock = clock
        self.settings = CollectorSettings(database_url=url, **settings)
        self.log: list[Received] = []
        self._ends: dict[Partition, int] = {}
        self.claims: dict[Partition, Claim] = {}
        self.connection: Connection = None  # type: ignore[assignment]  # until the next line
        self.start()

    def start(self) -> None:
        """Begin like a new process: nothing is remembered but what is in the database."""
        if self.connection is not None:
            self.connection.close()
        self.connection = connect(self.url, "test", 30)
        self.report = Report("test", self.clock)
        self.writer = Writer(
            self.connection,
            migrate.tier_of(self.connection),
            self.settings,
            self.clock,
            self.report,
        )
        for partition in self.claims:
            self.claim(partition)

    def claim(self, partition: Partition, next_offset: int | None = None) -> None:
        stream = Stream(partition.topic.removeprefix(f"{PREFIX}."))
        row = self.connection.execute(
            "insert into stream_offsets (topic_id, partition, topic, next_offset, owner_epoch) "
            "values (%(id)s, %(partition)s, %(topic)s, coalesce(%(next)s, 0), 1) "
            "on conflict (topic_id, partition) do update "
            "set owner_epoch = stream_offsets.owner_epoch + 1, "
            "next_offset = coalesce(%(next)s, stream_offsets.next_offset) "
            "returning owner_epoch, next_offset, backlog",
            {
                "id": TOPIC_IDS[stream],
                "partition": partition.number,
                "topic": partition.topic,
                "next": next_offset,
            },
        ).fetchone()
        assert row is not None
        epoch, offset, backlog = row
        spans = tuple(Span(span.lower, span.upper) for span in cast("Any", backlog))
        assert isinstance(epoch, int)
        assert isinstance(offset, int)
        self.claims[partition] = Claim(TOPIC_IDS[stream], epoch, Lanes(offset, spans), offset)

    def leave_behind(self, records: Sequence[Received], begin: int, end: int) -> None:
        """Let the live lane of these records' partition go on at an offset, as after an outage."""
        partition = records[0].partition
        claim = self.claims[partition]
        self.connection.execute(
            "update stream_offsets set next_offset = %s,"
            " backlog = int8multirange(int8range(%s, %s)) where topic_id = %s and partition = %s",
            [end, begin, end, claim.topic_id, partition.number],
        )
        claim.lanes = Lanes(end, (Span(begin, end),))

    def append(self, stream: Stream, *values: bytes, number: int = 0) -> list[Received]:
        """Put messages at the end of a log; stores nothing."""
        partition = Partition(f"{PREFIX}.{stream}", number)
        if partition not in self.claims:
            self.claim(partition)
        added = []
        for value in values:
            offset = self._ends.get(partition, 0)
            self._ends[partition] = offset + 1
            added.append(Received(partition, stream, offset, b"key", value))
        self.log += added
        return added

    def store(self, stream: Stream, *values: bytes, number: int = 0) -> None:
        """Put messages at the end of a log and store them."""
        self.writer.store(self.append(stream, *values, number=number), self.claims)

    def replay(self) -> None:
        """Read every log once more from its start."""
        self.writer.forget()
        for partition in self.claims:
            self.claim(partition, 0)
        self.writer.store(self.log, self.claims)

    def refuses(self, statement: str) -> bool:
        """Whether a constraint of the tables turns a statement down; nothing is changed."""
        with psycopg.connect(self.url) as connection:
            try:
                connection.execute(statement)
            except psycopg.errors.CheckViolation:
                return True
            finally:
                connection.rollback()
        return False

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query, parameters).fetchall()

    def one(self, query: str) -> Any:
        ((value,),) = self.rows(query)
        return value


def pytest_sessionfinish() -> None:
    """Let go of sockets that kafka-python 3.0.12 left open, before pytest takes them for errors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <s", ResourceWarning)
        for _ in range(3):
            gc.collect()


@pytest.fixture(scope="session")
def migrated_template(database_server: DatabaseServer) -> Iterator[str]:
    """A database that is migrated once, to be copied."""
    url = database_server.create()
    with connect(url, "test", 60) as connection:
        migrate.migrate(connection)
    yield url
    database_server.drop(url)


@pytest.fixture
def collector_url(migrated_template: str, make_database: Callable[..., str]) -> str:
    return make_database(migrated_template)


@pytest.fixture
def fixed_clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def shelf(collector_url: str, fixed_clock: FixedClock) -> Iterator[Shelf]:
    made = Shelf(collector_url, fixed_clock)
    yield made
    made.connection.close()
