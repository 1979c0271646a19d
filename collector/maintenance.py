"""Partitions ahead of the data, and retention.

Owns how long data is kept and, where there is no TimescaleDB, the partitions that the next rows
need; hypertables make their own. Everything here may run twice and in several collectors at once.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta

import numpy as np
from psycopg import sql as composed

import sql
from collector import compaction
from collector.database import Connection, translated
from collector.registry import timestamp
from collector.sample_columns import SampleColumns
from collector.settings import CollectorSettings
from collector.tier import Tier
from telemetry.metrics import Group

log = logging.getLogger(__name__)

US_PER_HOUR = 3_600_000_000
TABLES = {Group.FAST: "samples", Group.SLOW: "slow_samples"}
PERIODS_US = {Group.FAST: US_PER_HOUR, Group.SLOW: 24 * US_PER_HOUR}
PARTITIONS_KNOWN_MAX = 100_000
# Late rows are few by then; an index is kept up to date for them all the same.
INDEX_AFTER = timedelta(minutes=5)
# A board takes a third of a millisecond; 75,000 have their turn within a quarter of a day.
BOARDS_AT_ONCE = 200
# 27,500 hosts have their turn within two and a half hours.
HOSTS_AT_ONCE = 200

_QUERIES = sql.queries("collector_maintenance")


class Partitions:
    """The partitions that are known to be there; TimescaleDB makes its own chunks."""

    def __init__(self, tier: Tier) -> None:
        self._needed = tier is Tier.POSTGRES
        self._known: set[tuple[Group, int]] = set()

    def cover(self, connection: Connection, samples: Sequence[SampleColumns]) -> None:
        """Make what these rows need."""
        if self._needed:
            for part in samples:
                self._make(connection, part.group, _periods(part))

    def make_ahead(self, connection: Connection, now_us: int, hours: int) -> None:
        """Make what the next hours need."""
        if not self._needed:
            return
        compaction.make_room(connection, Tier.POSTGRES, hours)
        for group, period_us in PERIODS_US.items():
            last = (now_us + hours * US_PER_HOUR) // period_us
            self._make(connection, group, range(now_us // period_us, last + 1))

    def _make(self, connection: Connection, group: Group, periods: Iterable[int]) -> None:
        if len(self._known) > PARTITIONS_KNOWN_MAX:
            self._known.clear()
        period_us = PERIODS_US[group]
        for period in periods:
            if (group, period) in self._known:
                continue
            with translated("making a partition"):
                connection.execute(
                    _QUERIES["make_partition"],
                    {
                        "parent": TABLES[group],
                        "starts_at": timestamp(period * period_us),
                        "ends_at": timestamp((period + 1) * period_us),
                    },
                )
            self._known.add((group, period))


def _periods(part: SampleColumns) -> list[int]:
    periods = part.times_us // PERIODS_US[part.group]
    first, last = int(periods.min()), int(periods.max())
    if first == last:
        return [first]
    return [int(period) for period in np.unique(periods)]


def drop_old(connection: Connection, tier: Tier, settings: CollectorSettings, now_us: int) -> None:
    """Drop what is older than it has to be kept."""
    now = timestamp(now_us)
    with translated("retention"):
        for parent, days in kept_days(settings).items():
            drop = "drop_partitions" if tier is Tier.POSTGRES else "drop_chunks"
            row = connection.execute(
                _QUERIES[drop], {"parent": parent, "before": now - timedelta(days=days)}
            ).fetchone()
            if row and row[0]:
                log.info("dropped %s parts of %s older than %d days", row[0], parent, days)
        # What is made of finer rollups is made again when they change: these must still be there.
        least = settings.samples_age_max_days + 1
        for statement, days in (
            ("trim_facility_10s", max(least, settings.rollup_10s_retention_days)),
            ("trim_facility_1m", max(least, settings.rollup_1m_retention_days)),
            ("trim_rack_1m", max(least, settings.rollup_1m_retention_days)),
            ("trim_spread", settings.rollup_1m_retention_days),
            ("trim_facility_1h", settings.rollup_1h_retention_days),
            ("trim_rack_1h", settings.rollup_1h_retention_days),
            ("trim_spread_1h", settings.rollup_1h_retention_days),
        ):
            connection.execute(_QUERIES[statement], {"before": now - timedelta(days=days)})
        connection.execute(_QUERIES["forget_collectors"])


def count_stale_boards(connection: Connection, most: int = BOARDS_AT_ONCE) -> int:
    """Count the faults of boards anew, as days have passed; return how many boards that were."""
    return _count_stale(connection, "count_stale_boards", most)


def count_stale_hosts(connection: Connection, most: int = HOSTS_AT_ONCE) -> int:
    """Add up the faults of hosts anew, as days have passed; return how many hosts that were."""
    return _count_stale(connection, "count_stale_hosts", most)


def _count_stale(connection: Connection, query: str, most: int) -> int:
    with translated("counting faults anew"):
        row = connection.execute(_QUERIES[query], {"most": most}).fetchone()
    return int(str(row[0])) if row else 0


def kept_days(settings: CollectorSettings) -> dict[str, int]:
    """Return how long each table is kept whose old partitions or chunks are dropped."""
    return {
        "samples": settings.raw_retention_days,
        "slow_samples": settings.slow_retention_days,
        "gpu_rollup_1m": settings.gpu_rollup_1m_retention_days,
        "gpu_rollup_1h": settings.rollup_1h_retention_days,
    }


def index_closed(connection: Connection, tier: Tier, now_us: int) -> None:
    """Index partitions of samples by accelerator once they are over; before, it would halve ingest.

    TimescaleDB with columnstore finds an accelerator by its own means.
    """
    if tier is Tier.TIMESCALE:
        return
    over_since = timestamp(now_us) - INDEX_AFTER
    with translated("indexing what is over"):
        statement = "closed_partitions" if tier is Tier.POSTGRES else "closed_chunks"
        for schema, name in connection.execute(
            _QUERIES[statement], {"over_since": over_since, "parents": list(TABLES.values())}
        ).fetchall():
            _index(connection, str(schema), str(name))


def _index(connection: Connection, schema: str, name: str) -> None:
    """Make an index beside writers; one that was broken off is made anew."""
    index = composed.Identifier(schema, f"{name}_gpu")
    connection.execute(composed.SQL("drop index concurrently if exists {}").format(index))
    statement = composed.SQL("create index concurrently {} on {} (gpu_id, time)").format(
        composed.Identifier(f"{name}_gpu"), composed.Identifier(schema, name)
    )
    connection.execute(statement)
    log.info("indexed %s by accelerator", name)
