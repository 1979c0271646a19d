"""A fleet with a long past, for the bench that asks the pages' questions of it.

Owns how much past there is of what, and whether a database holds what an earlier run has made. The
rows themselves are those of `fleet_rows.py`.
"""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class FleetPast:
    """The past of a fleet, as it is made.

    Attributes:
        rows: where it is made.
        tier: of that database.
        days: of rollups.
        raw_gpus: accelerators that have samples for a day.
        end: where all of it ends.
    """

    rows: FleetRows
    connection: Connection
    tier: Tier
    days: int
    raw_gpus: int
    end: datetime
    progress: Progress

    def make_young(self) -> None:
        """Make the places, the first day of rollups, the events and the raw samples."""
        rows, end = self.rows, self.end
        self.progress.say("making places")
        rows.make_places()
        start = self._make_day(0)
        rows.make_events(end - timedelta(days=EVENT_DAYS), end, events_of(rows.shape))
        self.progress.say("making raw samples")
        raw_start = end - timedelta(hours=RAW_HOURS)
        self._make_partitions("samples", timedelta(hours=1), raw_start, end)
        rows.make_samples(raw_start, end, self.raw_gpus)
        maintenance.index_closed(self.connection, self.tier, round(end.timestamp() * 1e6))
        while self.tier is Tier.TIMESCALE and (chunk := recompression.next_due(self.connection)):
            recompression.make_anew(self.connection, chunk)
        self._vacuum()
        self._make_gpu_rollups(start)

    def make_rest(self) -> None:
        """Make the other days of rollups."""
        for day in range(1, self.days):
            self._make_gpu_rollups(self._make_day(day))
        self._vacuum()

    def _make_day(self, day: int) -> datetime:
        """Make a day of rollups of facilities and racks, 0 is the last; return its start."""
        self.progress.say(f"making rollups: day {day + 1} of {self.days}")
        start = self.end - timedelta(days=day + 1)
        self.rows.make_rollups(start, start + timedelta(days=1))
        return start

    def _make_gpu_rollups(self, start: datetime) -> None:
        end = start + timedelta(days=1)
        self._make_partitions("gpu_rollup_1m", timedelta(days=1), start, end)
        self.rows.make_gpu_rollups(start, end, self.raw_gpus)

    def _make_partitions(
        self, parent: str, period: timedelta, start: datetime, end: datetime
    ) -> None:
        if self.tier is not Tier.POSTGRES:
            return
        statement = queries("collector_maintenance")["make_partition"]
        at = compaction.EPOCH + (start - compaction.EPOCH) // period * period
        while at <= end:
            values = {"parent": parent, "starts_at": at, "ends_at": at + period}
            self.connection.execute(statement, values)
            at += period

    def _vacuum(self) -> None:
        # As autovacuum leaves what is days old: index-only scans need it.
        self.connection.execute("vacuum analyze")


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
