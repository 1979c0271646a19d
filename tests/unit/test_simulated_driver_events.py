import ctypes
import threading

import msgspec
import pynvml
import pytest

from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.event_sets import EVENTS_QUEUED_MAX
from simulator.nvml.faults import BEGIN, Fault, begin, end, schedule
from tests.fix_accelerators import ManualClock

XID = 0x8


@pytest.fixture
def event_set(gpu_host: SimulatedDriver) -> object:
    pynvml.nvmlInit()
    created = pynvml.nvmlEventSetCreate()
    for slot in (0, 1):
        pynvml.nvmlDeviceRegisterEvents(pynvml.nvmlDeviceGetHandleByIndex(slot), XID, created)
    return created


def address(handle: object) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value  # type: ignore[arg-type]


def test_an_xid_names_its_board_and_code(gpu_host: SimulatedDriver, event_set: object) -> None:
    gpu_host.raise_xid(1, 94)
    event = pynvml.nvmlEventSetWait_v2(event_set, 0)
    assert (event.eventType, event.eventData) == (XID, 94)
    assert address(event.device) == address(pynvml.nvmlDeviceGetHandleByIndex(1))


def test_nothing_to_tell_is_a_timeout(gpu_host: SimulatedDriver, event_set: object) -> None:
    with pytest.raises(pynvml.NVMLError_Timeout):
        pynvml.nvmlEventSetWait_v2(event_set, 10)


def test_only_what_was_registered_is_told(gpu_host: SimulatedDriver, event_set: object) -> None:
    gpu_host.raise_xid(2, 94)
    gpu_host.raise_double_bit_error(0)
    assert pynvml.nvmlEventSetWait_v2(event_set, 0).eventData == 48
    with pytest.raises(pynvml.NVMLError_Timeout):
        pynvml.nvmlEventSetWait_v2(event_set, 0)


def test_an_event_type_that_the_board_does_not_know_is_refused(
    gpu_host: SimulatedDriver, event_set: object
) -> None:
    handle = pynvml.nvmlDeviceGetHandleByIndex(2)
    assert not pynvml.nvmlDeviceGetSupportedEventTypes(handle) & 0x8000
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceRegisterEvents(handle, XID | 0x8000, event_set)


def test_a_lost_board_spoils_the_wait_after_its_last_word(
    gpu_host: SimulatedDriver, event_set: object
) -> None:
    gpu_host.lose(1)
    assert pynvml.nvmlEventSetWait_v2(event_set, 0).eventData == 79
    with pytest.raises(pynvml.NVMLError_GpuIsLost):
        pynvml.nvmlEventSetWait_v2(event_set, 1000)


def test_a_waiting_thread_is_woken(gpu_host: SimulatedDriver, event_set: object) -> None:
    codes: list[int] = []
    waiter = threading.Thread(
        target=lambda: codes.append(pynvml.nvmlEventSetWait_v2(event_set, 20_000).eventData),
        daemon=True,
    )
    waiter.start()
    gpu_host.raise_xid(0, 31)
    waiter.join(10)
    assert codes == [31]


def test_an_event_set_that_nobody_reads_is_bounded(
    gpu_host: SimulatedDriver, event_set: object
) -> None:
    for code in range(EVENTS_QUEUED_MAX + 5):
        gpu_host.raise_xid(0, code)
    assert pynvml.nvmlEventSetWait_v2(event_set, 0).eventData == 5


def test_a_freed_event_set_is_gone(gpu_host: SimulatedDriver, event_set: object) -> None:
    pynvml.nvmlEventSetFree(event_set)
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        pynvml.nvmlEventSetWait_v2(event_set, 0)


def test_scheduled_faults_begin_and_end_on_time(
    gpu_host: SimulatedDriver, manual_clock: ManualClock
) -> None:
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(2)
    schedule(gpu_host, [Fault(at_s=10, until_s=20, kind="lost", gpu=2)])

    def is_lost() -> bool:
        try:
            pynvml.nvmlDeviceGetPowerUsage(handle)
        except pynvml.NVMLError_GpuIsLost:
            return True
        return False

    history = []
    for _ in range(5):
        history.append(is_lost())
        manual_clock.pass_s(6)
    assert history == [False, False, True, True, False]


def test_a_scheduled_xid_wakes_a_wait(gpu_host: SimulatedDriver, event_set: object) -> None:
    schedule(gpu_host, [Fault(at_s=0, kind="xid", gpu=0, value=119)])
    assert pynvml.nvmlEventSetWait_v2(event_set, 5000).eventData == 119


@pytest.mark.parametrize("kind", sorted(BEGIN))
def test_every_kind_of_fault_can_begin_and_end(gpu_host: SimulatedDriver, kind: str) -> None:
    named = {"name": "pcie_replays" if kind == "counter" else "nvmlDeviceGetPowerUsage"}
    fault = msgspec.convert({"at_s": 0, "kind": kind, "gpu": 1, "value": 5, **named}, Fault)
    begin(gpu_host, fault)
    end(gpu_host, fault)
    pynvml.nvmlInit()
    power = pynvml.nvmlDeviceGetPowerUsage(pynvml.nvmlDeviceGetHandleByIndex(1))
    assert 0 < power < 720_000


def test_a_counter_can_be_raised_and_a_flag_set(gpu_host: SimulatedDriver) -> None:
    begin(gpu_host, Fault(at_s=0, kind="counter", gpu=1, name="rows_uncorrected", value=3))
    begin(gpu_host, Fault(at_s=0, kind="counter", gpu=1, name="remap_failed"))
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(1)
    assert pynvml.nvmlDeviceGetRemappedRows(handle) == (0, 3, 0, 1)


def test_a_board_in_instances_does_not_tell_its_use(gpu_host: SimulatedDriver) -> None:
    begin(gpu_host, Fault(at_s=0, kind="mig", gpu=1))
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(1)
    assert pynvml.nvmlDeviceGetMigMode(handle)[0] == 1
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceGetUtilizationRates(handle)


def test_a_fault_with_an_unknown_word_in_it_is_refused() -> None:
    for raw in (
        {"at_s": 1, "kind": "fire"},
        {"at_s": 1, "kind": "xid", "gpus": 2},
        {"at_s": 1, "kind": "garbage"},
        {"at_s": 1, "kind": "counter", "name": "bugs"},
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(raw, Fault)
