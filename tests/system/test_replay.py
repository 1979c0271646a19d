"""Replay through the real wire, broker, collector and database: all of it is stored, once."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from simulator.replay.expected import expected, openb_backlog

OWN = Path(__file__).parents[1] / "data" / "replay"
RECORDED = Path(__file__).parents[3] / "shared" / "data"
FLEETGAUGE = [sys.executable, "-m", "fleetgauge"]

Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.slow


@pytest.fixture
def run(postgres_url: str, broker: str, topic_prefix: str) -> Run:
    environment = os.environ | {
        "FLEETGAUGE_DATABASE_URL": postgres_url,
        "FLEETGAUGE_KAFKA_BOOTSTRAP": broker,
        "FLEETGAUGE_KAFKA_TOPIC_PREFIX": topic_prefix,
        "FLEETGAUGE_COLLECTOR_GROUP": topic_prefix,
    }

    def call(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*FLEETGAUGE, *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def start(*words: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([*FLEETGAUGE, *words], env=environment)

    call.start = start  # type: ignore[attr-defined]
    assert call("migrate").returncode == 0
    return call


@contextmanager
def collector(run: Run) -> Iterator[None]:
    ages = ("--samples-age-max-days", "36500", "--events-age-max-days", "36500")
    process = run.start("collector", *ages)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(30) == 0


def assert_nothing_lost(run: Run) -> None:
    status = json.loads(run("status", "--json").stdout)
    assert status["quarantine"]["messages"] == 0, status["quarantine"]
    text = run("status").stdout
    assert " 0 not arrived" in text


@pytest.mark.timeout(400)
@pytest.mark.parametrize("layout", ["gentd26", "openb"])
@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded data is not at ../shared/data")
def test_a_recorded_cluster_is_stored_whole(layout: str, run: Run) -> None:
    with collector(run):
        ended = run("replay", str(RECORDED / layout), "--check", "--store-timeout-s", "250")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "differs" not in ended.stdout
    assert ended.stdout.count("equal") == len(expected(RECORDED / layout, layout))
    assert_nothing_lost(run)


@pytest.mark.timeout(300)
def test_original_times_are_stored_once_however_often_they_are_sent(
    run: Run, postgres_url: str
) -> None:
    words = ("replay", str(OWN / "gentd26"), "--times", "original", "--check")
    with collector(run):
        first, again = run(*words), run(*words)
    assert first.returncode == 0, first.stdout + first.stderr
    assert again.returncode == 0, again.stdout + again.stderr
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("select count(*), min(time) from samples").fetchone()
        repeated = connection.execute("select sum(repeated_messages) from host_marks").fetchone()
    assert found is not None
    assert found[0] == 6 * 10
    assert found[1].timestamp() == 1_700_000_000
    assert repeated is not None
    assert repeated[0] > 0


@pytest.mark.timeout(300)
def test_shifted_replays_into_one_facility_are_told_apart(run: Run) -> None:
    with collector(run):
        for _ in range(2):
            ended = run("replay", str(OWN / "gentd26"), "--check")
            assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.timeout(300)
def test_the_stored_backlog_is_the_files_at_every_moment(run: Run, postgres_url: str) -> None:
    with collector(run):
        ended = run("replay", str(OWN / "openb"), "--check")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    wanted = openb_backlog(OWN / "openb")
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(
            "select extract(epoch from time - min(time) over ()), waiting, gpus_waiting, "
            "running, gpus_running from queue_samples order by time, queue"
        ).fetchall()
    first_s = wanted["time_s"][0]
    assert [float(row[0]) for row in rows] == pytest.approx(wanted["time_s"] - first_s, abs=1e-3)
    for at, name in enumerate(("waiting", "gpus_waiting", "running", "gpus_running"), start=1):
        assert [row[at] for row in rows] == pytest.approx(wanted[name])


def test_a_difference_ends_with_code_1(run: Run) -> None:
    # Without a collector nothing is stored.
    ended = run("replay", str(OWN / "gentd26"), "--check", "--store-timeout-s", "1")
    assert ended.returncode == 1
    assert "differs" in ended.stdout


def test_wrong_words_end_with_code_2(run: Run, tmp_path: Path) -> None:
    assert run("replay", str(tmp_path)).returncode == 2
    assert run("replay", str(OWN / "gentd26"), "--times", "wall").returncode == 2
    assert run("replay", str(OWN / "gentd26"), "--loop").returncode == 2
    assert run("replay", str(OWN / "gentd26"), "--speed", "-1").returncode == 2
