"""The spool: a SQLite file with every message that the broker has not confirmed.

Owns the tables and their transactions. What becomes a message is decided in `outbox.py`, which
file is used in `spool_file.py`. Four tables: `messages` wait for the broker; `ticks` wait for
enough others to make a message; `sequences` and `facts` are what must survive a restart.

A sequence number is handed out in the transaction that stores its message, so a number is never
given twice. Every row carries a checksum: SQLite notices a torn write, but not a flipped bit.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any, NamedTuple

from agent.drafts import SampleTick
from agent.heartbeat import SpoolState
from telemetry.errors import FleetgaugeError, RetryableError
from telemetry.metrics import Group
from telemetry.streams import Stream

REFUSED_KEPT_MAX = 16
EPOCH_MAX = 1 << 60
EVICTED_SHARE = 20  # a full spool makes room by a twentieth, so that it is not at it all the time

# The disk's fault and not the file's: https://www.sqlite.org/rescode.html
_DISK_TROUBLE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}

_SCHEMA = """
create table if not exists messages (
    stream text not null,
    boot_epoch integer not null,
    seq integer not null,
    made_us integer not null,
    checksum integer not null,
    payload blob not null,
    unique (stream, boot_epoch, seq)
);
create table if not exists ticks (
    tick integer primary key,
    metric_group text not null,
    time_us integer not null,
    accelerators blob not null,
    layout blob not null,
    checksum integer not null,
    body blob not null
);
create table if not exists sequences (stream text primary key, last_seq integer not null);
create table if not exists facts (name text primary key, value blob not null);
create table if not exists refused (
    stream text not null,
    boot_epoch integer not null,
    seq integer not null,
    reason text not null,
    payload blob not null
);
"""

_FORWARDS = "select stream, boot_epoch, seq, made_us, payload, checksum from messages"
_BACKWARDS = f"{_FORWARDS} order by rowid desc"


class SpoolDamagedError(FleetgaugeError):
    """The file is not a sound spool; another one is needed."""


class Slot(NamedTuple):
    """The place of a message: its stream, and its number within that and a boot epoch."""

    stream: Stream
    boot_epoch: int
    seq: int


class Range(NamedTuple):
    """Messages of one stream and boot epoch that follow each other."""

    stream: Stream
    boot_epoch: int
    first_seq: int
    last_seq: int


class Spool:
    """One open spool. Not safe to share between threads without a lock of the owner's."""

    def __init__(self, connection: sqlite3.Connection, bytes_max: int) -> None:
        self._connection = connection
        self.bytes_max = bytes_max
        with translated():
            connection.executescript(_SCHEMA)
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
        self._connection.execute(
            "insert into messages values (?, ?, ?, ?, ?, ?)",
            (*slot, made_us, _checksum(slot, payload), payload),
        )
        self._messages += 1

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
                _tick_checksum(tick),
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
        return [tick for row in rows if (tick := _sound_tick(*row)) is not None]

    def slots(self, stream: Stream, limit: int) -> list[Slot]:
        """Return where the oldest messages of a stream stand, oldest first."""
        with translated():
            rows = self._connection.execute(
                "select boot_epoch, seq from messages where stream = ?"
                " order by boot_epoch, seq limit ?",
                (stream, limit),
            ).fetchall()
        return [Slot(stream, *_sound_numbers(row)) for row in rows]

    def payload(self, slot: Slot) -> bytes | None:
        """Return a message's bytes; None when they are no longer what was stored."""
        with translated():
            row = self._connection.execute(
                "select payload, checksum from messages"
                " where stream = ? and boot_epoch = ? and seq = ?",
                slot,
            ).fetchone()
        if row is None or not isinstance(row[0], bytes) or row[1] != _checksum(slot, row[0]):
            return None
        return row[0]

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
        return _sound_numbers(row)[0]


def schema_of(connection: sqlite3.Connection) -> set[str]:
    """Return the definitions of all tables."""
    return {sql for (sql,) in connection.execute("select sql from sqlite_master where sql <> ''")}


@cache
def expected_schema() -> set[str]:
    """Return the definitions that a spool has. A damaged one may still be valid SQL."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_SCHEMA)
        return schema_of(connection)


def sound_messages(
    connection: sqlite3.Connection, *, backwards: bool = False
) -> Iterator[tuple[Slot, int, bytes]]:
    """Yield every sound message of a file with the time it was made, as far as it can be read."""
    with translated():
        rows = connection.execute(_BACKWARDS if backwards else _FORWARDS)
        for stream, boot_epoch, seq, made_us, payload, checksum in rows:
            if stream in set(Stream) and isinstance(payload, bytes) and isinstance(made_us, int):
                slot = Slot(Stream(stream), boot_epoch, seq)
                if checksum == _checksum(slot, payload):
                    yield slot, made_us, payload


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLite's errors into ours.

    Raises:
        RetryableError: the disk is full, read-only or broken.
        SpoolDamagedError: anything else, which a sound file does not do.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        # Python could not read SQLite's own words about a damaged file, or a damaged text.
        raise SpoolDamagedError(str(error)) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _DISK_TROUBLE:
            raise RetryableError(f"spool: {error}") from error
        raise SpoolDamagedError(str(error)) from error


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


def _checksum(slot: Slot, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32("/".join(map(str, slot)).encode()))


def _tick_checksum(tick: SampleTick) -> int:
    head = f"{tick.group}/{tick.time_us}".encode() + tick.accelerators + tick.layout
    return zlib.crc32(tick.body, zlib.crc32(head))


def _sound_tick(
    group: Any, time_us: Any, accelerators: Any, layout: Any, body: Any, checksum: Any
) -> SampleTick | None:
    blobs = (accelerators, layout, body)
    if group not in set(Group) or not all(isinstance(blob, bytes) for blob in blobs):
        return None
    tick = SampleTick(Group(group), time_us, accelerators, layout, body)
    return tick if checksum == _tick_checksum(tick) else None


def _sound_numbers(row: tuple[Any, ...] | None) -> tuple[int, ...]:
    if row is None or not all(isinstance(value, int) for value in row):
        raise SpoolDamagedError("a number in the file is none")
    return row
