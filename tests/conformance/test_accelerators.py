"""Every reader of the table, on every board that can stand behind it, keeps the contract."""

from collections.abc import Iterator

import pytest

from agent.accelerators import READERS, AcceleratorReader, Inspection, load_reader
from agent.accelerators.nvidia import NvidiaReader
from agent.accelerators.nvidia_sources import OF_THE_AGENT
from simulator.nvml import profile
from simulator.nvml.driver import SimulatedDriver
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from telemetry.records import ReaderStatus
from tests.fix_accelerators import Bind, MakeHost, ManualClock

GPUS = 4
CASES = [("nvidia", name) for name in profile.names()]


@pytest.fixture(params=CASES, ids="-".join)
def host(request: pytest.FixtureRequest, make_gpu_host: MakeHost) -> SimulatedDriver:
    _reader, board = request.param
    return make_gpu_host(board, gpus=GPUS, noise=1.0)


@pytest.fixture
def reader(
    host: SimulatedDriver,
    manual_clock: ManualClock,
    bind: Bind,
) -> Iterator[AcceleratorReader]:
    reader = NvidiaReader(manual_clock, bind(host))
    yield reader
    reader.close()


@pytest.fixture
def inspection(reader: AcceleratorReader, manual_clock: ManualClock) -> Inspection:
    found = reader.open()
    manual_clock.pass_s(1)
    return found


def test_every_reader_has_cases_here() -> None:
    assert {reader for reader, _ in CASES} == set(READERS)


@pytest.mark.parametrize("name", sorted(READERS))
def test_reader_is_found_by_its_name(name: str) -> None:
    wanted = {"open", "read", "wait_events", "close"}
    assert wanted <= set(dir(load_reader(name)))


def test_inventory_tells_boards_apart(inspection: Inspection) -> None:
    accelerators = inspection.accelerators
    assert [entry.index for entry in accelerators] == list(range(GPUS))
    assert len({entry.uuid for entry in accelerators}) == GPUS
    assert len({entry.serial for entry in accelerators}) == GPUS
    assert len({entry.pci_address for entry in accelerators}) == GPUS
    assert all(entry.model and entry.vbios_version for entry in accelerators)
    assert inspection.driver_version
    assert inspection.library_version


@pytest.mark.parametrize("group", list(Group))
def test_each_metric_of_a_group_is_a_value_or_not_offered(
    reader: AcceleratorReader, inspection: Inspection, group: Group
) -> None:
    names = {metric.name for metric in CATALOGUE.group(group)} - OF_THE_AGENT
    for position, entry in enumerate(inspection.accelerators):
        reading = reader.read(position, group)
        assert reading.uuid == entry.uuid
        assert reading.status is ReaderStatus.WHOLE
        assert not reading.failed
        assert reading.values.keys() | reading.unsupported == names
        assert not reading.values.keys() & reading.unsupported


def test_values_are_valid_by_the_catalogue(
    reader: AcceleratorReader, inspection: Inspection
) -> None:
    for group in Group:
        for name, value in reader.read(0, group).values.items():
            assert CATALOGUE.by_name[name].holds(value), name


def test_inventory_tells_what_is_not_offered(
    reader: AcceleratorReader, inspection: Inspection
) -> None:
    told = set(inspection.accelerators[1].unsupported)
    assert told == reader.read(1, Group.FAST).unsupported | reader.read(1, Group.SLOW).unsupported


def test_a_lost_board_hides_no_other(
    host: SimulatedDriver, reader: AcceleratorReader, inspection: Inspection
) -> None:
    host.lose(1)
    for group in Group:
        readings = [reader.read(position, group) for position in range(GPUS)]
        assert [reading.status for reading in readings] == [
            ReaderStatus.WHOLE,
            ReaderStatus.LOST,
            ReaderStatus.WHOLE,
            ReaderStatus.WHOLE,
        ]
        assert not readings[1].values


def test_a_board_that_comes_back_is_read_again(
    host: SimulatedDriver,
    reader: AcceleratorReader,
    inspection: Inspection,
    manual_clock: ManualClock,
) -> None:
    host.lose(1)
    assert reader.read(1, Group.FAST).status is ReaderStatus.LOST
    host.bring_back(1)
    manual_clock.pass_s(1)
    reading = reader.read(1, Group.FAST)
    assert reading.status is ReaderStatus.WHOLE
    assert "power_milliwatts" in reading.values


def test_counters_never_fall(
    reader: AcceleratorReader, inspection: Inspection, manual_clock: ManualClock
) -> None:
    counters = {metric.name for metric in CATALOGUE.metrics if metric.kind == "counter"}
    before: dict[str, int] = {}
    for _ in range(20):
        for group in Group:
            values = reader.read(0, group).values
            for name in counters & values.keys():
                assert values[name] >= before.get(name, 0), name
                before[name] = values[name]
        manual_clock.pass_s(30)


def test_an_xid_arrives_as_an_event_of_its_board(
    host: SimulatedDriver, reader: AcceleratorReader, inspection: Inspection
) -> None:
    host.raise_xid(2, 94)
    [event] = reader.wait_events(1.0)
    assert (event.kind, event.code) == ("xid", 94)
    assert event.accelerator == inspection.accelerators[2].uuid


def test_no_event_is_an_empty_answer(reader: AcceleratorReader, inspection: Inspection) -> None:
    assert reader.wait_events(0.0) == []


def test_it_can_be_closed_twice_and_opened_again(
    reader: AcceleratorReader, inspection: Inspection
) -> None:
    reader.close()
    reader.close()
    again = reader.open()
    assert [entry.uuid for entry in again.accelerators] == [
        entry.uuid for entry in inspection.accelerators
    ]
