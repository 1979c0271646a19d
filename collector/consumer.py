"""The broker's edge: a group member that says which partitions are ours and hands out records.

Owns the Kafka client. Offsets are not Kafka's business here: the group gives partitions, the
database knows where to start (`claims.py`), and what is committed to the group afterwards is only
there for lag tools. The client's own thread keeps the membership alive while we store.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from kafka import TopicPartition
from kafka.errors import IllegalStateError, KafkaError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata

from collector import record_batches
from collector.assignment import AssignmentListener
from collector.kafka_clients import TidyConsumer
from collector.record_batches import UNREADABLE_HEADER
from collector.settings import CollectorSettings
from telemetry import kafka_door
from telemetry.errors import ConfigError, RetryableError
from telemetry.signing import SIGNATURE_HEADER
from telemetry.streams import Stream

log = logging.getLogger(__name__)

BOOTSTRAP_TIMEOUT_MS = 3000
REQUEST_TIMEOUT_MS = 10_000
LOOK_UP_TIMEOUT_MS = 3000
METADATA_AGE_MAX_MS = 5000
# The broker lets a whole group wait this long for a member that says it is there but does not join
# again, and the client waits a little longer for an answer that got lost. A member that is given up
# in the middle of a long transaction is fenced or has moved on: the database knows.
POLL_INTERVAL_MAX_MS = 120_000
# Messages may be 1 MiB each, so this many are taken from the client's buffer at a time.
RECORDS_PER_POLL = 64
# An answer is in memory some four times while it is being taken apart, and there is one more behind
# it; both lanes have a client. Eight of these a second are more than two cores can store.
PARTITION_FETCH_BYTES = 4 << 20
FETCH_BYTES = 8 << 20


class Partition(NamedTuple):
    """One partition of one of our topics."""

    topic: str
    number: int


@dataclass(slots=True)
class Received:
    """A record as it came.

    Attributes:
        unreadable: why the batch of records that it stands for could not be read; its value is
            then the first bytes of that batch.
        signature: what stands in the header beside the value, if it was signed.
    """

    partition: Partition
    stream: Stream
    offset: int
    key: bytes | None
    value: bytes
    unreadable: str | None = None
    signature: bytes | None = None


class Bounds(NamedTuple):
    """The offsets that a partition of the log holds: from `begin`, and `end` is the next one.

    NOTE: the in-memory broker gives an `end` that is too low where the last records came together;
    only what a fetch says is exact on every broker (`Consumer.end_offset`).
    """

    begin: int
    end: int


class Consumer:
    """A member of the collectors' group."""

    def __init__(self, settings: CollectorSettings) -> None:
        """Reach the broker and join the group.

        Raises:
            RetryableError: the broker is away.
        """
        record_batches.install(settings.decompressed_bytes_max)
        self._where = f"the broker at {settings.kafka_bootstrap}"
        self._streams = {settings.topic(stream): stream for stream in Stream}
        self._listener = AssignmentListener()
        try:
            self._client = TidyConsumer(
                **reading_options(settings),
                client_id="fleetgauge-collector",
                group_id=settings.collector_group,
                session_timeout_ms=settings.session_timeout_ms,
                heartbeat_interval_ms=settings.session_timeout_ms // 4,
                max_poll_interval_ms=POLL_INTERVAL_MAX_MS,
            )
        except (KafkaError, OSError, ConfigError) as error:
            shut = kafka_door.why_shut(settings) if isinstance(error, KafkaError) else ""
            raise RetryableError(shut or f"{self._where}: {error}") from error
        self._listener.client = self._client
        self._client.subscribe(list(self._streams), listener=self._listener)

    def take_changes(self) -> bool:
        """Whether the assignment has changed since the last call."""
        changed, self._listener.changed = self._listener.changed, False
        return changed

    def has_changed(self) -> bool:
        """Whether `take_changes` would say so."""
        return self._listener.changed

    def assigned(self) -> list[Partition]:
        """Return the partitions that are ours now."""
        return sorted(Partition(tp.topic, tp.partition) for tp in self._client.assignment())

    def is_joined(self) -> bool:
        """Whether the group has given us our partitions, of which there may be none."""
        return bool(self._client.is_joined())

    def topic_id(self, topic: str) -> str:
        """Return the broker's id of a topic, or its name where the broker has no ids.

        A topic that was deleted and made again has the same name and another id.
        """
        # The client knows it from its metadata and has no public way to ask.
        known = self._client._cluster.topic_id(topic)  # noqa: SLF001
        return str(known) if known is not None and known.int else topic

    def missing_topics(self) -> list[str]:
        """Return which of our topics the broker did not have at the last refresh of metadata."""
        return sorted(set(self._streams) - self._client._cluster.topics())  # noqa: SLF001

    def bounds(self, partitions: Iterable[Partition]) -> dict[Partition, Bounds]:
        """Ask the broker which offsets it holds.

        Raises:
            RetryableError: the broker is away, or a topic was just deleted.
        """
        wanted = [TopicPartition(*partition) for partition in partitions]
        if not wanted:
            return {}
        try:
            begin = self._client.beginning_offsets(wanted, timeout_ms=LOOK_UP_TIMEOUT_MS)
            end = self._client.end_offsets(wanted, timeout_ms=LOOK_UP_TIMEOUT_MS)
        except KeyError as error:
            # Of a topic that was deleted a moment ago the client has no answer to look up.
            raise RetryableError(f"{self._where} does not know {error.args[0]}") from error
        except KafkaError as error:
            raise RetryableError(f"{self._where}: {error}") from error
        return {Partition(*tp): Bounds(begin[tp], end[tp]) for tp in wanted}

    def read_from(self, starts: Mapping[Partition, int]) -> None:
        """Go to these offsets; partitions that are no longer ours are left out."""
        ours = set(self.assigned())
        for partition, offset in starts.items():
            if partition in ours:
                tp = TopicPartition(*partition)
                with _as_taken_away():
                    self._client.seek(tp, offset)
                    # What a fetch before has shown of the log's end is no word on this offset.
                    self._client._subscription.assignment[tp].highwater = None  # noqa: SLF001
                    self._client.resume(tp)

    def poll(self, timeout_s: float) -> list[Received]:
        """Return the next records, a few at a time, in the order of each partition.

        Raises:
            OutOfLogError: a position that the log does not have.
            BrokenClientError: anything else; the client is of no more use.
        """
        try:
            found = self._client.poll(timeout_ms=int(timeout_s * 1000))
        except OffsetOutOfRangeError as error:
            raise OutOfLogError([Partition(*tp) for tp in error.args[0]]) from error
        except KafkaError as error:
            raise BrokenClientError(f"{self._where}: {error}") from error
        return received_of(found, self._streams)

    def idle(self) -> None:
        """Stay a member without taking anything, until `read_from`: the back-pressure.

        Raises:
            BrokenClientError: the client is of no more use.
        """
        try:
            with _as_taken_away():
                self._client.pause(*self._client.assignment())
            self._client.poll(timeout_ms=0)
        except KafkaError as error:
            raise BrokenClientError(f"{self._where}: {error}") from error

    def end_offset(self, partition: Partition) -> int | None:
        """Return the next offset of the log as the last fetch has seen it."""
        tp, known = TopicPartition(*partition), None
        if tp in self._client.assignment():
            with _as_taken_away():
                known = self._client.highwater(tp)
        return None if known is None else int(known)

    def positions(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the next offset to fetch of those that the client has to fetch; never waits."""
        if not self.is_joined():
            return {}
        wanted = {TopicPartition(*partition) for partition in partitions} - self._client.paused()
        found = {Partition(*tp): self._client.known_position(tp) for tp in wanted}
        return {partition: at for partition, at in found.items() if at is not None}

    def tell_group(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets to the group, for tools that show lag; whether it works is no matter."""
        self._client.commit_async(
            {
                TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)
                for partition, offset in offsets.items()
            },
            callback=lambda _offsets, _outcome: None,
        )

    def close(self) -> None:
        """Leave the group, so that others need not wait for our silence."""
        self._client.close(autocommit=False, timeout_ms=LOOK_UP_TIMEOUT_MS)


class OutOfLogError(RetryableError):
    """The log does not hold the offset that we want to read.

    Attributes:
        partitions: where that is so.
    """

    def __init__(self, partitions: list[Partition]) -> None:
        self.partitions = partitions
        names = ", ".join(f"{topic} partition {number}" for topic, number in partitions)
        super().__init__(f"{names}: the log does not hold the next offset")


class BrokenClientError(RetryableError):
    """The client has met an error after which it may stand still for ever."""


@contextmanager
def _as_taken_away() -> Iterator[None]:
    """Pass over a partition that the client's own thread has given up since we looked."""
    try:
        yield
    except (KeyError, AssertionError, IllegalStateError) as error:
        log.debug("a partition was taken away meanwhile: %s", error)


def reading_options(settings: CollectorSettings) -> dict[str, Any]:
    """Return what is common to all clients that read the log."""
    return settings.client_options() | {
        "enable_auto_commit": False,
        "auto_offset_reset": "none",  # any other value would skip messages silently
        "allow_auto_create_topics": False,
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "metadata_max_age_ms": METADATA_AGE_MAX_MS,
        "reconnect_backoff_max_ms": 1000,
        "max_poll_records": RECORDS_PER_POLL,
        "max_partition_fetch_bytes": PARTITION_FETCH_BYTES,
        "fetch_max_bytes": FETCH_BYTES,
    }


def received_of(
    found: Mapping[TopicPartition, Sequence[Any]], streams: Mapping[str, Stream]
) -> list[Received]:
    """Return what a client's poll has found, in the order of each partition."""
    received: list[Received] = []
    for tp, records in found.items():
        partition, stream = Partition(*tp), streams[tp.topic]
        received += [_received(partition, stream, record) for record in records]
    return received


def _received(partition: Partition, stream: Stream, record: Any) -> Received:
    value = record.value or b""
    unreadable = signature = None
    if record.headers:
        name, content = record.headers[0]
        if name == SIGNATURE_HEADER:
            signature = content or b""
        elif name == UNREADABLE_HEADER:
            unreadable = (content or b"").decode(errors="replace")
    return Received(partition, stream, record.offset, record.key, value, unreadable, signature)
