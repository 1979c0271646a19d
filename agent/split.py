"""A message that is too large for the broker, cut into two that are not.

Owns the cut: samples by their ticks, those of a single tick by their accelerators, records by their
number. What cannot be cut any further is for the owner to set aside. Pure; numbers and times come
with the call, because each half is a message of its own.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from telemetry.errors import DecodeError
from telemetry.streams import Stream
from telemetry.wire import (
    UUID_BYTES,
    Header,
    SamplesHeader,
    decode,
    decode_events,
    decode_queues,
    encode_events,
    encode_queues,
    encode_samples,
    mask_bytes,
    parse_layout,
)

HeaderT = TypeVar("HeaderT", bound=Header)

# Makes the message of one half, given boot epoch, number and time in microseconds.
Half = Callable[[int, int, int], bytes]


def halves(stream: Stream, payload: bytes) -> tuple[Half, Half] | None:
    """Return what makes the two halves of a message; None where it cannot be cut."""
    try:
        message = decode(payload)
        if isinstance(message.header, SamplesHeader):
            return _of_samples(message.header, bytes(message.body))
        header = message.header
        if stream is Stream.EVENTS:
            return _of_records(header, decode_events(message), encode_events)
        return _of_records(header, decode_queues(message), encode_queues)
    except DecodeError:
        return None


def _of_records(
    header: Header, records: Sequence[msgspec.Struct], encode: Callable[..., bytes]
) -> tuple[Half, Half] | None:
    middle = len(records) // 2
    if not middle:
        return None

    def half(part: Sequence[msgspec.Struct]) -> Half:
        return lambda epoch, seq, now_us: encode(_renumbered(header, epoch, seq, now_us), part)

    return half(records[:middle]), half(records[middle:])


def _of_samples(header: SamplesHeader, body: bytes) -> tuple[Half, Half] | None:
    ticks, accelerators = header.ticks, len(header.accelerators) // UUID_BYTES
    if ticks > 1:
        at = ticks // 2
        return (
            _cut(header, body, (0, at), (0, accelerators)),
            _cut(header, body, (at, ticks), (0, accelerators)),
        )
    if accelerators > 1:
        at = accelerators // 2
        return (
            _cut(header, body, (0, 1), (0, at)),
            _cut(header, body, (0, 1), (at, accelerators)),
        )
    return None


def _cut(
    header: SamplesHeader, body: bytes, ticks: tuple[int, int], accelerators: tuple[int, int]
) -> Half:
    """Return some of the ticks, or some accelerators of a single one: cells in a row."""
    width_of_tick = len(header.accelerators) // UUID_BYTES
    cells = header.ticks * width_of_tick
    start = ticks[0] * width_of_tick + accelerators[0]
    end = (ticks[1] - 1) * width_of_tick + accelerators[1]
    parts, at = [body[8 * ticks[0] : 8 * ticks[1]]], 8 * header.ticks
    layout = parse_layout(header.layout)
    for _, width in layout.entries:
        parts.append(body[at + start * width : at + end * width])
        at += cells * width
    for _ in layout.entries:
        bits = int.from_bytes(body[at : at + mask_bytes(cells)], "little") >> start
        bits &= (1 << (end - start)) - 1
        parts.append(bits.to_bytes(mask_bytes(end - start), "little"))
        at += mask_bytes(cells)
    uuids = header.accelerators[UUID_BYTES * accelerators[0] : UUID_BYTES * accelerators[1]]
    smaller = msgspec.structs.replace(header, ticks=ticks[1] - ticks[0], accelerators=uuids)
    cut = b"".join(parts)
    return lambda epoch, seq, now_us: encode_samples(_renumbered(smaller, epoch, seq, now_us), cut)


def _renumbered(header: HeaderT, epoch: int, seq: int, now_us: int) -> HeaderT:
    return msgspec.structs.replace(header, boot_epoch=epoch, seq=seq, sent_us=now_us)
