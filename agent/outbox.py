"""The outbox of one host: what is to be sent, in order, until the broker has confirmed it.

Owns how drafts get their place in a sequence, and what happens when there is no room. Where the
spool is kept, and that it moves to memory when the disk fails, is `spool_keeper.py`. One lock
guards all of it, so the reading side and any number of sinks may share an outbox.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from agent.counters import Counters
from agent.drafts import Draft, EventDraft, HostMemory, Identity, QueueDraft, SampleTick
from agent.heartbeat import SpoolState, complete
from agent.messages import Composer, chunks, full, runs
from agent.split import halves
from agent.spool import Range, Spool, ranges
from agent.spool_file import SpoolFile
from agent.spool_keeper import SPOOL_ERRORS, SpoolKeeper
from agent.spool_rows import Slot, SpoolDamagedError
from telemetry.clock import Clock
from telemetry.metrics import Group
from telemetry.records import Dropped, EventRecord, Heartbeat
from telemetry.streams import Stream

log = logging.getLogger(__name__)

_HOST_FACT = "host"
# Why a message is refused that may be taken in parts.
TOO_LARGE = "too_large"


class Outbox:
    """Messages of one host on their way.

    Attributes:
        memory: what the agent before this one remembered about the host, or None.
    """

    def __init__(
        self,
        identity: Identity,
        file: SpoolFile | None,
        clock: Clock,
        counters: Counters,
        *,
        ticks_per_message: int = 10,
        memory_bytes_max: int = 4 << 20,
    ) -> None:
        """Open the spool and give what the agent before has left in it a place.

        Args:
            identity: who sends.
            file: where the spool is kept; None keeps it in memory alone.
            clock: for boot epochs and for when the disk is tried again.
            counters: where drops and failures are counted.
            ticks_per_message: fast ticks of one message.
            memory_bytes_max: size of the spool while it is in memory.

        Raises:
            ConfigError: another agent uses the file, or its path cannot be used.
        """
        self.identity = identity
        self._composer = Composer(identity)
        self._clock = clock
        self._counters = counters
        self._ticks_max = {Group.FAST: ticks_per_message, Group.SLOW: 1}
        self._lock = threading.Lock()
        self._changed: Callable[[], None] = lambda: None
        self._ticks: dict[Group, list[SampleTick]] = {}
        self._last_seqs: dict[Stream, int] = {}
        self._confirmed: dict[Stream, int] = {}
        self._keeper = SpoolKeeper(file, clock, counters, memory_bytes_max, self._settle)
        self.memory = _decode_memory(self._keeper.spool.fact(_HOST_FACT))

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever there is something new to send."""
        self._changed = changed

    @property
    def boot_epoch(self) -> int:
        """The epoch of the messages made now: rises with each start, and when the disk fails."""
        return self._keeper.boot_epoch

    @property
    def note(self) -> str:
        """What was wrong with the spool since the start, or empty."""
        return self._keeper.note

    def write(self, drafts: Sequence[Draft]) -> None:
        """Store drafts as messages, or as ticks that wait for enough others: all or none."""
        if not drafts:
            return
        with self._lock:
            before = self._keeper.spool, self._keeper.spool.added
            self._keeper.return_to_disk()
            try:
                self._write(drafts)
            except SPOOL_ERRORS as error:
                self._fall_back(error)
                self._write(drafts)
            more = (self._keeper.spool, self._keeper.spool.added) != before
        if more:  # Nobody need wake for a tick that waits for others.
            self._changed()

    def flush(self) -> None:
        """Make messages of the ticks that still wait for others."""
        with self._lock:
            try:
                self._flush()
            except SPOOL_ERRORS as error:
                self._fall_back(error)
                self._flush()
        self._changed()

    def pending(
        self,
        stream: Stream,
        limit: int,
        skip: AbstractSet[Slot] = frozenset(),
        *,
        backlog: int | None = None,
    ) -> list[tuple[Slot, bytes]]:
        """Return up to `limit` of the oldest messages, without those that are under way.

        Where there are more than `backlog` beside those, the newest come first, and what is read
        now does not wait behind an outage.
        """
        with self._lock:
            try:
                return self._pending(stream, limit, skip, backlog)
            except SPOOL_ERRORS as error:
                self._fall_back(error)
                return self._pending(stream, limit, skip, backlog)

    def confirm(self, slots: Sequence[Slot]) -> None:
        """Forget messages that the broker has."""
        with self._lock:
            try:
                with self._keeper.spool.transaction():
                    self._keeper.spool.remove(slots)
            except SPOOL_ERRORS as error:
                # They will be sent again, and the collector drops repeats.
                self._fall_back(error)
            for slot in slots:
                if slot.boot_epoch == self._keeper.boot_epoch:
                    self._confirmed[slot.stream] = max(
                        slot.seq, self._confirmed.get(slot.stream, 0)
                    )
        self._counters.add("messages_sent", len(slots))

    def refuse(self, slot: Slot, reason: str) -> None:
        """Set a message aside that no broker will take, and say so in the events stream."""
        with self._lock:
            try:
                self._refuse(slot, reason)
            except SPOOL_ERRORS as error:
                self._fall_back(error)
        self._changed()

    def state(self) -> SpoolState:
        """Return how full the spool is."""
        with self._lock:
            return self._keeper.spool.state()

    def close(self) -> None:
        """Close the spool and let another agent have the file."""
        with self._lock:
            self._keeper.close()

    def _pending(
        self, stream: Stream, limit: int, skip: AbstractSet[Slot], backlog: int | None
    ) -> list[tuple[Slot, bytes]]:
        found = []
        wanted = max(limit, 0 if backlog is None else backlog + 1) + len(skip)
        slots = [slot for slot in self._keeper.spool.slots(stream, wanted) if slot not in skip]
        if backlog is not None and len(slots) > backlog:
            slots = self._keeper.spool.slots(stream, limit + len(skip), newest=True)
            slots = [slot for slot in slots if slot not in skip]
        for slot in slots[:limit]:
            payload = self._keeper.spool.payload(slot)
            if payload is None:
                self._refuse(slot, "spool_corrupt")
            else:
                found.append((slot, payload))
        return found

    def _write(self, drafts: Sequence[Draft]) -> None:
        ticks = {group: list(run) for group, run in self._ticks.items()}
        last_seqs, added = self._last_seqs, self._keeper.spool.added
        with self._keeper.spool.transaction():
            for draft in drafts:
                if isinstance(draft, SampleTick):
                    self._add_tick(ticks.setdefault(draft.group, []), draft)
                elif isinstance(draft, EventDraft):
                    self._add_events(self._keeper.spool, self._keeper.boot_epoch, draft.records)
                elif isinstance(draft, QueueDraft):
                    self._add_queues(draft)
                else:
                    self._keeper.spool.remember(_HOST_FACT, msgspec.msgpack.encode(draft))
            if self._keeper.spool.added != added:
                self._make_room()
                last_seqs = self._keeper.spool.last_seqs()
        self._ticks, self._last_seqs = ticks, last_seqs

    def _add_tick(self, run: list[SampleTick], tick: SampleTick) -> None:
        if run and not run[-1].joins(tick):
            self._add_samples(self._keeper.spool, self._keeper.boot_epoch, run)
            self._keeper.spool.remove_ticks(tick.group)
            run.clear()
        run.append(tick)
        if full(run, self._ticks_max[tick.group]):
            self._add_samples(self._keeper.spool, self._keeper.boot_epoch, run)
            self._keeper.spool.remove_ticks(tick.group)
            run.clear()
        else:
            self._keeper.spool.add_tick(tick)

    def _flush(self) -> None:
        with self._keeper.spool.transaction():
            for group, run in self._ticks.items():
                if run:
                    self._add_samples(self._keeper.spool, self._keeper.boot_epoch, run)
                    self._keeper.spool.remove_ticks(group)
            last_seqs = self._keeper.spool.last_seqs()
        self._ticks, self._last_seqs = {}, last_seqs

    def _add_samples(self, spool: Spool, boot_epoch: int, run: Sequence[SampleTick]) -> None:
        seq, now_us = spool.next_seq(Stream.SAMPLES), self._clock.now_us()
        payload = self._composer.samples(run, boot_epoch=boot_epoch, seq=seq, now_us=now_us)
        spool.add(Slot(Stream.SAMPLES, boot_epoch, seq), now_us, payload)

    def _add_events(self, spool: Spool, boot_epoch: int, records: Sequence[EventRecord]) -> None:
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

    def _add_queues(self, draft: QueueDraft) -> None:
        for chunk in chunks(draft.snapshots):
            seq, now_us = self._keeper.spool.next_seq(Stream.QUEUES), self._clock.now_us()
            payload = self._composer.queues(
                chunk, boot_epoch=self._keeper.boot_epoch, seq=seq, now_us=now_us
            )
            self._keeper.spool.add(
                Slot(Stream.QUEUES, self._keeper.boot_epoch, seq), now_us, payload
            )

    def _make_room(self) -> None:
        gone = self._keeper.spool.evict()
        if gone:
            self._report(gone, "memory_full" if self._keeper.in_memory else "spool_full")

    def _refuse(self, slot: Slot, reason: str) -> None:
        with self._keeper.spool.transaction():
            if reason == TOO_LARGE and self._split(slot):
                return
            self._keeper.spool.refuse(slot, reason)
            self._report(ranges([slot]), reason)

    def _split(self, slot: Slot) -> bool:
        """Put two halves in a message's place, within a transaction; False if it has none."""
        spool, boot_epoch = self._keeper.spool, self._keeper.boot_epoch
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
        self._tell(ranges([slot]), "split")
        return True

    def _report(self, gone: Sequence[Range], reason: str) -> None:
        """Count and log messages that will never come, and say so in the events stream."""
        count = sum(run.last_seq - run.first_seq + 1 for run in gone)
        self._counters.add(f"messages_dropped_{reason}", count)
        log.warning("dropped %d messages: %s", count, reason)
        self._tell(gone, reason)

    def _tell(self, gone: Sequence[Range], reason: str) -> None:
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
        self._add_events(self._keeper.spool, self._keeper.boot_epoch, records)

    def _settle(self, spool: Spool, boot_epoch: int, leftovers: Sequence[SampleTick]) -> None:
        """Make messages of ticks that nobody collects further, within a transaction.

        They are those of an agent that died, or of this one from before the disk failed. Ticks
        that still wait for others go back into the spool.
        """
        for group in Group:
            spool.remove_ticks(group)
            ticks = [tick for tick in leftovers if tick.group is group]
            for run in runs(ticks, self._ticks_max[group]):
                self._add_samples(spool, boot_epoch, run)
            for tick in self._ticks.get(group, ()):
                spool.add_tick(tick)

    def _fall_back(self, error: Exception) -> None:
        """Go on with another spool."""
        if isinstance(error, SpoolDamagedError):
            # What waits for others is not salvaged from the file; it makes messages at once.
            waiting = [tick for run in self._ticks.values() for tick in run]
            before, last_seqs = self._keeper.boot_epoch, self._last_seqs
        else:
            # It is still in the file, and makes messages when that can be read again.
            waiting, before, last_seqs = [], 0, {}
        self._ticks = {}
        self._keeper.replace(error)
        with self._keeper.spool.transaction():
            self._settle(self._keeper.spool, self._keeper.boot_epoch, waiting)
            lost = self._lost(before, last_seqs)
            if lost:
                self._report(lost, "spool_damaged")
        self._confirmed.clear()

    def _lost(self, boot_epoch: int, last_seqs: dict[Stream, int]) -> list[Range]:
        """What was given out in an epoch, is not confirmed, and could not be salvaged."""
        saved = {slot for slot, _, _ in self._keeper.spool.messages()}
        given = (
            Slot(stream, boot_epoch, seq)
            for stream, last_seq in last_seqs.items()
            for seq in range(self._confirmed.get(stream, 0) + 1, last_seq + 1)
        )
        return ranges(slot for slot in given if slot not in saved)


def _decode_memory(fact: bytes | None) -> HostMemory | None:
    try:
        return msgspec.msgpack.decode(fact, type=HostMemory) if fact else None
    except msgspec.MsgspecError:
        return None  # of another version, or damaged; the next inventory writes it anew
