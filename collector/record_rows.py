"""Rows of what is not a sample: events, heartbeats, workloads, queues."""

from collections.abc import Sequence

import sql
from collector.batch import Batch, Row
from collector.database import Connection

_ROWS = sql.queries("collector_rows")


def write(connection: Connection, batch: Batch) -> None:
    """Store them, and merge what only the newest of counts."""
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
