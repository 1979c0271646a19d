"""A fleet with a long past, for the bench that asks the pages' questions of it.

Owns how much past there is of what, and whether a database holds what an earlier run has made. The
rows themselves are those of `fleet_rows.py`.
"""

import argparse
from datetime import UTC, datetime, timedelta

from benchmarks.fleet_rows import Connection, FleetRows, Shape
from benchmarks.progress import Progress
from collector import compaction, maintenance, recompression
from collector.tier import Tier
from sql import queries
from telemetry.errors import PermanentError

EVENT_DAYS = 30
EVENTS_PER_GPU_DAY = 0.02
RAW_HOURS = 24
MADE_AGE_MAX = timedelta(hours=20)


def events_of(shape: Shape) -> int:
    """Return how many Xids a fleet has in all days of events together."""
    return round(shape.gpus_made * EVENTS_PER_GPU_DAY * EVENT_DAYS)


def make_young(
    rows: FleetRows,
    connection: Connection,
    arguments: argparse.Namespace,
    progress: Progress,
    end: datetime,
    *,
    tier: str,
) -> None:
    """Make the places, the first day of rollups, the events and the raw samples."""
    progress.say("making places")
    rows.make_places()
    progress.say(f"making rollups: day 1 of {arguments.days}")
    rows.make_rollups(end - timedelta(days=1), end)
    rows.make_events(end - timedelta(days=EVENT_DAYS), end, events_of(rows.shape))
    progress.say("making raw samples")
    start = end - timedelta(hours=RAW_HOURS)
    if tier == "postgres":
        _make_partitions(connection, "samples", timedelta(hours=1), start, end)
    rows.make_samples(start, end, arguments.raw_gpus)
    maintenance.index_closed(connection, Tier(tier), round(end.timestamp() * 1e6))
    while tier == "timescale" and (chunk := recompression.next_due(connection)):
        recompression.make_anew(connection, chunk)
    connection.execute("vacuum analyze")
    _make_gpu_rollups(rows, connection, arguments, tier, start)


def make_past(
    rows: FleetRows,
    connection: Connection,
    arguments: argparse.Namespace,
    progress: Progress,
    end: datetime,
    *,
    tier: str,
) -> None:
    """Make the other days of rollups."""
    for day in range(1, arguments.days):
        progress.say(f"making rollups: day {day + 1} of {arguments.days}")
        start = end - timedelta(days=day + 1)
        rows.make_rollups(start, start + timedelta(days=1))
        _make_gpu_rollups(rows, connection, arguments, tier, start)
    # As autovacuum leaves what is days old: index-only scans need it.
    connection.execute("vacuum analyze")


def _make_gpu_rollups(
    rows: FleetRows,
    connection: Connection,
    arguments: argparse.Namespace,
    tier: str,
    start: datetime,
) -> None:
    end = start + timedelta(days=1)
    if tier == "postgres":
        _make_partitions(connection, "gpu_rollup_1m", timedelta(days=1), start, end)
    rows.make_gpu_rollups(start, end, arguments.raw_gpus)


def _make_partitions(
    connection: Connection, parent: str, period: timedelta, start: datetime, end: datetime
) -> None:
    statement = queries("collector_maintenance")["make_partition"]
    at = compaction.EPOCH + (start - compaction.EPOCH) // period * period
    while at <= end:
        connection.execute(statement, {"parent": parent, "starts_at": at, "ends_at": at + period})
        at += period


def end_of(connection: Connection, gpus: int, days: int) -> datetime:
    """Return when the data ends that an earlier run has made.

    Raises:
        PermanentError: there is none, or it is of another size, or too old for questions of now.
    """
    row = connection.execute(queries("bench")["made"]).fetchone()
    if row is None:
        raise PermanentError("no earlier run has made anything there: run it without --made once")
    gpus_made, days_made, end = row
    if (gpus_made, days_made) != (gpus, days):
        raise PermanentError(
            f"an earlier run has made {gpus_made} accelerators and {days_made} days there,"
            f" and asked for are {gpus} and {days}"
        )
    age = datetime.now(UTC) - end
    if age > MADE_AGE_MAX:
        raise PermanentError(
            f"what an earlier run has made there ends {age.total_seconds() / 3600:.0f} hours ago,"
            " and some questions are about the time up to now: make it again"
        )
    made_until: datetime = end
    return made_until
