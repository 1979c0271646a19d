"""What a partition's and a host's rows say: where lanes stand, which messages are stored.

Owns the fence and the guard: both are moved only from where this collector believes them to be, so
that one that has lost a partition, or its memory of a host, stores nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import sql
from collector.claims import Claim, backlog_text
from collector.consumer import Partition, Received
from collector.copy_rows import Column, rows_of
from collector.copy_samples import copy_rows
from collector.database import Connection, translated
from collector.lanes import Lanes
from collector.marks import Epoch, Gap, Mark, MarkBook, MarkKey
from telemetry.errors import RetryableError
from telemetry.streams import Stream

_BOOKS = sql.queries("collector_books")


class FencedError(RetryableError):
    """Someone else has stored from a partition that we took for ours."""


class StaleMarksError(RetryableError):
    """Someone else has changed the marks of a host that we know."""


@dataclass(frozen=True, slots=True)
class Move:
    """A partition that a batch has records of: its claim, and where it stands afterwards."""

    partition: Partition
    claim: Claim
    lanes: Lanes


def prepare(connection: Connection) -> None:
    """Make the session's table to stage marks in."""
    with translated("preparing the session"):
        connection.execute(_BOOKS["make_marks_in"])


def moves_of(records: Sequence[Received], claims: Mapping[Partition, Claim]) -> list[Move]:
    """Return where each partition stands after these records."""
    last = {(r.partition, claims[r.partition].lanes.lane_of(r.offset)): r.offset for r in records}
    lanes: dict[Partition, Lanes] = {}
    for (partition, _), offset in sorted(last.items()):
        lanes[partition] = lanes.get(partition, claims[partition].lanes).stored(offset)
    return [Move(partition, claims[partition], moved) for partition, moved in lanes.items()]


def move_offsets(connection: Connection, moves: Sequence[Move]) -> None:
    """Move lanes, in the transaction that stores their records.

    Raises:
        FencedError: a partition is no longer ours.
    """
    moved = connection.execute(
        _BOOKS["move_offsets"],
        {
            "topic_ids": [move.claim.topic_id for move in moves],
            "partitions": [move.partition.number for move in moves],
            "owner_epochs": [move.claim.owner_epoch for move in moves],
            "expected": [move.claim.lanes.next_offset for move in moves],
            "next": [move.lanes.next_offset for move in moves],
            "expected_backlogs": [backlog_text(move.claim.lanes) for move in moves],
            "backlogs": [backlog_text(move.lanes) for move in moves],
            "ends": [move.claim.end_offset for move in moves],
        },
    ).rowcount
    if moved != len(moves):
        raise FencedError(f"{len(moves) - moved} of {len(moves)} partitions have another owner")


def pass_over(connection: Connection, moves: Sequence[Move]) -> None:
    """Move lanes over offsets at which the log holds no record.

    Raises:
        FencedError: a partition is no longer ours.
        RetryableError: the database is away.
    """
    with translated("passing over offsets without a record"), connection.transaction():
        move_offsets(connection, moves)


def read_marks(connection: Connection, marks: MarkBook, epochs: Iterable[Epoch]) -> None:
    """Read what is stored about hosts' boot epochs that the book does not know yet."""
    unknown = marks.unknown(epochs)
    if not unknown:
        return
    found: dict[MarkKey, Mark] = {}
    wanted = {
        "host_ids": [epoch.host_id for epoch in unknown],
        "boot_epochs": [epoch.boot_epoch for epoch in unknown],
    }
    with translated("reading marks"), connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        rows = connection.execute(_BOOKS["read_marks"], wanted)
        for host_id, stream, epoch, last_seq, version in rows:
            key = MarkKey(int(str(host_id)), Stream(str(stream)), int(str(epoch)))
            found[key] = Mark(int(str(last_seq)), version=int(str(version)))
        for host_id, stream, epoch, first, last, reason in connection.execute(
            _BOOKS["read_gaps"], wanted
        ):
            key = MarkKey(int(str(host_id)), Stream(str(stream)), int(str(epoch)))
            why = None if reason is None else str(reason)
            found[key].gaps.append(Gap(int(str(first)), int(str(last)), why))
    marks.learn(unknown, found)


def write_marks(
    connection: Connection, changed: Sequence[tuple[MarkKey, Mark]], sent: Mapping[MarkKey, int]
) -> None:
    """Store marks that a batch has changed, and up to which number agents say that they have sent.

    Raises:
        StaleMarksError: marks have to be read again.
    """
    if changed:
        copy_rows(connection, _BOOKS["copy_marks"], rows_of(_mark_columns(changed), len(changed)))
        streams = {"streams": [str(stream) for stream in Stream]}
        moved = connection.execute(_BOOKS["move_marks"], streams).rowcount
        made = connection.execute(_BOOKS["new_marks"], streams).rowcount
        if moved + made != len(changed):
            raise StaleMarksError("another collector has stored messages of the same hosts")
    _write_gaps(connection, [(key, mark.gaps) for key, mark in changed if mark.gaps_changed])
    if sent:
        keys = sorted(sent)
        connection.execute(
            _BOOKS["note_sent"], _key_columns(keys) | {"sent": [sent[key] for key in keys]}
        )


def _mark_columns(changed: Sequence[tuple[MarkKey, Mark]]) -> list[Column]:
    numbers = {stream: at for at, stream in enumerate(Stream, start=1)}
    is_new = np.array([mark.version is None for _, mark in changed])
    return [
        Column(np.array([key.host_id for key, _ in changed], dtype=np.int32)),
        Column(np.array([numbers[key.stream] for key, _ in changed], dtype=np.int16)),
        Column(np.array([key.boot_epoch for key, _ in changed], dtype=np.int64)),
        Column(np.array([mark.version or 0 for _, mark in changed], dtype=np.int64), is_new),
        Column(np.array([mark.last_seq for _, mark in changed], dtype=np.int64)),
        Column(np.array([mark.stored_messages for _, mark in changed], dtype=np.int64)),
        Column(np.array([mark.stored_rows for _, mark in changed], dtype=np.int64)),
        Column(np.array([mark.repeated_messages for _, mark in changed], dtype=np.int64)),
    ]


def _write_gaps(connection: Connection, changed: Sequence[tuple[MarkKey, list[Gap]]]) -> None:
    if not changed:
        return
    connection.execute(_BOOKS["clear_gaps"], _key_columns(key for key, _ in changed))
    rows = [(key, gap) for key, gaps in changed for gap in gaps]
    if rows:
        connection.execute(
            _BOOKS["write_gaps"],
            _key_columns(key for key, _ in rows)
            | {
                "firsts": [gap.first for _, gap in rows],
                "lasts": [gap.last for _, gap in rows],
                "reasons": [gap.reason for _, gap in rows],
            },
        )


def _key_columns(keys: Iterable[MarkKey]) -> dict[str, list[object]]:
    listed = list(keys)
    return {
        "host_ids": [key.host_id for key in listed],
        "streams": [str(key.stream) for key in listed],
        "boot_epochs": [key.boot_epoch for key in listed],
    }
