import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.accelerators.nvidia import NvidiaReader
from agent.accelerators.nvidia_events import KINDS, make_event
from simulator.nvml.driver import SimulatedDriver
from telemetry.errors import ReadError
from telemetry.metrics import Group
from telemetry.records import EventKind
from tests.fix_accelerators import ManualClock


def test_events_go_on_when_a_board_is_lost_and_when_it_is_back(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver, manual_clock: ManualClock
) -> None:
    nvidia_host.lose(1)
    assert [event.code for event in nvidia_reader.wait_events(0)] == [79]
    nvidia_reader.wait_events(0)
    nvidia_host.raise_xid(0, 13)
    assert [event.code for event in nvidia_reader.wait_events(0)] == [13]
    nvidia_host.bring_back(1)
    manual_clock.pass_s(11)
    nvidia_reader.wait_events(0)
    nvidia_host.raise_xid(1, 31)
    assert [event.code for event in nvidia_reader.wait_events(0)] == [31]


def test_a_burst_of_events_arrives_in_order(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    for code in range(40):
        nvidia_host.raise_xid(0, code)
    assert [event.code for event in nvidia_reader.wait_events(1)] == list(range(40))


def test_a_double_bit_error_brings_its_xid_and_its_counts(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    nvidia_host.raise_double_bit_error(0)
    kinds = [event.kind for event in nvidia_reader.wait_events(1)]
    assert kinds == [EventKind.ECC_UNCORRECTED, EventKind.XID]
    values = nvidia_reader.read(0, Group.SLOW).values
    assert values["ecc_uncorrected_volatile_count"] == 1
    assert values["remap_pending_flag"] == 1
    assert values["recovery_action_code"] == 1


def test_a_closed_reader_has_no_events(nvidia_reader: NvidiaReader) -> None:
    nvidia_reader.close()
    with pytest.raises(ReadError):
        nvidia_reader.wait_events(0)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**62), st.integers(0, 2**32 - 1))
def test_any_event_of_the_driver_is_a_record_or_nothing(
    event_type: int, data: int, instance: int
) -> None:
    event = make_event(event_type, data, (instance, instance), bytes(16), 1)
    assert (event is None) == (event_type not in KINDS)


@pytest.mark.parametrize("event_type", sorted(KINDS))
def test_each_event_type_has_a_kind_and_xids_and_actions_a_code(event_type: int) -> None:
    event = make_event(event_type, 5, (1, 0xFFFFFFFF), bytes(16), 1)
    assert event is not None
    assert event.detail["gpu_instance"] == 1
    assert "compute_instance" not in event.detail
    assert event.code == (5 if event.kind in ("xid", "recovery_action") else None)
