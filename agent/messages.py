"""From drafts to the messages of the wire.

Owns how much goes into one message and its header. Pure: numbers and times are passed in.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from agent.drafts import Identity, SampleTick
from agent.fold import fold
from telemetry.records import EVENTS_PER_MESSAGE_MAX, EventRecord, QueueSnapshot
from telemetry.streams import MESSAGE_BYTES_MAX
from telemetry.wire import Header, SamplesHeader, encode_events, encode_queues, encode_samples

# Half, so that no header can make a message too large.
BODY_BYTES_MAX = MESSAGE_BYTES_MAX // 2

RecordT = TypeVar("RecordT", bound=msgspec.Struct)


class Composer:
    """Makes the messages of one host."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def samples(
        self, ticks: Sequence[SampleTick], *, boot_epoch: int, seq: int, now_us: int
    ) -> bytes:
        """Return the message of ticks that join each other."""
        header = SamplesHeader(
            tenant=self.identity.tenant,
            facility=self.identity.facility,
            host=self.identity.host,
            boot_epoch=boot_epoch,
            seq=seq,
            sent_us=now_us,
            ticks=len(ticks),
            accelerators=ticks[0].accelerators,
            layout=ticks[0].layout,
        )
        return encode_samples(header, fold(ticks))

    def events(
        self, records: Sequence[EventRecord], *, boot_epoch: int, seq: int, now_us: int
    ) -> bytes:
        """Return the message of one chunk of records."""
        return encode_events(self._header(boot_epoch, seq, now_us), records)

    def queues(
        self, snapshots: Sequence[QueueSnapshot], *, boot_epoch: int, seq: int, now_us: int
    ) -> bytes:
        """Return the message of one chunk of snapshots."""
        return encode_queues(self._header(boot_epoch, seq, now_us), snapshots)

    def _header(self, boot_epoch: int, seq: int, now_us: int) -> Header:
        return Header(
            tenant=self.identity.tenant,
            facility=self.identity.facility,
            host=self.identity.host,
            boot_epoch=boot_epoch,
            seq=seq,
            sent_us=now_us,
        )


def chunks(records: Sequence[RecordT]) -> Iterator[list[RecordT]]:
    """Yield records in runs that fit into one message each.

    One that is too large for any message by itself is in no run: whoever reads foreign text
    bounds it, so this is a fault of the program, and counted by what is missing.
    """
    run: list[RecordT] = []
    run_bytes = 0
    for record in records:
        size = len(msgspec.msgpack.encode(record))
        if size > BODY_BYTES_MAX:
            continue
        if run and (run_bytes + size > BODY_BYTES_MAX or len(run) >= EVENTS_PER_MESSAGE_MAX):
            yield run
            run, run_bytes = [], 0
        run.append(record)
        run_bytes += size
    if run:
        yield run


def runs(ticks: Sequence[SampleTick], ticks_max: int) -> Iterator[list[SampleTick]]:
    """Yield ticks in runs that make one message each, in their order."""
    run: list[SampleTick] = []
    for tick in ticks:
        if run and (not run[-1].joins(tick) or full(run, ticks_max)):
            yield run
            run = []
        run.append(tick)
    if run:
        yield run


def full(run: Sequence[SampleTick], ticks_max: int) -> bool:
    """Whether no further tick may join a run."""
    return (
        len(run) >= ticks_max
        or run[-1].urgent
        or (len(run) + 1) * len(run[-1].body) > BODY_BYTES_MAX
    )
