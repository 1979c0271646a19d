"""What a batch changes in rows that are there already: the newest readings of hosts, and sums.

Owns staging: rows are copied into a temporary table and merged with one statement, in key order, so
that two collectors cannot block each other.
"""

from collections.abc import Sequence

import sql
from collector import derived, gpu_sums, live, rollup
from collector.copy_rows import rows_of, rows_of_all
from collector.copy_samples import copy_rows
from collector.database import Connection, translated
from collector.sample_columns import SampleColumns
from telemetry.metrics import Group

_NEWEST = sql.queries("collector_newest")
_SUMS = sql.queries("collector_sums")
_ROLLUPS = sql.queries("collector_rollups")
_STAGES = (
    *(_NEWEST[f"make_{group}_state_in"] for group in Group),
    _SUMS["make_facility_rollup_in"],
    _SUMS["make_rack_rollup_in"],
)


def prepare(connection: Connection) -> None:
    """Make the session's tables to stage in."""
    with translated("preparing the session"):
        for stage in _STAGES:
            connection.execute(stage)


def merge_state(connection: Connection, samples: Sequence[SampleColumns]) -> None:
    """Keep the newest tick of each host."""
    for group in Group:
        rows = list(live.newest_rows(samples, group))
        if rows:
            copy_rows(connection, _NEWEST[f"copy_{group}_state"], rows_of_all(rows))
            connection.execute(_NEWEST[f"merge_{group}_state"])


def merge_rollups(connection: Connection, samples: Sequence[SampleColumns]) -> None:
    """Add to the sums of facilities and racks, and put down those of accelerators."""
    fast = [part for part in samples if part.group is Group.FAST]
    if not fast:
        return
    parts = [rollup.tick_sums(part) for part in fast]
    for name, rows in (
        ("facility_rollup", rollup.facility_rows(parts)),
        ("rack_rollup", rollup.rack_rows(parts)),
    ):
        copy_rows(connection, _SUMS[f"copy_{name}"], rows_of(*rows))
        connection.execute(_SUMS[f"merge_{name}"])
    sums = rows_of_all(rows for part in fast for rows in gpu_sums.part_rows(part))
    copy_rows(connection, _ROLLUPS["copy_gpu_parts"], sums)
    connection.execute(_ROLLUPS["touch"], derived.touched(fast))
