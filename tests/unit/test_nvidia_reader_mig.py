"""MIG instances: accelerators of their own, that come and go while the agent runs."""

import pytest

from agent.accelerators.nvidia import NvidiaReader
from agent.accelerators.nvidia_mig import NOT_OFFERED, OFFERED
from agent.accelerators.nvidia_sources import GPM
from agent.boards import LocalBoards
from agent.calls import InlineCalls
from agent.counters import Counters
from agent.driver import Driver
from agent.kernel_log.witness import KernelLogSettings, KernelLogWitness
from agent.observer import Observer, Plan
from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.faults import Fault, schedule
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from telemetry.records import Event, EventKind, Inventory, ReaderStatus
from tests.fix_accelerators import Bind, MakeHost, ManualClock
from tests.fix_agent import records_of


@pytest.fixture
def host(make_gpu_host: MakeHost) -> SimulatedDriver:
    made = make_gpu_host("h100", gpus=2)
    made.set_mig(0, on=True, instances=7)
    return made


@pytest.fixture
def reader(host: SimulatedDriver, manual_clock: ManualClock, bind: Bind) -> NvidiaReader:
    return NvidiaReader(manual_clock, bind(host))


@pytest.fixture
def observer(reader: NvidiaReader, manual_clock: ManualClock) -> Observer:
    counters = Counters()
    boards = LocalBoards(reader, InlineCalls(), manual_clock, counters)
    driver = Driver(boards, manual_clock, counters, deadline_s=1.0)
    return Observer(Plan(agent_version="1", slow_interval_s=30.0), driver, manual_clock, counters)


def seconds(observer: Observer, clock: ManualClock, count: int) -> list[object]:
    records: list[object] = []
    for _ in range(count):
        records += records_of(observer.tick())
        clock.pass_s(1)
    return records


def test_instances_follow_their_board_in_the_inventory(reader: NvidiaReader) -> None:
    board, *instances, other = reader.open().accelerators
    assert (board.mig_enabled, other.mig_enabled) == (True, False)
    assert len(instances) == 7
    assert {entry.parent for entry in instances} == {board.uuid}
    assert {entry.index for entry in instances} == {board.index}
    assert {entry.mig_profile for entry in instances} == {"1g.10gb"}
    assert [entry.gpu_instance_id for entry in instances] == list(range(1, 8))
    assert {entry.compute_instance_id for entry in instances} == {0}
    assert {entry.memory_total_mebibytes for entry in instances} == {81559 // 8}
    assert len({entry.uuid for entry in (board, *instances, other)}) == 9


@pytest.mark.parametrize(
    ("count", "profile", "mebibytes"),
    [(7, "1g.10gb", 10194), (3, "2g.20gb", 20389), (2, "3g.40gb", 40779), (1, "7g.80gb", 81559)],
)
def test_a_board_is_cut_as_nvidia_cuts_it(
    host: SimulatedDriver, reader: NvidiaReader, count: int, profile: str, mebibytes: int
) -> None:
    host.set_mig(0, on=True, instances=count)
    instances = [entry for entry in reader.open().accelerators if entry.parent]
    told = {(entry.mig_profile, entry.memory_total_mebibytes) for entry in instances}
    assert (len(instances), told) == (count, {(profile, mebibytes)})


def test_an_instance_tells_its_memory_processes_and_activity_and_nothing_else(
    reader: NvidiaReader, manual_clock: ManualClock
) -> None:
    reader.open()
    manual_clock.pass_s(1)
    for group in Group:
        reading = reader.read(1, group)
        names = {metric.name for metric in CATALOGUE.group(group)}
        assert reading.status is ReaderStatus.WHOLE
        assert reading.values.keys() == OFFERED & names
        assert reading.unsupported == NOT_OFFERED & names
    first, second = (reader.read(position, Group.SLOW) for position in (1, 2))
    assert first.values["processes_count"] == 1
    assert len({process.pid for process in first.processes + second.processes}) == 2
    assert reader.read(0, Group.SLOW).processes == ()  # told once, by the instances


def test_the_board_goes_on_telling_what_is_the_boards(
    reader: NvidiaReader, manual_clock: ManualClock
) -> None:
    reader.open()
    manual_clock.pass_s(1)
    reading = reader.read(0, Group.FAST)
    assert "utilization_gpu_percent" in reading.unsupported
    assert {"power_milliwatts", "temperature_gpu_celsius"} <= reading.values.keys()
    assert reader.read(0, Group.SLOW).values["mig_enabled_flag"] == 1
    assert not reader.read(0, Group.SLOW).outdated


def test_gpm_is_sampled_of_the_instance(
    reader: NvidiaReader, host: SimulatedDriver, manual_clock: ManualClock
) -> None:
    reader.open()
    manual_clock.pass_s(1)
    host.set_failing(0, "nvmlGpmMigSampleGet", 999)
    assert reader.read(1, Group.FAST).failed.keys() == GPM.keys()
    assert not reader.read(0, Group.FAST).failed


def test_a_lost_board_takes_its_instances_with_it(
    reader: NvidiaReader, host: SimulatedDriver
) -> None:
    reader.open()
    host.lose(0)
    statuses = [reader.read(position, Group.FAST).status for position in range(9)]
    assert statuses == [ReaderStatus.LOST] * 8 + [ReaderStatus.WHOLE]


def test_f05_a_board_cut_anew_has_new_accelerators_and_the_old_ones_are_absent(
    observer: Observer, host: SimulatedDriver, manual_clock: ManualClock
) -> None:
    seconds(observer, manual_clock, 5)
    host.set_mig(0, on=True, instances=2)
    records = seconds(observer, manual_clock, 40)
    [inventory] = [record for record in records if isinstance(record, Inventory)]
    assert [bool(entry.parent) for entry in inventory.accelerators] == [False, True, True, False]
    assert not [record for record in records if isinstance(record, Event)]


def test_f05_mig_switched_on_and_off_is_seen_without_a_restart(
    observer: Observer, host: SimulatedDriver, manual_clock: ManualClock
) -> None:
    seconds(observer, manual_clock, 5)
    schedule(host, [Fault(at_s=10, until_s=100, kind="mig", gpu=1, value=3)])
    records = seconds(observer, manual_clock, 200)
    counts = [
        sum(bool(entry.parent) for entry in record.accelerators)
        for record in records
        if isinstance(record, Inventory)
    ]
    assert counts == [10, 7]
    assert not [record for record in records if isinstance(record, Event)]


def test_an_instance_that_is_gone_is_no_lost_gpu(
    reader: NvidiaReader, host: SimulatedDriver
) -> None:
    reader.open()
    host.set_mig(0, on=True, instances=7)
    reading = reader.read(3, Group.FAST)
    assert (reading.status, reading.outdated) == (ReaderStatus.PARTIAL, True)
    assert not reading.values


def test_an_xid_of_an_instance_belongs_to_its_board(
    reader: NvidiaReader, manual_clock: ManualClock
) -> None:
    accelerators = reader.open().accelerators
    settings = KernelLogSettings(kernel_log_path="", kernel_log_position_path="")
    witness = KernelLogWitness(settings, manual_clock, boot_id="b")
    witness.know(accelerators)
    line = b"4,1,1000000,-;NVRM: Xid (PCI:0000:1b:00 GPU-I:05): 43, pid=7, name=python3, Ch 8"
    [event] = witness.take([line])
    assert (event.kind, event.accelerator) == (EventKind.XID, accelerators[0].uuid)
    assert event.detail["gpu_instance"] == 5
