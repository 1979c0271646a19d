"""The query bench asks again what an earlier run has made, and nothing else."""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from benchmarks import command
from benchmarks.fleet_past import end_of
from benchmarks.fleet_rows import FleetRows, Shape
from telemetry.errors import PermanentError
from tests.fix_collector import Shelf

GPUS = 64


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(["query", "--made", "--raw-gpus", "1", "--asks", "1", *words])


def asked(*words: str) -> dict[str, Any]:
    arguments = parsed(*words)
    run: dict[str, Any] = arguments.measure(arguments).runs[0]
    return run


def test_what_was_made_is_asked_and_nothing_is_made_anew(shelf: Shelf) -> None:
    words = ("--gpus", str(GPUS), "--facilities", "1", "--database-url", shelf.url)
    with pytest.raises(PermanentError, match="without --made"):
        asked(*words)
    end = datetime.now(UTC)
    with psycopg.connect(shelf.url, autocommit=True) as connection:
        rows = FleetRows(connection, Shape(GPUS, 1))
        rows.make_places()
        rows.make_rollups(end - timedelta(days=1), end)
        rows.make_events(end - timedelta(days=30), end, 100)
        before = rows.one("sizes", {})
        run = asked(*words, "--days", "1")
        assert rows.one("sizes", {}) == before
        assert {"facility_24h", "worst_30d", "offenders_30d"} <= set(run)
        assert all("one_day_ms_p50" not in figures for figures in run.values())
        assert run["facility_24h"]["rows_scanned"] > 1400
        with pytest.raises(PermanentError, match=r"64 accelerators and 1 days there, .* 64 and 7"):
            asked(*words)
        with pytest.raises(PermanentError, match="made 64 accelerators"):
            asked(*words, "--days", "1", "--gpus", "640")
        assert end - end_of(connection, GPUS, 1) < timedelta(seconds=20)
        connection.execute("update facility_rollup_10s set bucket = bucket - interval '2 days'")
        with pytest.raises(PermanentError, match=r"hours ago.*make it again"):
            end_of(connection, GPUS, 1)


def test_asking_what_was_made_needs_to_be_told_where() -> None:
    with pytest.raises(PermanentError, match="--made needs the --database-url"):
        asked()
