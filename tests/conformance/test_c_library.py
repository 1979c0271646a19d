"""The reader over a library that a compiler built says what it says over the simulated driver."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.accelerators import AcceleratorReading, Inspection
from agent.accelerators.nvidia import NvidiaReader
from agent.accelerators.nvidia_sources import GPM
from simulator.nvml.driver import SimulatedDriver
from telemetry.metrics import Group
from telemetry.records import EventKind, ReaderStatus
from tests.fix_accelerators import Bind, MakeHost, ManualClock
from tests.fix_c_library import Answers, BuildLibrary, answers_of_host, heard

Ask = Callable[..., subprocess.Popen[bytes]]
FAST, SLOW = list(Group)


class Simulated(NamedTuple):
    """What the reader says over the simulated driver, and the same answers for the library."""

    inspection: Inspection
    readings: list[list[AcceleratorReading]]
    answers: Answers


@pytest.fixture
def host(make_gpu_host: MakeHost) -> SimulatedDriver:
    made = make_gpu_host("h100", gpus=2)
    for at, counter in enumerate(
        (
            "sram_corrected",
            "sram_uncorrected",
            "rows_corrected",
            "rows_uncorrected",
            "pcie_fatal",
            "pcie_lcrc",
            "nvlink_crc",
            "nvlink_replay",
            "recovery_action",
            "pcie_replays",
            "unrepairable_memory",
            "channel_repair_pending",
        )
    ):
        made.add_to_counter(1, counter, at + 1 if counter != "recovery_action" else 2)
    made.set_nvlink(1, 4, up=False)
    return made


@pytest.fixture
def simulated(host: SimulatedDriver, manual_clock: ManualClock, bind: Bind) -> Simulated:
    nvml = bind(host)
    reader = NvidiaReader(manual_clock, nvml)
    inspection = reader.open()
    manual_clock.pass_s(1)
    readings = [[reader.read(at, group) for at in range(2)] for group in Group]
    answers = answers_of_host(nvml, readings[0][0].values)
    reader.close()
    return Simulated(inspection, readings, answers)


def test_a_compiled_library_gives_the_same_readings(
    simulated: Simulated, c_library: Path, ask_c_library: Ask
) -> None:
    said = heard(ask_c_library(c_library, simulated.answers))
    assert said.inspection == simulated.inspection
    assert said.readings == simulated.readings
    assert len(said.readings[0][0].values) >= 30
    assert GPM.keys() <= said.readings[0][1].values.keys()
    assert said.readings[1][1].values["unrepairable_memory_flag"] == 1
    assert said.readings[1][1].values["nvlink_active_links_count"] == 17


def test_its_events_carry_the_board_and_the_number(
    simulated: Simulated, c_library: Path, ask_c_library: Ask
) -> None:
    answers = simulated.answers | {"-1.event.0": f"1 {0x8} 79", "-1.event.1": f"0 {0x2} 0"}
    said = heard(ask_c_library(c_library, answers, events=1))
    boards = simulated.inspection.accelerators
    assert [(event.kind, event.code) for event in said.events] == [
        (EventKind.XID, 79),
        (EventKind.ECC_UNCORRECTED, None),
    ]
    assert [event.accelerator for event in said.events] == [boards[1].uuid, boards[0].uuid]


def test_a_lost_board_is_missing_and_hides_no_other(
    simulated: Simulated, c_library: Path, ask_c_library: Ask
) -> None:
    said = heard(ask_c_library(c_library, simulated.answers | {"0.lost": 1}))
    assert said.inspection is not None
    assert said.inspection.missing == (0,)
    assert [entry.uuid for entry in said.inspection.accelerators] == [
        simulated.inspection.accelerators[1].uuid
    ]
    assert said.readings[0][0].status is ReaderStatus.WHOLE


@pytest.mark.parametrize(
    ("code", "kind"), [(18, "PermanentError"), (9, "RetryableError"), (999, "RetryableError")]
)
def test_a_library_that_does_not_start_says_why(
    simulated: Simulated, c_library: Path, ask_c_library: Ask, code: int, kind: str
) -> None:
    said = heard(ask_c_library(c_library, simulated.answers | {"-1.refuse": code}))
    assert said.error == kind
    assert said.why


@pytest.mark.parametrize(
    ("code", "failed"), [(3, False), (13, False), (25, False), (999, True), (10, True)]
)
def test_what_a_call_refuses_is_not_offered_or_failed(
    simulated: Simulated, c_library: Path, ask_c_library: Ask, code: int, failed: bool
) -> None:
    answers = simulated.answers | {"0.fail.nvmlDeviceGetPerformanceState": code}
    said = heard(ask_c_library(c_library, answers))
    board, other = said.readings[0]
    name = "performance_state_code"
    assert (name in board.failed, name in board.unsupported) == (failed, not failed)
    assert name not in board.values
    assert other == simulated.readings[0][1]


def test_an_older_driver_lacks_a_function_and_a_structure(
    simulated: Simulated, build_library: BuildLibrary, ask_c_library: Ask
) -> None:
    said = heard(ask_c_library(build_library("OLDER_DRIVER"), simulated.answers))
    fast, slow = said.readings[0][0], said.readings[1][0]
    assert "temperature_margin_celsius" in fast.unsupported
    assert "fabric_health_code" in slow.unsupported
    assert slow.values["fabric_state_code"] == 3
    assert fast.status is slow.status is ReaderStatus.WHOLE


def test_a_library_that_hangs_hangs_the_process_that_called_it_until_it_is_killed(
    simulated: Simulated, c_library: Path, ask_c_library: Ask
) -> None:
    process = ask_c_library(c_library, simulated.answers | {"hang": "nvmlDeviceGetClockInfo"})
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=2.0)
    process.kill()
    assert process.wait(30) < 0
