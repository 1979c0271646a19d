"""The rows of a spool file, and whether what they hold is what was stored.

Owns the tables, their checksums, and what SQLite's errors mean. SQLite notices a torn page, but not
a flipped bit in a value, so every row carries a checksum over all that matters in it; a row that
fails it does not exist.
"""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any, NamedTuple

from agent.drafts import SampleTick
from telemetry.errors import FleetgaugeError, RetryableError
from telemetry.metrics import Group
from telemetry.streams import MESSAGE_BYTES_MAX, Stream

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

SCHEMA = """
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


def schema_of(connection: sqlite3.Connection) -> set[str]:
    """Return the definitions of all tables."""
    return {sql for (sql,) in connection.execute("select sql from sqlite_master where sql <> ''")}


@cache
def expected_schema() -> set[str]:
    """Return the definitions that a spool has. A damaged one may still be valid SQL."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return schema_of(connection)


def sound_messages(
    connection: sqlite3.Connection, *, backwards: bool = False
) -> Iterator[tuple[Slot, int, bytes]]:
    """Yield every sound message of a file with the time it was made, as far as it can be read."""
    with translated():
        rows = connection.execute(_BACKWARDS if backwards else _FORWARDS)
        for stream, boot_epoch, seq, made_us, packed, checksum in rows:
            if stream in set(Stream) and isinstance(made_us, int):
                slot = Slot(Stream(stream), boot_epoch, seq)
                payload = unpack_message(slot, packed, checksum)
                if payload is not None:
                    yield slot, made_us, payload


def slot_checksum(slot: Slot, packed: bytes) -> int:
    """Return the checksum of a message's row."""
    return zlib.crc32(packed, zlib.crc32("/".join(map(str, slot)).encode()))


def unpack_message(slot: Slot, packed: Any, checksum: Any) -> bytes | None:
    """Return the message that was stored; None when the file no longer holds it."""
    if not isinstance(packed, bytes) or checksum != slot_checksum(slot, packed):
        return None
    try:
        return zlib.decompressobj().decompress(packed, MESSAGE_BYTES_MAX)
    except zlib.error:
        return None


def tick_checksum(tick: SampleTick) -> int:
    """Return the checksum of a tick's row."""
    head = f"{tick.group}/{tick.time_us}".encode() + tick.accelerators + tick.layout
    return zlib.crc32(tick.body, zlib.crc32(head))


def sound_tick(
    group: Any, time_us: Any, accelerators: Any, layout: Any, body: Any, checksum: Any
) -> SampleTick | None:
    """Return the tick of a row, or None when the row is not sound."""
    blobs = (accelerators, layout, body)
    if group not in set(Group) or not all(isinstance(blob, bytes) for blob in blobs):
        return None
    tick = SampleTick(Group(group), time_us, accelerators, layout, body)
    return tick if checksum == tick_checksum(tick) else None


def sound_numbers(row: tuple[Any, ...] | None) -> tuple[int, ...]:
    """Return a row that holds numbers and nothing else.

    Raises:
        SpoolDamagedError: it does not.
    """
    if row is None or not all(isinstance(value, int) for value in row):
        raise SpoolDamagedError("a number in the file is none")
    return row
