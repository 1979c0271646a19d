"""The outbox of one host: what is to be sent, in order, until the broker has confirmed it.

Owns the transactions and what happens when there is no room. How a message gets its number is
`sequencer.py`, which ticks wait for others `tick_runs.py`; where the spool is kept, and that it
moves to memory when the disk fails, is `spool_keeper.py`. One lock guards all of it, so the reading
side and any number of sinks may share an outbox.
"""

import threading
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

import msgspec

from agent.counters import Counters
from agent.drafts import Draft, EventDraft, HostMemory, Identity, QueueDraft, SampleTick
from agent.heartbeat import SpoolState
from agent.messages import runs
from agent.sequencer import Sequencer
from agent.spool import Range, Spool, ranges
from agent.spool_file import SpoolFile
from agent.spool_keeper import SPOOL_ERRORS, SpoolKeeper
from agent.spool_rows import Slot, SpoolDamagedError
from agent.tick_runs import TickRuns
from telemetry.clock import Clock
from telemetry.metrics import Group
from telemetry.records import Heartbeat
from telemetry.streams import Stream

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
        self._sequencer = Sequencer(identity, clock, counters)
        self._clock = clock
        self._counters = counters
        self._ticks_max = {Group.FAST: ticks_per_message, Group.SLOW: 1}
        self._runs = TickRuns(self._ticks_max)
        self._lock = threading.Lock()
        self._changed: Callable[[], None] = lambda: None
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
        spool, boot_epoch = self._keeper.spool, self._keeper.boot_epoch
        waiting, end = self._runs.copy(), self._end()
        last_seqs, added = self._last_seqs, spool.added
        with spool.transaction():
            for draft in drafts:
                if isinstance(draft, SampleTick):
                    waiting.add(draft, spool, end)
                elif isinstance(draft, EventDraft):
                    self._sequencer.add_events(spool, boot_epoch, draft.records)
                elif isinstance(draft, QueueDraft):
                    self._sequencer.add_queues(spool, boot_epoch, draft.snapshots)
                else:
                    spool.remember(_HOST_FACT, msgspec.msgpack.encode(draft))
            if _has_heartbeat(drafts):
                waiting.leave_with_heartbeat(spool, end)
            if spool.added != added:
                self._make_room()
                last_seqs = spool.last_seqs()
        self._runs, self._last_seqs = waiting, last_seqs

    def _flush(self) -> None:
        spool, waiting = self._keeper.spool, self._runs.copy()
        with spool.transaction():
            waiting.end_all(spool, self._end())
            last_seqs = spool.last_seqs()
        self._runs, self._last_seqs = waiting, last_seqs

    def _end(self) -> Callable[[Sequence[SampleTick]], None]:
        return partial(self._sequencer.add_samples, self._keeper.spool, self._keeper.boot_epoch)

    def _make_room(self) -> None:
        gone = self._keeper.spool.evict()
        if gone:
            self._report(gone, "memory_full" if self._keeper.in_memory else "spool_full")

    def _report(self, gone: Sequence[Range], reason: str) -> None:
        self._sequencer.report(self._keeper.spool, self._keeper.boot_epoch, gone, reason)

    def _refuse(self, slot: Slot, reason: str) -> None:
        spool = self._keeper.spool
        with spool.transaction():
            may_be_cut = reason == TOO_LARGE
            if may_be_cut and self._sequencer.split(spool, self._keeper.boot_epoch, slot):
                return
            spool.refuse(slot, reason)
            self._report(ranges([slot]), reason)

    def _settle(self, spool: Spool, boot_epoch: int, leftovers: Sequence[SampleTick]) -> None:
        """Make messages of ticks that nobody collects further, within a transaction.

        They are those of an agent that died, or of this one from before the disk failed. Ticks
        that still wait for others go back into the spool.
        """
        for group in Group:
            spool.remove_ticks(group)
            ticks = [tick for tick in leftovers if tick.group is group]
            for run in runs(ticks, self._ticks_max[group]):
                self._sequencer.add_samples(spool, boot_epoch, run)
            for tick in self._runs.waiting(group):
                spool.add_tick(tick)

    def _fall_back(self, error: Exception) -> None:
        """Go on with another spool."""
        if isinstance(error, SpoolDamagedError):
            # What waits for others is not salvaged from the file; it makes messages at once.
            waiting = [tick for group in Group for tick in self._runs.waiting(group)]
            before, last_seqs = self._keeper.boot_epoch, self._last_seqs
        else:
            # It is still in the file, and makes messages when that can be read again.
            waiting, before, last_seqs = [], 0, {}
        self._runs = TickRuns(self._ticks_max)
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


def _has_heartbeat(drafts: Sequence[Draft]) -> bool:
    return any(
        isinstance(record, Heartbeat)
        for draft in drafts
        if isinstance(draft, EventDraft)
        for record in draft.records
    )


def _decode_memory(fact: bytes | None) -> HostMemory | None:
    try:
        return msgspec.msgpack.decode(fact, type=HostMemory) if fact else None
    except msgspec.MsgspecError:
        return None  # of another version, or damaged; the next inventory writes it anew
