"""How what is to be sent gets its number and its place in a spool.

Owns the step from records and ticks to numbered messages, and the records that tell of numbers that
will never come. Which spool that is, and when, is the outbox's business; every call is made within
a transaction of the spool it names.
"""

import logging
from collections.abc import Sequence

from agent.counters import Counters
from agent.drafts import Identity, SampleTick
from agent.heartbeat import complete
from agent.messages import Composer, chunks
from agent.split import halves
from agent.spool import Range, Spool, ranges
from agent.spool_rows import Slot
from telemetry.clock import Clock
from telemetry.records import Dropped, EventRecord, Heartbeat, QueueSnapshot
from telemetry.streams import Stream

log = logging.getLogger(__name__)


class Sequencer:
    """Makes the numbered messages of one host."""

    def __init__(self, identity: Identity, clock: Clock, counters: Counters) -> None:
        self._composer = Composer(identity)
        self._clock = clock
        self._counters = counters

    def add_samples(self, spool: Spool, boot_epoch: int, run: Sequence[SampleTick]) -> None:
        """Store the message of ticks that join each other."""
        seq, now_us = spool.next_seq(Stream.SAMPLES), self._clock.now_us()
        payload = self._composer.samples(run, boot_epoch=boot_epoch, seq=seq, now_us=now_us)
        spool.add(Slot(Stream.SAMPLES, boot_epoch, seq), now_us, payload)

    def add_events(self, spool: Spool, boot_epoch: int, records: Sequence[EventRecord]) -> None:
        """Store records as messages; a heartbeat among them learns how full the spool is."""
        for chunk in chunks(records):
            seq, now_us = spool.next_seq(Stream.EVENTS), self._clock.now_us()
            completed = [
                complete(record, spool.state()) if isinstance(record, Heartbeat) else record
                for record in chunk
            ]
            payload = self._composer.events(
                completed, boot_epoch=boot_epoch, seq=seq, now_us=now_us
            )
            spool.add(Slot(Stream.EVENTS, boot_epoch, seq), now_us, payload)

    def add_queues(self, spool: Spool, boot_epoch: int, snapshots: Sequence[QueueSnapshot]) -> None:
        """Store snapshots as messages."""
        for chunk in chunks(snapshots):
            seq, now_us = spool.next_seq(Stream.QUEUES), self._clock.now_us()
            payload = self._composer.queues(chunk, boot_epoch=boot_epoch, seq=seq, now_us=now_us)
            spool.add(Slot(Stream.QUEUES, boot_epoch, seq), now_us, payload)

    def split(self, spool: Spool, boot_epoch: int, slot: Slot) -> bool:
        """Put two halves in a message's place; False if it has none."""
        payload = spool.payload(slot)
        parts = None if payload is None else halves(slot.stream, payload)
        if parts is None:
            return False
        for half in parts:
            seq, now_us = spool.next_seq(slot.stream), self._clock.now_us()
            spool.add(Slot(slot.stream, boot_epoch, seq), now_us, half(boot_epoch, seq, now_us))
        spool.remove([slot])
        self._counters.add("messages_split")
        # Its number will not come, though what it held will.
        self._tell(spool, boot_epoch, ranges([slot]), "split")
        return True

    def report(self, spool: Spool, boot_epoch: int, gone: Sequence[Range], reason: str) -> None:
        """Count and log messages that will never come, and say so in the events stream."""
        count = sum(run.last_seq - run.first_seq + 1 for run in gone)
        self._counters.add(f"messages_dropped_{reason}", count)
        log.warning("dropped %d messages: %s", count, reason)
        self._tell(spool, boot_epoch, gone, reason)

    def _tell(self, spool: Spool, boot_epoch: int, gone: Sequence[Range], reason: str) -> None:
        records: list[EventRecord] = [
            Dropped(
                time_us=self._clock.now_us(),
                stream=str(run.stream),
                boot_epoch=run.boot_epoch,
                first_seq=run.first_seq,
                last_seq=run.last_seq,
                reason=reason,
            )
            for run in gone
        ]
        self.add_events(spool, boot_epoch, records)
