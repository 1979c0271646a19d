"""The Timescale-licensed tier: its migrations on TimescaleDB compiled to WebAssembly."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

import sql
from benchmarks.fleet_rows import FleetRows, Shape
from collector import compaction, maintenance, migrate, recompression
from collector.settings import CollectorSettings
from collector.tier import Tier, detect
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from tests.fix_collector import NOW_US
from tests.fix_gpu_parts import add_parts

pytestmark = pytest.mark.slow


@pytest.fixture
def connection(pglite_url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(pglite_url, autocommit=True, prepare_threshold=None)


def test_every_migration_runs_and_leaves_hypertables(
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    with connection:
        connection.execute("create extension if not exists timescaledb")
        assert detect(connection) is Tier.TIMESCALE
        assert migrate.migrate(connection) == sql.migrations("timescale")
        assert migrate.tier_of(connection) is Tier.TIMESCALE
        assert migrate.pending(connection) == []
        found = connection.execute(
            "select hypertable_name from timescaledb_information.hypertables order by 1"
        ).fetchall()
        assert [str(row[0]) for row in found] == [
            "gpu_rollup_1h", "gpu_rollup_1m", "gpu_rollup_parts", "samples", "slow_samples",
        ]  # fmt: skip
        columns = connection.execute(
            "select column_name from information_schema.columns "
            "where table_schema = 'public' and table_name = 'samples' order by ordinal_position"
        ).fetchall()
        names = [metric.name for metric in CATALOGUE.group(Group.FAST)]
        assert [row[0] for row in columns] == ["time", "gpu_id", *names]
        _recompress(connection)
        _keep(connection)
        _roll_up(connection)


def _keep(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Chunks go by the settings, and by no job of a scheduler that may be full or broken."""
    for days_ago in (10, 5):
        connection.execute(
            "insert into samples (time, gpu_id) values (%s, 1)",
            (datetime.fromtimestamp(NOW_US / 1e6, UTC) - timedelta(days=days_ago),),
        )
    for days, left in ((30, 2), (7, 1), (3, 0)):
        settings = CollectorSettings(raw_retention_days=days)
        maintenance.drop_old(connection, Tier.TIMESCALE, settings, NOW_US)
        assert connection.execute("select count(*) from samples").fetchall() == [(left,)]
    jobs = connection.execute(
        "select proc_name, hypertable_name from timescaledb_information.jobs "
        "where proc_schema = 'public' or hypertable_name is not null"
    )
    assert jobs.fetchall() == []


def _recompress(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """A chunk that is over is made anew once, and again when late rows have come to it."""
    now = datetime.now(UTC)
    over = now - timedelta(hours=2)
    add = "insert into samples (time, gpu_id, power_milliwatts) values (%s, %s, 700000)"
    connection.execute(add, (now, 1))
    for late in range(2):
        connection.execute(add, (over, late))
        chunk = recompression.next_due(connection)
        assert chunk is not None
        assert recompression.next_due(connection, left_alone=[chunk]) is None
        recompression.make_anew(connection, chunk)
        assert recompression.next_due(connection) is None
        found = connection.execute(
            "select count(*), sum(power_milliwatts) from samples where time = %s", (over,)
        )
        assert found.fetchall() == [(late + 1, 700_000 * (late + 1))]
    compressed = connection.execute(
        "select is_compressed from timescaledb_information.chunks "
        "where hypertable_name = 'samples' order by range_start"
    ).fetchall()
    assert compressed[0] == (True,)
    connection.execute("delete from samples where time = %s", (now,))


def _roll_up(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """What is over is made, and parts are moved; without COPY, which this build lacks."""
    fleet = FleetRows(connection, Shape(gpus=64, facilities=1))
    fleet.make_places()
    end = datetime.fromtimestamp(NOW_US / 1e6, UTC)
    fleet.make_rollups(end - timedelta(hours=2), end)
    (made,) = connection.execute(
        "select count(*) from facility_spread where step_s = 60"
    ).fetchall()
    assert made == (115,)  # the last five minutes are not over
    connection.execute(
        "insert into samples (time, gpu_id, utilization_gpu_percent) "
        "select %s, gpu_id, 50 from accelerators",
        (end,),
    )
    add_parts(connection, since_s=0.0)
    assert compaction.move(connection, Tier.TIMESCALE, kept=timedelta(hours=-1)) == 8
    for table in ("gpu_rollup_1m", "gpu_rollup_1h"):
        (sums,) = connection.execute(
            f"select count(*), sum(utilization_gpu_percent_sum) from {table}"
        ).fetchall()
        assert sums == (64, 3200)
