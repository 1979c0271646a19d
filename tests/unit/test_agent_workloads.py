"""Whose work holds an accelerator: cgroup paths of both versions, and a host over time."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.accelerators import AcceleratorReading, RunningProcess
from agent.workloads.cgroup import NAME_CHARS_MAX, Workload, parse_cgroup
from agent.workloads.watch import TELL_AGAIN_S, WorkloadWatch
from telemetry.records import Holder, ReaderStatus
from tests.fix_agent import uuid_of

POD = "8f3c1a52-0d8e-4f0e-9a3b-6c1f2d7e5b90"
HEX = "3fd9c0a1b2e4" + "5a" * 26
POD_UNIT = f"pod{POD.replace('-', '_')}.slice"
KUBEPODS = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable"
APP = "/user.slice/user-1000.slice/user@1000.service/app.slice"
STEPD = "/system.slice/slurmstepd.scope"
JOB, OTHER = "0::/system.slice/slurmstepd.scope/job_42/step_0/user/task_0\n", "0::/a.service\n"


@pytest.mark.parametrize(
    ("text", "work"),
    [
        (JOB, Workload("slurm", "42", "0")),
        ("0::/system.slice/node1_slurmstepd.scope/job_7/step_batch/user/task_3",
         Workload("slurm", "7", "batch")),
        (f"0::{STEPD}/job_7/step_extern/user", Workload("slurm", "7", "extern")),
        ("9:memory:/slurm/uid_1/job_12/step_interactive/task_0\n4:freezer:/slurm/uid_1/job_12",
         Workload("slurm", "12", "interactive")),
        ("4:devices:/slurm_node3/uid_0/job_5", Workload("slurm", "5")),
        (f"0::{KUBEPODS}-{POD_UNIT}/cri-containerd-{HEX}.scope",
         Workload("kubernetes", POD, HEX[:12])),
        (f"0::/kubepods.slice/kubepods-{POD_UNIT}/crio-{HEX}.scope",
         Workload("kubernetes", POD, HEX[:12])),
        (f"11:cpu:/kubepods/besteffort/pod{POD}/{HEX}", Workload("kubernetes", POD, HEX[:12])),
        (f"1:name=systemd:/kubelet/kubepods/burstable/pod{POD.replace('-', '')}/{HEX}",
         Workload("kubernetes", POD, HEX[:12])),
        (f"0::/system.slice/docker-{HEX}.scope", Workload("container", HEX[:12])),
        (f"12:pids:/docker/{HEX}", Workload("container", HEX[:12])),
        (f"0::/machine.slice/libpod-{HEX}.scope", Workload("container", HEX[:12])),
        ("0::/system.slice/vllm.service", Workload("systemd", "vllm.service")),
        (f"0::{APP}/jupyter.service", Workload("systemd", "jupyter.service")),
        ("0::/user.slice/user-1.slice/session-3.scope", Workload("systemd", "session-3.scope")),
        ("0::/system.slice/vllm.service (deleted)", Workload("systemd", "vllm.service")),
        ("0::/", None),
        ("0::/init.scope", None),
        ("0::/system.slice/slurmd.service", None),
        ("", None),
        ("no colons at all", None),
        ("x:y:/system.slice/vllm.service", None),
        (f"0::/home/job_42/pod{POD}", None),
    ],
)  # fmt: skip
def test_a_path_says_whose_work_it_is(text: str, work: Workload | None) -> None:
    assert parse_cgroup(text) == work


def test_a_job_in_a_container_is_the_jobs() -> None:
    text = f"5:devices:/docker/{HEX}\n9:memory:/slurm/uid_1/job_8/step_1/task_0\n"
    assert parse_cgroup(text) == Workload("slurm", "8", "1")


@given(st.text())
def test_no_text_upsets_the_parser(text: str) -> None:
    parse_cgroup(text)
    found = parse_cgroup(f"0::/{text}")
    assert found is None or all(len(part) <= NAME_CHARS_MAX for part in found)


WORDS = "/slurm /job_1 /step_2 /uid_3 /kubepods .slice /a.service /init.scope 0:: 1:cpu: : / job_"
PARTS = st.sampled_from([*WORDS.split(), f"/pod{POD}", f"/{HEX}", f"-{HEX}.scope", "\n", "\x00"])


@given(st.lists(PARTS, max_size=12))
def test_any_mixture_of_parts_is_one_of_the_four_or_nobodys(parts: list[str]) -> None:
    found = parse_cgroup("".join(parts))
    if found is not None:
        assert found.source in {"slurm", "kubernetes", "container", "systemd"}
        assert found.job
        Holder(accelerator=bytes(16), source=found.source, job=found.job, step=found.step)


@given(st.integers(0, 10**12), st.sampled_from(["", "0", "batch", "extern", "17"]))
def test_a_slurm_path_gives_back_its_numbers(job: int, step: str) -> None:
    tail = f"/step_{step}/user/task_0" if step else ""
    text = f"0::/system.slice/slurmstepd.scope/job_{job}{tail}"
    assert parse_cgroup(text) == Workload("slurm", str(job), step)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    folder.mkdir()
    (folder / "stat").write_text("cpu 1 2 3\nbtime 1700000000\n")
    return folder


def run(proc: Path, pid: int, cgroup: str, started_ticks: int = 100) -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "cgroup").write_text(cgroup)
    fields = ["S", *["0"] * 18, str(started_ticks), "0"]
    (proc / str(pid) / "stat").write_text(f"{pid} (python) x) {' '.join(fields)}")


def reading(name: str, *pids: int, status: ReaderStatus = ReaderStatus.WHOLE) -> AcceleratorReading:
    processes = tuple(RunningProcess(pid, 100) for pid in pids)
    return AcceleratorReading(uuid_of(name), status, processes=processes)


def test_the_processes_of_one_job_on_one_gpu_are_one_holder(proc: Path) -> None:
    run(proc, 10, JOB, 500)
    run(proc, 11, JOB, 300)
    told = WorkloadWatch(proc, "jobs").note([reading("a", 10, 11, 12), reading("b")], 7, 0.0)
    assert told is not None
    [holder] = told.holders
    assert (holder.accelerator, holder.source, holder.job) == (uuid_of("a"), "slurm", "42")
    assert (holder.processes, holder.memory_mebibytes, holder.user) == (2, 200, "")
    assert holder.since_us == 1_700_000_003_000_000


def test_only_a_change_is_told_and_all_of_it_again_after_an_hour(proc: Path) -> None:
    run(proc, 10, JOB)
    watch = WorkloadWatch(proc, "jobs")
    assert watch.note([reading("a", 10)], 1, 0.0) is not None
    assert watch.note([reading("a", 10)], 2, 30.0) is None
    run(proc, 20, OTHER)
    changed = watch.note([reading("a", 10), reading("b", 20)], 3, 60.0)
    assert changed is not None
    assert [holder.job for holder in changed.holders] == ["42", "a.service"]
    ended = watch.note([reading("a"), reading("b", 20)], 4, 90.0)
    assert ended is not None
    assert [holder.job for holder in ended.holders] == ["a.service"]
    assert watch.note([reading("a"), reading("b", 20)], 5, 90.0 + TELL_AGAIN_S) is not None


def test_a_host_without_work_says_so_once(proc: Path) -> None:
    told = WorkloadWatch(proc, "jobs").note([reading("a")], 1, 0.0)
    assert told is not None
    assert told.holders == ()


def test_an_accelerator_that_does_not_answer_keeps_what_it_held(proc: Path) -> None:
    run(proc, 10, JOB)
    watch = WorkloadWatch(proc, "jobs")
    watch.note([reading("a", 10)], 1, 0.0)
    assert watch.note([reading("a", status=ReaderStatus.LOST)], 2, 30.0) is None
    assert watch.note([reading("b")], 3, 60.0) is not None


def test_a_user_is_named_only_if_that_is_wanted(proc: Path, tmp_path: Path) -> None:
    run(proc, 10, JOB)
    owner = (proc / "10").stat().st_uid
    users = tmp_path / "passwd"
    users.write_text(f"#\nada:x:{owner}:1::/home/ada:/bin/sh\n")
    for told, wanted in (("jobs", ""), ("users", "ada")):
        found = WorkloadWatch(proc, told, users).note([reading("a", 10)], 1, 0.0)
        assert found is not None
        assert found.holders[0].user == wanted
    unnamed = WorkloadWatch(proc, "users", tmp_path / "none").note([reading("a", 10)], 1, 0.0)
    assert unnamed is not None
    assert unnamed.holders[0].user == str(owner)
