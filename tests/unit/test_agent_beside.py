"""What runs beside the readings sees them, and what it has to say goes the same way."""

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.accelerators import AcceleratorReading, RunningProcess
from agent.beside import COUNTS_MAX, Beside, BesideSettings
from agent.drafts import Draft, EventDraft
from telemetry.clock import SystemClock
from telemetry.metrics import Group
from telemetry.records import (
    Accelerator,
    Event,
    EventKind,
    Heartbeat,
    Inventory,
    ReaderStatus,
    Workloads,
)
from tests.fix_agent import HandClock, HostUnderTest, records_of, uuid_of

PATIENCE_S = 20.0
INVENTORY = Inventory(
    time_us=1,
    accelerators=(
        Accelerator(uuid=uuid_of("gpu-0"), index=0, pci_address="00000000:C1:00.0"),
        Accelerator(uuid=uuid_of("gpu-1"), index=1),
    ),
    driver_version="590.48.01",
)

MakeBeside = Callable[..., Beside]


@pytest.fixture
def put() -> list[Draft]:
    return []


@pytest.fixture
def make_beside(tmp_path: Path, put: list[Draft]) -> Iterator[MakeBeside]:
    made: list[Beside] = []

    def make(**settings: object) -> Beside:
        chosen = {
            "kernel_log_path": "",
            "kernel_log_position_path": "",
            "xid_hold_s": 0.1,
            **settings,
        }
        beside = Beside(
            BesideSettings(**chosen),  # type: ignore[arg-type]  # one of several types each
            SystemClock(),
            put.extend,
            host="host-1",
            spool_folder=tmp_path,
            interval_s={Group.FAST: 1.0, Group.SLOW: 60.0},
        )
        made.append(beside)
        return beside

    yield make
    for beside in made:
        beside.close()


def test_one_fault_with_two_witnesses_is_one_event(
    make_beside: MakeBeside, put: list[Draft], tmp_path: Path
) -> None:
    log = tmp_path / "kmsg"
    now_us = int(time.monotonic() * 1e6)
    log.write_text(f"4,7,{now_us},-;NVRM: Xid (PCI:0000:c1:00): 79, pid=1, GPU has fallen off.\n")
    beside = make_beside(kernel_log_path=str(log))
    beside.note([EventDraft([INVENTORY])])
    beside.heard(
        [
            Event(
                time_us=SystemClock().now_us(),
                kind=EventKind.XID,
                accelerator=uuid_of("gpu-0"),
                code=79,
            )
        ]
    )
    ending = threading.Event()
    thread = threading.Thread(target=beside.works()["witnesses"], args=(ending,))
    thread.start()
    deadline = time.monotonic() + PATIENCE_S
    while not put and time.monotonic() < deadline:
        time.sleep(0.05)
    ending.set()
    thread.join(PATIENCE_S)
    events = [r for r in records_of(put) if isinstance(r, Event)]
    assert [(e.kind, e.code, e.accelerator) for e in events] == [
        (EventKind.XID, 79, uuid_of("gpu-0"))
    ]
    assert beside.counts()["kernel_log_faults"] == 1


def test_the_heartbeat_tells_of_the_host_within_its_bounds(make_beside: MakeBeside) -> None:
    beside = make_beside(kernel_log_path="/nonexistent")
    ending = threading.Event()
    ending.set()
    beside.works()["host"](ending)
    counts = beside.counts()
    assert counts["memory_total_mebibytes"] > 0
    assert len(counts) <= COUNTS_MAX
    clock = HandClock()
    host = HostUnderTest(clock)
    host.observer._listener = beside
    (beat,) = [r for r in records_of(host.tick()) if isinstance(r, Heartbeat)]
    assert beat.counters.keys() >= counts.keys()
    assert len(beat.counters) <= 64


def test_prometheus_text_has_what_was_read_and_is_off_unless_asked_for(
    make_beside: MakeBeside, hand_clock: HandClock
) -> None:
    assert make_beside()._server is None
    beside = make_beside(prometheus_listen=":0")
    assert beside._server is not None
    host = HostUnderTest(hand_clock)
    hand_clock.seconds = time.monotonic()
    host.observer._listener = beside
    beside.note(host.tick())
    url = f"http://127.0.0.1:{beside._server.port}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        text = answer.read().decode()
    assert 'DCGM_FI_DEV_GPU_UTIL{gpu="0"' in text
    assert "fleetgauge_" in text


def test_the_work_on_a_gpu_is_told_with_the_slow_reading_it_was_seen_in(
    make_beside: MakeBeside, put: list[Draft], tmp_path: Path
) -> None:
    folder = tmp_path / "proc" / "77"
    folder.mkdir(parents=True)
    (folder / "cgroup").write_text("0::/system.slice/slurmstepd.scope/job_9/step_0/user")
    processes = (RunningProcess(77, 1000),)
    reading = AcceleratorReading(uuid_of("gpu-0"), ReaderStatus.WHOLE, processes=processes)
    quiet = make_beside(workloads="off", proc_path=str(tmp_path / "proc"))
    quiet.note_readings(Group.SLOW, [reading], 0.0)
    assert put == []
    beside = make_beside(proc_path=str(tmp_path / "proc"))
    beside.note_readings(Group.FAST, [reading], 0.0)
    beside.note_readings(Group.SLOW, [reading], 0.0)
    [told] = records_of(put)
    assert isinstance(told, Workloads)
    assert [(holder.job, holder.memory_mebibytes) for holder in told.holders] == [("9", 1000)]
