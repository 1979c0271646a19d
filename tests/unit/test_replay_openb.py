"""The layout `openb`: the backlog over time equals an independent computation."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import replay
from simulator.replay.backlog import CADENCE_S, SILENCE_MAX_S, Pod, sweep
from simulator.replay.expected import openb_backlog
from simulator.replay.openb import read_pods
from simulator.replay.recording import Problems
from telemetry.errors import ConfigError

OWN = Path(__file__).parents[1] / "data" / "replay" / "openb"
RECORDED = Path(__file__).parents[3] / "shared" / "data" / "openb"
FIGURES = (
    "waiting",
    "running",
    "gpus_waiting",
    "gpus_running",
    "gpu_seconds_waiting",
    "oldest_wait_seconds",
)
HEADING = "num_gpu,gpu_milli,qos,creation_time,scheduled_time,deletion_time\n"


def assert_equals_brute_force(folder: Path) -> None:
    wanted = openb_backlog(folder)
    snapshots = [(step.time_s, q) for step in replay.read(folder, "f").steps for q in step.queues]
    assert [time_s for time_s, _ in snapshots] == wanted["time_s"].tolist()
    for name in FIGURES:
        found = [getattr(snapshot, name) for _, snapshot in snapshots]
        np.testing.assert_allclose(
            np.array([np.nan if value is None else value for value in found]),
            wanted[name],
            rtol=1e-9,
            atol=1e-9,
            err_msg=name,
        )


def test_backlog_of_our_own_recording_equals_brute_force() -> None:
    assert_equals_brute_force(OWN)


@pytest.mark.slow
@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded data is not at ../shared/data")
def test_backlog_of_the_recorded_cluster_equals_brute_force() -> None:
    assert_equals_brute_force(RECORDED)


@st.composite
def pods(draw: st.DrawFn) -> Pod:
    created_s = draw(st.integers(0, 5000))
    waits_s = draw(st.none() | st.integers(0, 4000))
    lasts_s = draw(st.none() | st.integers(0, 9000))
    return Pod(
        queue=draw(st.sampled_from(["a", "b"])),
        gpus_milli=draw(st.sampled_from([0, 470, 1000, 8000])),
        created_s=created_s,
        scheduled_s=None if waits_s is None else created_s + waits_s,
        deleted_s=None if lasts_s is None else created_s + (waits_s or 0) + lasts_s,
    )


@given(st.lists(pods(), min_size=1, max_size=30))
def test_any_pods_are_counted_as_each_would_be_alone(recorded: list[Pod]) -> None:
    for time_s, snapshots in sweep(recorded):
        there = [p for p in recorded if p.created_s <= time_s]
        there = [p for p in there if p.deleted_s is None or time_s < p.deleted_s]
        waiting = [p for p in there if p.scheduled_s is None or time_s < p.scheduled_s]
        assert sum(s.waiting or 0 for s in snapshots) == len(waiting)
        assert sum(s.running or 0 for s in snapshots) == len(there) - len(waiting)
        milli = sum(p.gpus_milli for p in waiting)
        assert sum(s.gpus_waiting or 0 for s in snapshots) == pytest.approx(milli / 1000)


def test_never_scheduled_without_deletion_waits_for_ever() -> None:
    moments = list(sweep([Pod("a", 2000, 60, None, None), Pod("a", 0, 9000, 9000, 9000)]))
    time_s, (snapshot,) = moments[-1]
    assert snapshot.waiting == 1.0
    assert snapshot.gpus_waiting == 2.0
    assert snapshot.oldest_wait_seconds == time_s - 60
    assert snapshot.gpu_seconds_waiting is None


def test_an_empty_queue_has_no_oldest_entry() -> None:
    _, (snapshot,) = list(sweep([Pod("a", 1000, 0, 0, 600)]))[-1]
    assert snapshot.waiting == 0.0
    assert snapshot.oldest_wait_seconds is None
    assert snapshot.gpu_seconds_waiting == 0.0


def test_silence_is_broken_every_hour() -> None:
    times = [time_s for time_s, _ in sweep([Pod("a", 1000, 0, 0, 40_000)])]
    gaps = np.diff(times)
    assert gaps.max() <= SILENCE_MAX_S
    assert all(time_s % CADENCE_S == 0 for time_s in times)


def test_nodes_become_hosts_with_accelerators_of_their_model() -> None:
    hosts = replay.read(OWN, "f").hosts
    assert {host.name: len(host.accelerators) for host in hosts} == {
        "node-a": 2,
        "node-b": 8,
        "node-c": 1,
    }
    assert {a.model for a in hosts[1].accelerators} == {"Q3"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,1000,gold,100,50,200", "not in the order"),
        ("1,1000,gold,100,150,120", "not in the order"),
        ("1,1000,gold,,150,200", "not a time"),
        ("x,1000,gold,1,2,3", "not a count"),
        ("1,2000,gold,1,2,3", "not a count"),
        ("1,1000,,1,2,3", "without a class"),
        ("1,1000,a\u202eb,1,2,3", "not a name"),
    ],
)
def test_a_bad_pod_is_left_out_and_named(tmp_path: Path, row: str, reason: str) -> None:
    (tmp_path / "pods.csv").write_text(f"{HEADING}1,1000,gold,1,2,3\n{row}\n", encoding="utf-8")
    problems = Problems()
    assert len(read_pods(tmp_path, problems)) == 1
    assert problems.first[0].startswith(f"{tmp_path / 'pods.csv'}:3: ")
    assert reason in problems.first[0]


def test_two_nodes_of_one_name_are_one(tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_text("sn,gpu,model\nn,1,P9\nn,2,P9\n")
    (tmp_path / "pods.csv").write_text(f"{HEADING}1,1000,gold,1,2,3\n1,1000,gold,70,80,300\n")
    recording = replay.read(tmp_path, "f")
    assert [len(host.accelerators) for host in recording.hosts] == [1]
    assert "a second node" in recording.problems.first[0]


def test_files_without_a_good_row_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_text("sn,gpu,model\n")
    (tmp_path / "pods.csv").write_text(HEADING)
    with pytest.raises(ConfigError, match="no usable row"):
        replay.read(tmp_path, "f")
