"""One transaction a batch: offsets, marks, rows, state and sums together or not at all.

Owns the order of the statements. The fence comes first, so that a collector that lost a partition
is turned away before it has written anything; sums come last, because collectors of one facility
meet in the same rows and should hold them as briefly as can be.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

import sql
from collector import derived, gpu_sums, live, quarantine, rollup
from collector.batch import Batch, Row
from collector.claims import Claim, backlog_text
from collector.columnstore import Columnstore
from collector.consumer import Partition
from collector.copy_rows import Column, rows_of, rows_of_all
from collector.copy_samples import copy_rows, copy_samples
from collector.database import Connection, translated
from collector.lanes import Lanes
from collector.marks import Gap, Mark, MarkBook, MarkKey
from collector.sample_columns import SampleColumns
from collector.state_changes import StateBook
from telemetry.errors import RetryableError
from telemetry.metrics import Group
from telemetry.streams import Stream

_BOOKS = sql.queries("collector_books")
_ROWS = sql.queries("collector_rows")
_ROLLUPS = sql.queries("collector_rollups")

_STAGES = ("fast_state_in", "slow_state_in", "facility_rollup_in", "rack_rollup_in")


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
    """Make the session's staging tables."""
    with translated("preparing the session"):
        connection.execute(_BOOKS["make_marks_in"])
        for stage in _STAGES:
            connection.execute(_ROWS[f"make_{stage}"])


def write(
    connection: Connection,
    batch: Batch,
    moves: Sequence[Move],
    marks: MarkBook,
    states: StateBook,
    columnstore: Columnstore | None,
) -> None:
    """Store a batch; `marks` are those that it has changed.

    `columnstore` is None where the database has none that rows can be copied into.

    Raises:
        FencedError: a partition is no longer ours; nothing was stored.
        StaleMarksError: marks have to be read again; nothing was stored.
        RetryableError: the database is away. The batch may be stored all the same, which the next
            claim of its partitions shows.
        RefusedDataError: something in it will not do; nothing was stored.
    """
    with translated("storing a batch"), connection.transaction():
        _move_offsets(connection, moves)
        _write_marks(connection, marks.changed(), batch.sent)
        copy_samples(connection, batch.samples, columnstore)
        _write_records(connection, batch)
        quarantine.write(
            connection, batch.rejected, {move.partition: move.claim.topic_id for move in moves}
        )
        states.write(connection, batch.samples, batch.events)
        _merge_state(connection, batch.samples)
        _merge_rollups(connection, batch.samples)
        connection.execute(_ROWS["tell"], {"payload": _payload(batch)})


def pass_over(connection: Connection, moves: Sequence[Move]) -> None:
    """Move lanes over offsets at which the log holds no record.

    Raises:
        FencedError: a partition is no longer ours.
        RetryableError: the database is away.
    """
    with translated("passing over offsets without a record"), connection.transaction():
        _move_offsets(connection, moves)


def read_marks(connection: Connection, marks: MarkBook, host_ids: Iterable[int]) -> None:
    """Read what is stored about hosts that the book does not know yet."""
    unknown = marks.unknown(host_ids)
    if not unknown:
        return
    found: dict[MarkKey, Mark] = {}
    with translated("reading marks"), connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        rows = connection.execute(_BOOKS["read_marks"], {"host_ids": unknown})
        for host_id, stream, epoch, last_seq, version in rows:
            key = MarkKey(int(str(host_id)), Stream(str(stream)), int(str(epoch)))
            found[key] = Mark(int(str(last_seq)), version=int(str(version)))
        for host_id, stream, epoch, first, last, reason in connection.execute(
            _BOOKS["read_gaps"], {"host_ids": unknown}
        ):
            key = MarkKey(int(str(host_id)), Stream(str(stream)), int(str(epoch)))
            why = None if reason is None else str(reason)
            found[key].gaps.append(Gap(int(str(first)), int(str(last)), why))
    marks.learn(unknown, found)


def _move_offsets(connection: Connection, moves: Sequence[Move]) -> None:
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


def _write_marks(
    connection: Connection, changed: Sequence[tuple[MarkKey, Mark]], sent: dict[MarkKey, int]
) -> None:
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


def _write_records(connection: Connection, batch: Batch) -> None:
    cursor = connection.cursor()
    if batch.events:
        columns = {name: [row[name] for row in batch.events] for name in batch.events[0]}
        cursor.execute(_ROWS["store_events"], columns)
    for statement, rows in (
        ("store_heartbeat", batch.heartbeats),
        ("merge_late_workloads", batch.workloads),
        ("merge_workloads", batch.workloads),
        ("store_queue_sample", batch.snapshots),
        ("merge_queue_state", _newest_snapshots(batch.snapshots)),
    ):
        if rows:
            cursor.executemany(_ROWS[statement], rows)


def _newest_snapshots(snapshots: Sequence[Row]) -> list[Row]:
    """Return the newest snapshot of each queue, in key order, as rows are locked."""
    newest: dict[tuple[int, str, str], Row] = {}
    for row in snapshots:
        key = (row["facility_id"], row["source"], row["queue"])
        if key not in newest or newest[key]["time"] <= row["time"]:
            newest[key] = row
    return [newest[key] for key in sorted(newest)]


def _merge_state(connection: Connection, samples: Sequence[SampleColumns]) -> None:
    for group in Group:
        rows = list(live.newest_rows(samples, group))
        if rows:
            copy_rows(connection, _ROWS[f"copy_{group}_state"], rows_of_all(rows))
            connection.execute(_ROWS[f"merge_{group}_state"])


def _merge_rollups(connection: Connection, samples: Sequence[SampleColumns]) -> None:
    parts = [rollup.tick_sums(part) for part in samples if part.group is Group.FAST]
    if not parts:
        return
    for name, rows in (
        ("facility_rollup", rollup.facility_rows(parts)),
        ("rack_rollup", rollup.rack_rows(parts)),
    ):
        copy_rows(connection, _ROWS[f"copy_{name}"], rows_of(*rows))
        connection.execute(_ROWS[f"merge_{name}"])
    fast = [part for part in samples if part.group is Group.FAST]
    sums = rows_of_all(rows for part in fast for rows in gpu_sums.part_rows(part))
    copy_rows(connection, _ROLLUPS["copy_gpu_parts"], sums)
    connection.execute(_ROLLUPS["touch"], derived.touched(fast))


def _payload(batch: Batch) -> str:
    return json.dumps(
        {
            "samples": batch.sample_rows,
            "events": len(batch.events),
            "queues": len(batch.snapshots),
            "quarantined": len(batch.rejected),
        }
    )
