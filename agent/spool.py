"""The spool: a SQLite file with every message that the broker has not confirmed.

Owns its transactions: what is stored, in which order it leaves, what goes when there is no room.
The tables are in `spool_rows.py`; what becomes a message is decided in `outbox.py`, which file is
used in `spool_file.py`. A sequence number is handed out in the transaction that stores its
message, so a number is never given twice.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from agent.drafts import SampleTick
from agent.heartbeat import SpoolState
from agent.spool_rows import (
    SCHEMA,
    Slot,
    slot_checksum,
    sound_messages,
    sound_numbers,
    sound_tick,
    tick_checksum,
    translated,
    unpack_message,
)
from telemetry.metrics import Group
from telemetry.streams import Stream

REFUSED_KEPT_MAX = 16
EPOCH_MAX = 1 << 60
EVICTED_SHARE = 20  # a full spool makes room by a twentieth, so that it is not at it all the time


_OLDEST = "select boot_epoch, seq from messages where stream = ? order by boot_epoch, seq limit ?"
_NEWEST = (
    "select boot_epoch, seq from messages where stream = ?"
    " order by boot_epoch desc, seq desc limit ?"
)


class Range(NamedTuple):
    """Messages of one stream and boot epoch that follow each other."""

    stream: Stream
    boot_epoch: int
    first_seq: int
    last_seq: int


class Spool:
    """One open spool. Not safe to share between threads without a lock of the owner's.

    Attributes:
        bytes_max: size above which `evict` makes room.
        added: messages stored since it was opened, those of failed transactions included.
    """

    def __init__(self, connection: sqlite3.Connection, bytes_max: int) -> None:
        self._connection = connection
        self.bytes_max = bytes_max
        self.added = 0
        with translated():
            connection.executescript(SCHEMA)
            self._page_bytes = self._number("pragma page_size")
            self._messages = self._number("select count(*) from messages")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block, or nothing of it.

        Raises:
            RetryableError: the disk is full, read-only or broken.
            SpoolDamagedError: the file is not sound.
        """
        counted = self._messages
        with translated():
            self._connection.execute("begin immediate")
            try:
                yield
                self._connection.execute("commit")
            except BaseException:
                self._messages = counted
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise

    def begin_epoch(self, floor: int, leap: int) -> int:
        """Start a boot epoch, `leap` above the last one or at `floor` if that is more."""
        with self.transaction():
            fact = self.fact("boot_epoch") or b""
            before = int(fact) if fact.isdigit() else 0
            # An absurd number comes from a damaged file, and no message could carry it.
            epoch = max(floor, before + leap if before < EPOCH_MAX else 0)
            self.adopt_epoch(epoch, {})
        return epoch

    def adopt_epoch(self, boot_epoch: int, last_seqs: dict[Stream, int]) -> None:
        """Go on in an epoch that was begun elsewhere, within a transaction."""
        self.remember("boot_epoch", str(boot_epoch).encode())
        self._connection.execute("delete from sequences")
        self._connection.executemany("insert into sequences values (?, ?)", last_seqs.items())

    def next_seq(self, stream: Stream) -> int:
        """Hand out the next number of a stream, within a transaction."""
        self._connection.execute(
            "insert into sequences values (?, 1)"
            " on conflict (stream) do update set last_seq = last_seq + 1",
            (stream,),
        )
        return self._number("select last_seq from sequences where stream = ?", stream)

    def add(self, slot: Slot, made_us: int, payload: bytes) -> None:
        """Store a message, within a transaction."""
        # Half the size for a tenth of a millisecond: a day of outage fits into the default bound.
        packed = zlib.compress(payload, 1)
        self._connection.execute(
            "insert into messages values (?, ?, ?, ?, ?, ?)",
            (*slot, made_us, slot_checksum(slot, packed), packed),
        )
        self._messages += 1
        self.added += 1

    def add_tick(self, tick: SampleTick) -> None:
        """Store a tick that is not part of a message yet, within a transaction."""
        self._connection.execute(
            "insert into ticks (metric_group, time_us, accelerators, layout, checksum, body)"
            " values (?, ?, ?, ?, ?, ?)",
            (
                tick.group,
                tick.time_us,
                tick.accelerators,
                tick.layout,
                tick_checksum(tick),
                tick.body,
            ),
        )

    def remove_ticks(self, group: Group) -> None:
        """Forget the stored ticks of a group: they are part of a message now."""
        self._connection.execute("delete from ticks where metric_group = ?", (group,))

    def ticks(self) -> list[SampleTick]:
        """Return the stored ticks in the order in which they came; unsound ones are left out."""
        with translated():
            rows = self._connection.execute(
                "select metric_group, time_us, accelerators, layout, body, checksum"
                " from ticks order by tick"
            ).fetchall()
        return [tick for row in rows if (tick := sound_tick(*row)) is not None]

    def slots(self, stream: Stream, limit: int, *, newest: bool = False) -> list[Slot]:
        """Return where the oldest messages of a stream stand, oldest first; or the newest."""
        with translated():
            rows = self._connection.execute(
                _NEWEST if newest else _OLDEST, (stream, limit)
            ).fetchall()
        return [Slot(stream, *sound_numbers(row)) for row in rows]

    def payload(self, slot: Slot) -> bytes | None:
        """Return a message's bytes; None when they are no longer what was stored."""
        with translated():
            row = self._connection.execute(
                "select payload, checksum from messages"
                " where stream = ? and boot_epoch = ? and seq = ?",
                slot,
            ).fetchone()
        return None if row is None else unpack_message(slot, *row)

    def messages(self) -> Iterator[tuple[Slot, int, bytes]]:
        """Yield every message with the time it was made; unsound ones are left out."""
        return sound_messages(self._connection)

    def remove(self, slots: Iterable[Slot]) -> None:
        """Delete messages, within a transaction; those that are not there are skipped."""
        for slot in slots:
            cursor = self._connection.execute(
                "delete from messages where stream = ? and boot_epoch = ? and seq = ?", slot
            )
            self._messages -= cursor.rowcount

    def refuse(self, slot: Slot, reason: str) -> None:
        """Move a message that nobody will take out of the way; the newest few are kept."""
        self._connection.execute(
            "insert into refused select stream, boot_epoch, seq, ?, payload from messages"
            " where stream = ? and boot_epoch = ? and seq = ?",
            (reason, *slot),
        )
        self._connection.execute(
            "delete from refused where rowid <= (select max(rowid) from refused) - ?",
            (REFUSED_KEPT_MAX,),
        )
        self.remove([slot])

    def evict(self) -> list[Range]:
        """Make room when full, within a transaction, and return what went.

        Samples go first, then queues, events last; within a stream the oldest go first.
        """
        if self.used_bytes() <= self.bytes_max:
            return []
        target = self.bytes_max - self.bytes_max // EVICTED_SHARE
        gone: list[Slot] = []
        self._connection.execute("delete from refused")
        for stream in (Stream.SAMPLES, Stream.QUEUES, Stream.EVENTS):
            while self.used_bytes() > target:
                chunk = self.slots(stream, max(1, self._messages // (2 * EVICTED_SHARE)))
                if not chunk:
                    break
                self.remove(chunk)
                gone += chunk
        return ranges(gone)

    def used_bytes(self) -> int:
        """Bytes of the file that hold something."""
        pages = self._number("pragma page_count") - self._number("pragma freelist_count")
        return pages * self._page_bytes

    def fact(self, name: str) -> bytes | None:
        """Return what was remembered under a name."""
        row = self._connection.execute("select value from facts where name = ?", (name,)).fetchone()
        return row[0] if row and isinstance(row[0], bytes) else None

    def facts(self) -> dict[str, bytes]:
        """Return all that is remembered."""
        return dict(self._connection.execute("select name, value from facts").fetchall())

    def remember(self, name: str, value: bytes) -> None:
        """Remember something, within a transaction."""
        self._connection.execute("insert or replace into facts values (?, ?)", (name, value))

    def last_seqs(self) -> dict[Stream, int]:
        """Return per stream the last number handed out in this epoch."""
        with translated():
            rows = self._connection.execute("select stream, last_seq from sequences").fetchall()
        return {Stream(stream): last for stream, last in rows if stream in set(Stream)}

    def state(self) -> SpoolState:
        """Return how full the spool is."""
        with translated():
            oldest = [
                row[0]
                for stream in Stream
                for row in self._connection.execute(
                    "select made_us from messages where stream = ?"
                    " order by boot_epoch, seq limit 1",
                    (stream,),
                )
            ]
            used_bytes = self.used_bytes()
        return SpoolState(
            messages=self._messages,
            used_bytes=used_bytes,
            oldest_us=min(oldest, default=None),
            last_seqs={str(stream): last for stream, last in self.last_seqs().items()},
        )

    def close(self) -> None:
        """Close the file; a later use is an error."""
        with translated():
            self._connection.close()

    def _number(self, query: str, *parameters: object) -> int:
        row = self._connection.execute(query, parameters).fetchone()
        return sound_numbers(row)[0]


def ranges(slots: Iterable[Slot]) -> list[Range]:
    """Return slots as runs of numbers that follow each other."""
    runs: list[Range] = []
    for slot in sorted(slots):
        last = runs[-1] if runs else None
        if last is not None and slot == (last.stream, last.boot_epoch, last.last_seq + 1):
            runs[-1] = last._replace(last_seq=slot.seq)
        else:
            runs.append(Range(slot.stream, slot.boot_epoch, slot.seq, slot.seq))
    return runs
