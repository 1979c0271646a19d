"""The Timescale-licensed tier: its migrations on TimescaleDB compiled to WebAssembly."""

import psycopg
import pytest

import sql
from collector import migrate
from collector.tier import Tier, detect
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group

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
        assert [str(row[0]) for row in found] == ["samples", "slow_samples"]
        columns = connection.execute(
            "select column_name from information_schema.columns "
            "where table_schema = 'public' and table_name = 'samples' order by ordinal_position"
        ).fetchall()
        names = [metric.name for metric in CATALOGUE.group(Group.FAST)]
        assert [row[0] for row in columns] == ["time", "gpu_id", *names]
