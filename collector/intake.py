"""One record of the log: judged, and opened as far as judging needs.

Owns the reasons for which a message goes to quarantine before the database sees it. Pure. Times of
samples are judged where they are columns, in `batch.py`.
"""

from dataclasses import dataclass
from functools import lru_cache

from collector.consumer import Received
from telemetry.catalogue import CATALOGUE
from telemetry.columns import Shape
from telemetry.errors import DecodeError
from telemetry.metrics import Group
from telemetry.records import Dropped, EventRecord, QueueSnapshot
from telemetry.streams import Stream
from telemetry.wire import (
    STREAM_OF_KIND,
    Header,
    Message,
    MessageKind,
    SamplesHeader,
    decode,
    decode_events,
    decode_queues,
    parse_layout,
)

_STREAMS = frozenset(Stream)

US_PER_S = 1_000_000
US_PER_DAY = 86_400 * US_PER_S


@dataclass(frozen=True, slots=True)
class Window:
    """Which times are believed, in microseconds since 1970, both ends included."""

    oldest_us: int
    newest_us: int

    @classmethod
    def around(cls, now_us: int, age_max_days: int, future_max_s: int) -> "Window":
        """Return the window that is open now."""
        return cls(now_us - age_max_days * US_PER_DAY, now_us + future_max_s * US_PER_S)

    def check(self, time_us: int) -> None:
        """Refuse a time outside.

        Raises:
            DecodeError: with reason `too_old` or `in_future`.
        """
        if time_us < self.oldest_us:
            raise DecodeError("too_old", f"time {time_us} is before {self.oldest_us}")
        if time_us > self.newest_us:
            raise DecodeError("in_future", f"time {time_us} is after {self.newest_us}")


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of the two kinds of data."""

    samples: Window
    events: Window


@dataclass(slots=True)
class Samples:
    """A samples message whose columns are still packed."""

    received: Received
    header: SamplesHeader
    shape: Shape
    group: Group
    body: memoryview


@dataclass(slots=True)
class Events:
    """An events message."""

    received: Received
    header: Header
    records: list[EventRecord]


@dataclass(slots=True)
class Queues:
    """A queues message."""

    received: Received
    header: Header
    snapshots: list[QueueSnapshot]


Opened = Samples | Events | Queues


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record for the quarantine.

    Attributes:
        header: whose it is, where that much could be read.
    """

    received: Received
    reason: str
    detail: str
    header: Header | None = None


def open_record(received: Received, windows: Windows) -> Opened | Rejected:
    """Judge a record and open it."""
    if received.unreadable is not None:
        return Rejected(received, "unreadable_batch", received.unreadable)
    header: Header | None = None
    try:
        message = decode(received.value)
        header = message.header
        _check_header(message, received)
        return _open(message, received, windows)
    except DecodeError as error:
        return Rejected(received, error.reason, error.detail, header)


def _check_header(message: Message, received: Received) -> None:
    stream = STREAM_OF_KIND[message.kind]
    if stream is not received.stream:
        raise DecodeError("wrong_topic", f"{stream} in the topic of {received.stream}")
    if message.header.seq < 1:
        raise DecodeError("sequence", "sequence numbers start at 1")


def _open(message: Message, received: Received, windows: Windows) -> Opened:
    header = message.header
    if isinstance(header, SamplesHeader):
        shape = Shape.of(header)
        return Samples(received, header, shape, group_of(header.layout), message.body)
    if message.kind is MessageKind.EVENTS:
        records = decode_events(message)
        for record in records:
            windows.events.check(record.time_us)
            if isinstance(record, Dropped) and record.stream not in _STREAMS:
                raise DecodeError("stream", f"nothing is dropped from {record.stream!r}")
        return Events(received, header, records)
    snapshots = decode_queues(message)
    for snapshot in snapshots:
        windows.events.check(snapshot.time_us)
    return Queues(received, header, snapshots)


@lru_cache(maxsize=1024)
def group_of(layout: bytes) -> Group:
    """Return the group that a layout's metrics belong to.

    Raises:
        DecodeError: with reason `metric_groups`: none that is known, or more than one.
    """
    numbers = [number for number, _ in parse_layout(layout).entries]
    groups = {CATALOGUE.by_id[number].group for number in numbers if number in CATALOGUE.by_id}
    if len(groups) != 1:
        raise DecodeError("metric_groups", f"a message carries one group of metrics, not {groups}")
    return groups.pop()
