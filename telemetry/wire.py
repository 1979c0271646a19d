"""Wire format version 1: what a Kafka value is, byte by byte.

Owns encoding and strict decoding of whole messages, without numpy, so that the agent can write
them and any test can read them. The collector's packed reading of the same columns is
`telemetry/columns.py`.

A message is a fixed prefix, a header and a body; all numbers are little-endian::

    offset  bytes  what
    0       4      "FGAU"
    4       1      version (1)
    5       1      kind: 1 samples, 2 events, 3 queues
    6       2      bytes of the header, H
    8       4      bytes of the body, B
    12      H      header: MessagePack array, see `Header` and `SamplesHeader`
    12+H    B      body

A samples body holds T ticks of G accelerators for the M metrics that the header's layout names::

    8 x T          wall time of each tick, microseconds since 1970, int64
    per metric     T x G values, tick by tick, of the width that the layout gives
    per metric     ceil(T x G / 8) bytes: bit i set = value i is missing (lowest bit first)

Events and queues bodies are MessagePack arrays of tagged maps (`telemetry/records.py`). Fields
are only added, last and with a default; a reader skips what it does not know.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from math import isfinite
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from telemetry.catalogue import CATALOGUE
from telemetry.errors import DecodeError
from telemetry.metrics import WIDTHS_BYTES, Metric
from telemetry.records import (
    ACCELERATORS_PER_HOST_MAX,
    Count,
    EventRecord,
    EventRecords,
    Name,
    QueueRecords,
    QueueSnapshot,
)
from telemetry.streams import MESSAGE_BYTES_MAX, Stream

MAGIC = b"FGAU"
VERSION = 1
# A reader takes versions from two before its own to one after it.
VERSIONS_READ = range(max(1, VERSION - 2), VERSION + 2)
PREFIX = struct.Struct("<4sBBHI")
LAYOUT_ENTRY = struct.Struct("<HB")
UUID_BYTES = 16
TICKS_MAX = 600
METRICS_MAX = 256
TIME_US_MAX = 7_258_118_400_000_000
_WIDTHS_BYTES = frozenset(WIDTHS_BYTES.values())


class MessageKind(IntEnum):
    """What the body holds."""

    SAMPLES = 1
    EVENTS = 2
    QUEUES = 3


STREAM_OF_KIND = {
    MessageKind.SAMPLES: Stream.SAMPLES,
    MessageKind.EVENTS: Stream.EVENTS,
    MessageKind.QUEUES: Stream.QUEUES,
}


class Header(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Who sent a message, and which one it is.

    A new common field goes to the end of this record *and* of `SamplesHeader`, because the
    header travels as an array.

    Attributes:
        boot_epoch: rises with each start of the agent.
        seq: rises by one a message within a stream and boot epoch, from 1.
        sent_us: wall time at which the message was made.
    """

    tenant: Name
    facility: Name
    host: Name
    boot_epoch: Count
    seq: Count
    sent_us: Count = 0


class SamplesHeader(Header, frozen=True, array_like=True, kw_only=True):
    """A header with the shape of the body.

    Attributes:
        ticks: T.
        accelerators: G UUIDs of 16 bytes each, in the order of the columns.
        layout: one entry a metric: id (2 bytes) and width of its values (1 byte).
    """

    ticks: Annotated[int, Meta(ge=1, le=TICKS_MAX)]
    accelerators: Annotated[
        bytes, Meta(min_length=UUID_BYTES, max_length=UUID_BYTES * ACCELERATORS_PER_HOST_MAX)
    ]
    layout: Annotated[
        bytes, Meta(min_length=LAYOUT_ENTRY.size, max_length=LAYOUT_ENTRY.size * METRICS_MAX)
    ]


class Message(msgspec.Struct, frozen=True):
    """The outside of a message, its body still packed.

    Attributes:
        kind: what the body holds.
        header: a `SamplesHeader` for samples, else a `Header`.
        body: the body's bytes, of the length that the prefix promised.
    """

    kind: MessageKind
    header: Header
    body: memoryview


_KINDS = {int(kind): kind for kind in MessageKind}
_header_decoder = msgspec.msgpack.Decoder(Header)
_samples_header_decoder = msgspec.msgpack.Decoder(SamplesHeader)
_event_decoder = msgspec.msgpack.Decoder(EventRecords)
_queue_decoder = msgspec.msgpack.Decoder(QueueRecords)
_encoder = msgspec.msgpack.Encoder()


def encode_events(header: Header, records: Sequence[EventRecord]) -> bytes:
    """Return a message of the events stream."""
    return _message(MessageKind.EVENTS, header, _encoder.encode(records))


def encode_queues(header: Header, snapshots: Sequence[QueueSnapshot]) -> bytes:
    """Return a message of the queues stream."""
    return _message(MessageKind.QUEUES, header, _encoder.encode(snapshots))


def encode_samples(header: SamplesHeader, body: bytes) -> bytes:
    """Return a message of the samples stream around an already packed body."""
    return _message(MessageKind.SAMPLES, header, body)


def _message(kind: MessageKind, header: Header, body: bytes) -> bytes:
    head = _encoder.encode(header)
    size = PREFIX.size + len(head) + len(body)
    if size > MESSAGE_BYTES_MAX:
        raise ValueError(f"a message of {size} bytes is over the limit of {MESSAGE_BYTES_MAX}")
    return PREFIX.pack(MAGIC, VERSION, kind, len(head), len(body)) + head + body


def decode(data: bytes) -> Message:
    """Check a message's prefix, header and sizes, and return it with its body still packed.

    Raises:
        DecodeError: with reason `empty`, `oversized`, `truncated`, `magic`, `version`, `kind`,
            `length`, `header` or `shape`.
    """
    if not data:
        raise DecodeError("empty", "the value has no bytes")
    if len(data) > MESSAGE_BYTES_MAX:
        raise DecodeError("oversized", f"{len(data)} bytes, at most {MESSAGE_BYTES_MAX}")
    if len(data) < PREFIX.size:
        raise DecodeError("truncated", f"{len(data)} bytes are less than the prefix")
    magic, version, kind_number, head_bytes, body_bytes = PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise DecodeError("magic", f"starts with {magic!r}")
    if version not in VERSIONS_READ:
        raise DecodeError("version", f"version {version}; this program reads {VERSIONS_READ}")
    kind = _KINDS.get(kind_number)
    if kind is None:
        raise DecodeError("kind", f"kind {kind_number} is not known")
    if len(data) != PREFIX.size + head_bytes + body_bytes:
        raise DecodeError("length", "sizes in the prefix do not add up to the message")
    view = memoryview(data)
    body_start = PREFIX.size + head_bytes
    header = _decode_header(kind, view[PREFIX.size : body_start])
    body = view[body_start:]
    if isinstance(header, SamplesHeader):
        check_shape(header, len(body))
    return Message(kind, header, body)


def _decode_header(kind: MessageKind, head: memoryview) -> Header:
    decoder = _samples_header_decoder if kind is MessageKind.SAMPLES else _header_decoder
    try:
        return decoder.decode(head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError("header", str(error)) from error


def check_shape(header: SamplesHeader, body_bytes: int) -> None:
    """Check that the layout is sound and that the body is exactly as long as it says.

    Raises:
        DecodeError: with reason `shape`.
    """
    accelerators = len(split_uuids(header.accelerators))
    expected = _expected_bytes(header.ticks, accelerators, header.layout)
    if body_bytes != expected:
        raise DecodeError("shape", f"body of {body_bytes} bytes, its layout says {expected}")


@lru_cache(maxsize=1024)
def _expected_bytes(ticks: int, accelerators: int, layout: bytes) -> int:
    cells = ticks * accelerators
    entries, row_bytes = parse_layout(layout)
    return 8 * ticks + cells * row_bytes + len(entries) * mask_bytes(cells)


def split_uuids(accelerators: bytes) -> tuple[bytes, ...]:
    """Return the UUIDs of a header, 16 bytes each.

    Raises:
        DecodeError: with reason `shape`: an odd length, or one accelerator twice.
    """
    count, odd_bytes = divmod(len(accelerators), UUID_BYTES)
    if odd_bytes:
        raise DecodeError("shape", "accelerator UUIDs are not 16 bytes each")
    uuids: tuple[bytes, ...] = struct.unpack(f"{UUID_BYTES}s" * count, accelerators)
    if len(set(uuids)) != count:
        raise DecodeError("shape", "one accelerator stands twice in a message")
    return uuids


class Layout(NamedTuple):
    """The columns of a body.

    Attributes:
        entries: (metric id, bytes a value) for each column.
        row_bytes: bytes of one accelerator's values at one tick.
    """

    entries: tuple[tuple[int, int], ...]
    row_bytes: int


@lru_cache(maxsize=1024)
def parse_layout(layout: bytes) -> Layout:
    """Return the columns that a header's layout names.

    Raises:
        DecodeError: with reason `shape`: an odd length, an unknown width, an id that stands
            twice, or a known metric of another width than the catalogue's.
    """
    if len(layout) % LAYOUT_ENTRY.size:
        raise DecodeError("shape", "the layout is cut off")
    entries = tuple((number, width) for number, width in LAYOUT_ENTRY.iter_unpack(layout))
    if len({number for number, _ in entries}) != len(entries):
        raise DecodeError("shape", "a metric stands twice in the layout")
    for number, width in entries:
        metric = CATALOGUE.by_id.get(number)
        if width not in _WIDTHS_BYTES or (metric is not None and metric.width_bytes != width):
            raise DecodeError("shape", f"metric {number} has values of {width} bytes")
    return Layout(entries, sum(width for _, width in entries))


def layout_of(metrics: Sequence[Metric]) -> bytes:
    """Return the layout entry bytes of metrics, in their order."""
    return b"".join(LAYOUT_ENTRY.pack(metric.id, metric.width_bytes) for metric in metrics)


def mask_bytes(cells: int) -> int:
    """Return the bytes of one metric's mask of missing values."""
    return (cells + 7) // 8


def decode_events(message: Message) -> list[EventRecord]:
    """Return the records of an events message.

    Raises:
        DecodeError: with reason `body` or `not_finite`.
    """
    try:
        records = _event_decoder.decode(message.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError("body", str(error)) from error
    for record in records:
        for value in getattr(record, "detail", {}).values():
            _require_finite(value)
    return records


def decode_queues(message: Message) -> list[QueueSnapshot]:
    """Return the snapshots of a queues message.

    Raises:
        DecodeError: with reason `body` or `not_finite`.
    """
    try:
        snapshots = _queue_decoder.decode(message.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError("body", str(error)) from error
    for snapshot in snapshots:
        for name in snapshot.__struct_fields__:
            _require_finite(getattr(snapshot, name))
    return snapshots


def _require_finite(value: object) -> None:
    if isinstance(value, float) and not isfinite(value):
        raise DecodeError("not_finite", f"{value} is not a number to store")
