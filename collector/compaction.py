"""Moving the sums of single accelerators from parts to minutes and hours.

Owns when an hour of arrival is moved and in what pieces. A piece is one statement that deletes
parts and adds what they come to: whoever reads sees them in one place, never in both or in neither,
and writers are not waited for. It may end anywhere, run twice, and in several collectors at once.
"""

import logging
from datetime import datetime, timedelta

import sql
from collector.database import Connection, translated
from collector.tier import Tier

log = logging.getLogger(__name__)

# Parts are read for the last hour's charts, at the ten seconds of a message; then they are moved.
KEPT = timedelta(hours=1)
EMPTY_KEPT = timedelta(hours=3)
HOSTS_AT_ONCE = 500
PERIODS = {"gpu_rollup_1m": timedelta(days=1), "gpu_rollup_1h": timedelta(days=30)}
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

_ROLLUPS = sql.queries("collector_rollups")
_MAINTENANCE = sql.queries("collector_maintenance")


def make_room(connection: Connection, tier: Tier, hours: int) -> None:
    """Make the partitions that the parts of the next hours need; the database's clock decides."""
    if tier is Tier.POSTGRES:
        with translated("making a partition"):
            connection.execute(_ROLLUPS["make_part_room"], {"hours": hours})


def move(connection: Connection, tier: Tier, *, kept: timedelta = KEPT) -> int:
    """Move every hour of arrival that is over for as long as `kept`; return how many parts."""
    moved = 0
    with translated("moving rollups"):
        for (starts_at,) in connection.execute(_ROLLUPS["part_hours"], {"kept": kept}).fetchall():
            assert isinstance(starts_at, datetime)  # noqa: S101 - the column's type
            span = {"starts_at": starts_at, "ends_at": starts_at + timedelta(hours=1)}
            moved += _move_hour(connection, tier, span)
        _drop_empty(connection, tier)
    if moved:
        log.info("moved %d parts of rollups", moved)
    return moved


def _drop_empty(connection: Connection, tier: Tier) -> None:
    """Drop hours of arrival that are moved, and so long over that no batch can still be storing."""
    before = connection.execute(_ROLLUPS["empty_before"], {"kept": EMPTY_KEPT}).fetchone()
    if before and before[0] is not None:
        drop = "drop_partitions" if tier is Tier.POSTGRES else "drop_chunks"
        connection.execute(_MAINTENANCE[drop], {"parent": "gpu_rollup_parts", "before": before[0]})


def _move_hour(connection: Connection, tier: Tier, span: dict[str, datetime]) -> int:
    bounds = connection.execute(_ROLLUPS["part_hosts"], span).fetchone()
    if bounds is None or bounds[0] is None:
        return 0
    if tier is Tier.POSTGRES:
        _cover(connection, span)
    first, last = int(str(bounds[0])), int(str(bounds[1]))
    moved = 0
    for host in range(first, last + 1, HOSTS_AT_ONCE):
        hosts = {"first_host": host, "end_host": host + HOSTS_AT_ONCE}
        row = connection.execute(_ROLLUPS["move_parts"], span | hosts).fetchone()
        moved += int(str(row[0])) if row else 0
    return moved


def _cover(connection: Connection, span: dict[str, datetime]) -> None:
    """Make the partitions that an hour's parts go to; late ones belong to days long past."""
    for (day,) in connection.execute(_ROLLUPS["part_days"], span).fetchall():
        assert isinstance(day, datetime)  # noqa: S101 - the column's type
        for parent, period in PERIODS.items():
            starts_at = EPOCH + (day - EPOCH) // period * period
            connection.execute(
                _MAINTENANCE["make_partition"],
                {"parent": parent, "starts_at": starts_at, "ends_at": starts_at + period},
            )
