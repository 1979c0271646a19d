"""Partitions ahead of the data, and retention.

Owns how long data is kept and, where there is no TimescaleDB, the partitions that the next rows
need; hypertables make their own. Everything here may run twice and in several collectors at once.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta

import numpy as np

import sql
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
    drop = "drop_partitions" if tier is Tier.POSTGRES else "drop_chunks"
    kept_days = {Group.FAST: settings.raw_retention_days, Group.SLOW: settings.slow_retention_days}
    with translated("retention"):
        for group, days in kept_days.items():
            row = connection.execute(
                _QUERIES[drop],
                {"parent": TABLES[group], "before": now - timedelta(days=days)},
            ).fetchone()
            if row and row[0]:
                log.info("dropped %s parts of %s older than %d days", row[0], TABLES[group], days)
        for statement, days in (
            ("trim_facility_rollup", settings.facility_rollup_retention_days),
            ("trim_rack_rollup", settings.rack_rollup_retention_days),
        ):
            connection.execute(_QUERIES[statement], {"before": now - timedelta(days=days)})
        connection.execute(_QUERIES["forget_collectors"])
