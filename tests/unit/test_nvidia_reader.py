import ctypes
import threading

import msgspec
import pynvml
import pytest

from agent.accelerators import AcceleratorReading, nvidia_fields, nvidia_gpm
from agent.accelerators.nvidia import NvidiaReader
from agent.accelerators.nvidia_direct import DIRECT
from agent.accelerators.nvidia_sources import (
    CALLS,
    FALLBACKS,
    FIELDS,
    GPM,
    HOURLY,
    LINK_FIELDS,
    OF_THE_AGENT,
)
from simulator.nvml import profile
from simulator.nvml.driver import SimulatedDriver
from telemetry.catalogue import CATALOGUE
from telemetry.errors import PermanentError, RetryableError
from telemetry.metrics import Group
from telemetry.records import ReaderStatus
from tests.fix_accelerators import Bind, ManualClock


def fast(nvidia_reader: NvidiaReader, position: int = 0) -> AcceleratorReading:
    return nvidia_reader.read(position, Group.FAST)


def test_each_metric_of_the_catalogue_has_a_source_in_its_own_group() -> None:
    for group in Group:
        calls = DIRECT if group is Group.FAST else CALLS
        sourced = [name for call in calls for name in call.metrics] + list(FIELDS[group])
        sourced += GPM if group is Group.FAST else list(LINK_FIELDS)
        sourced += [n for call in HOURLY for n in call.metrics] if group is Group.SLOW else []
        names = {metric.name for metric in CATALOGUE.group(group)} - OF_THE_AGENT
        assert sorted(sourced) == sorted(names)
    assert FALLBACKS.keys() <= CATALOGUE.by_name.keys()


def test_sources_are_those_that_the_catalogue_names() -> None:
    for fields in FIELDS.values():
        for name, field in fields.items():
            assert CATALOGUE.by_name[name].source == f"field {field}"
    for name, (link_field, _) in LINK_FIELDS.items():
        assert CATALOGUE.by_name[name].source == f"field {link_field}, each link"
    for name, (metric_id, _) in GPM.items():
        assert CATALOGUE.by_name[name].source == f"GPM {metric_id}"


def test_values_are_those_of_the_driver_in_the_units_of_the_catalogue(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    values, physics = fast(nvidia_reader).values, nvidia_host.gpus[0].physics
    assert values["utilization_gpu_percent"] == 100
    assert values["utilization_memory_percent"] == 40
    assert values["memory_used_mebibytes"] == nvidia_host.gpus[0].memory_used_mebibytes
    assert values["power_milliwatts"] == round(physics.power_average_watts * 1000)
    assert values["energy_millijoules"] == round(physics.energy_joules * 1000)
    assert values["temperature_gpu_celsius"] == round(physics.core_celsius)
    assert values["temperature_memory_celsius"] == round(physics.memory_celsius)
    assert values["dram_active_permille"] == 400
    assert values["clock_memory_megahertz"] == 2619


def test_rates_need_two_samples_some_time_apart(
    nvidia_reader: NvidiaReader, manual_clock: ManualClock
) -> None:
    assert GPM.keys() <= fast(nvidia_reader).values.keys()
    manual_clock.pass_s(0.05)
    soon = fast(nvidia_reader)
    assert not GPM.keys() & (soon.values.keys() | soon.failed.keys() | soon.unsupported)
    manual_clock.pass_s(0.2)
    assert GPM.keys() <= fast(nvidia_reader).values.keys()


def test_rates_after_a_loss_do_not_span_it(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver, manual_clock: ManualClock
) -> None:
    fast(nvidia_reader)
    nvidia_host.lose(0)
    fast(nvidia_reader)
    nvidia_host.bring_back(0)
    manual_clock.pass_s(1)
    assert not GPM.keys() & fast(nvidia_reader).values.keys()
    manual_clock.pass_s(1)
    assert GPM.keys() <= fast(nvidia_reader).values.keys()


@pytest.mark.parametrize(
    ("function", "garbage", "metric"),
    [
        ("nvmlDeviceGetUtilizationRates", 255, "utilization_gpu_percent"),
        ("nvmlDeviceGetTemperatureV", 255, "temperature_gpu_celsius"),
        ("nvmlDeviceGetMemoryInfo_v2", 2**64 - 1, "memory_used_mebibytes"),
        ("field 185", 0xFFFFFFFF, "power_milliwatts"),
        ("field 186", 4_000_001, "power_instant_milliwatts"),
        ("field 82", 0xFFFFFFFF, "temperature_memory_celsius"),
    ],
)
def test_f05_garbage_is_a_failed_read_and_spoils_nothing_else(
    nvidia_reader: NvidiaReader,
    nvidia_host: SimulatedDriver,
    function: str,
    garbage: int,
    metric: str,
) -> None:
    nvidia_host.set_garbage(1, function, garbage)
    reading = fast(nvidia_reader, 1)
    assert reading.status is ReaderStatus.PARTIAL
    assert "out of range" in reading.failed[metric]
    assert metric not in reading.values
    assert len(reading.values) >= 28
    assert fast(nvidia_reader, 0).status is ReaderStatus.WHOLE


@pytest.mark.parametrize("function", ["nvmlDeviceGetClockInfo", "field 82"])
def test_a_failure_is_counted_and_passes(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver, function: str
) -> None:
    nvidia_host.set_failing(0, function, 999)
    failed = fast(nvidia_reader)
    assert failed.status is ReaderStatus.PARTIAL
    assert failed.failed
    nvidia_host.set_failing(0, function, 0)
    assert fast(nvidia_reader).status is ReaderStatus.WHOLE


def test_what_is_not_supported_is_not_asked_again_until_the_reader_is_opened_anew(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    nvidia_host.set_unsupported(0, "nvmlDeviceGetUtilizationRates")
    nvidia_host.set_unsupported(0, "field 82")
    both = {"utilization_gpu_percent", "temperature_memory_celsius"}
    reading = fast(nvidia_reader)
    assert both <= reading.unsupported
    assert reading.status is ReaderStatus.WHOLE
    nvidia_host.set_supported(0, "nvmlDeviceGetUtilizationRates")
    nvidia_host.set_supported(0, "field 82")
    assert both <= fast(nvidia_reader).unsupported
    nvidia_reader.open()
    assert both <= fast(nvidia_reader).values.keys()


@pytest.mark.parametrize(
    ("first", "metric"),
    [
        ("field 185", "power_milliwatts"),
        ("field 83", "energy_millijoules"),
        ("nvmlDeviceGetTemperatureV", "temperature_gpu_celsius"),
    ],
)
def test_a_second_source_steps_in_where_the_first_is_not_offered(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver, first: str, metric: str
) -> None:
    expected = fast(nvidia_reader).values[metric]
    nvidia_host.set_unsupported(0, first)
    reading = fast(nvidia_reader)
    assert reading.values[metric] == expected
    assert metric not in reading.unsupported


def test_where_neither_source_is_offered_the_metric_is_unsupported(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    nvidia_host.set_unsupported(0, "field 185")
    nvidia_host.set_unsupported(0, "nvmlDeviceGetPowerUsage")
    for _ in range(2):
        reading = fast(nvidia_reader)
        assert "power_milliwatts" in reading.unsupported
        assert reading.status is ReaderStatus.WHOLE
    nvidia_host.set_supported(0, "nvmlDeviceGetPowerUsage")
    assert "power_milliwatts" in fast(nvidia_reader).unsupported


def test_a_permission_that_is_missing_is_no_failure_of_each_tick(
    nvidia_host: SimulatedDriver, nvidia_reader: NvidiaReader, manual_clock: ManualClock
) -> None:
    nvidia_host.set_failing(0, "nvmlGpmSampleGet", 4)
    entry = nvidia_reader.open().accelerators[0]
    assert set(GPM) <= set(entry.unsupported)
    manual_clock.pass_s(1)
    assert fast(nvidia_reader).status is ReaderStatus.WHOLE


def test_f01_stale_fields_of_a_lost_board_are_not_taken_for_values(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    nvidia_host.lose(0, xid=None)
    reading = fast(nvidia_reader)
    assert reading.status is ReaderStatus.LOST
    assert not reading.values


def test_an_absurd_count_is_a_failed_read(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    nvidia_host.set_garbage(0, "nvmlDeviceGetComputeRunningProcesses_v3", 255)
    reading = nvidia_reader.read(0, Group.SLOW)
    assert list(reading.failed) == ["processes_count"]
    assert "absurd" in reading.failed["processes_count"]


@pytest.mark.parametrize("code", [15, 28])
def test_a_board_lost_in_the_middle_of_a_reading_gives_no_half_reading(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver, code: int
) -> None:
    nvidia_host.set_failing(0, "nvmlDeviceGetClockInfo", code)
    reading = fast(nvidia_reader)
    assert (reading.status, reading.values) == (ReaderStatus.LOST, {})


def test_f05_another_board_in_the_same_slot_is_not_taken_for_the_first(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver, manual_clock: ManualClock
) -> None:
    before = fast(nvidia_reader).uuid
    nvidia_host.swap(0)
    assert (fast(nvidia_reader).status, fast(nvidia_reader).uuid) == (ReaderStatus.LOST, before)
    after = nvidia_reader.open().accelerators[0].uuid
    manual_clock.pass_s(1)
    assert after != before
    assert fast(nvidia_reader).uuid == after
    assert fast(nvidia_reader).status is ReaderStatus.WHOLE


def test_a_board_that_is_lost_at_the_start_is_told_as_missing(
    nvidia_host: SimulatedDriver, nvidia_reader: NvidiaReader
) -> None:
    nvidia_host.lose(1)
    inspection = nvidia_reader.open()
    assert [entry.index for entry in inspection.accelerators] == [0, 2]
    assert inspection.missing == (1,)


@pytest.mark.parametrize("code", [9, 17, 999])
def test_a_driver_that_is_not_there_for_now_is_worth_another_try(
    nvidia_host: SimulatedDriver, nvidia_reader: NvidiaReader, code: int
) -> None:
    nvidia_host.refuse_all(code)
    with pytest.raises(RetryableError):
        nvidia_reader.open()
    nvidia_host.refuse_all(0)
    assert len(nvidia_reader.open().accelerators) == 3


@pytest.mark.parametrize("question", ["nvmlDeviceGetSerial", "nvmlDeviceGetPowerUsage"])
def test_a_board_that_is_lost_while_it_is_asked_who_it_is_is_missing(
    nvidia_host: SimulatedDriver, nvidia_reader: NvidiaReader, question: str
) -> None:
    nvidia_host.set_unsupported(1, "field 185")
    nvidia_host.set_failing(1, question, 15)
    assert nvidia_reader.open().missing == (1,)


def test_an_identity_that_is_no_text_is_empty(
    nvidia_host: SimulatedDriver, nvidia_reader: NvidiaReader
) -> None:
    nvidia_host.set_garbage(0, "nvmlDeviceGetSerial", b"\xff" * 100)
    nvidia_host.set_garbage(0, "nvmlDeviceGetVbiosVersion", b"96\x1b[31m\n.00")
    entry = nvidia_reader.open().accelerators[0]
    assert entry.serial == ""
    assert entry.vbios_version == "96[31m.00"


def test_a_board_whose_uuid_is_no_text_is_not_read_as_another(
    nvidia_host: SimulatedDriver, nvidia_reader: NvidiaReader
) -> None:
    nvidia_host.set_garbage(0, "nvmlDeviceGetUUID", b"\xff" * 96)
    assert fast(nvidia_reader).status is ReaderStatus.LOST
    assert nvidia_reader.open().missing == (0,)


def test_f04_a_replaced_driver_is_told_by_each_board_and_stops_a_new_start(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    nvidia_host.refuse_all(18)
    assert fast(nvidia_reader).status is ReaderStatus.DRIVER_MISMATCH
    with pytest.raises(PermanentError):
        nvidia_reader.open()


def test_no_driver_is_worth_another_try(manual_clock: ManualClock) -> None:
    class NoLibrary:
        class NVMLError(Exception):
            value = 12

        def nvmlInit(self) -> None:  # noqa: N802 - the binding's name
            raise self.NVMLError

    with pytest.raises(RetryableError):
        NvidiaReader(manual_clock, NoLibrary()).open()


def test_f02_a_hung_board_leaves_the_others_readable(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    nvidia_host.hang(1)
    done = threading.Event()

    def read() -> None:
        fast(nvidia_reader, 1)
        done.set()

    threading.Thread(target=read, daemon=True).start()
    assert fast(nvidia_reader, 2).status is ReaderStatus.WHOLE
    assert not done.is_set()
    nvidia_host.release()
    assert done.wait(10)


def test_a_board_that_hangs_in_profiling_costs_the_others_their_rates_alone(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    nvidia_host.hang(1, "nvmlGpmSampleGet")
    hung = threading.Thread(target=fast, args=(nvidia_reader, 1), daemon=True)
    hung.start()
    while not nvidia_reader._gpm_turn.locked():
        hung.join(0.001)
    reading = fast(nvidia_reader, 2)
    assert reading.failed.keys() == GPM.keys()
    assert reading.values["utilization_gpu_percent"] == 100
    nvidia_host.release()
    hung.join(10)
    assert fast(nvidia_reader, 2).status is ReaderStatus.WHOLE


def test_an_older_driver_that_lacks_functions_is_read_as_far_as_it_goes(
    manual_clock: ManualClock, bind: Bind
) -> None:
    lacking = ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetMarginTemperature")
    older = msgspec.structs.replace(profile.load("h100"), missing=lacking)
    reader = NvidiaReader(manual_clock, bind(SimulatedDriver([older], manual_clock)))
    told = set(reader.open().accelerators[0].unsupported)
    assert "temperature_margin_celsius" in told
    assert {CATALOGUE.by_name[name].group for name in told - {"temperature_margin_celsius"}} == {
        Group.SLOW
    }
    reading = fast(reader)
    assert reading.status is ReaderStatus.WHOLE
    assert "temperature_gpu_celsius" in reading.values


def test_a_link_that_is_down_is_counted_out(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    nvidia_host.set_nvlink(0, 3, up=False)
    assert nvidia_reader.read(0, Group.SLOW).values["nvlink_active_links_count"] == 17


def test_the_layouts_that_are_read_as_bytes_are_those_of_the_binding() -> None:
    assert nvidia_gpm.ENTRY.size == ctypes.sizeof(pynvml.c_nvmlGpmMetric_t)
    metric = pynvml.c_nvmlGpmMetric_t(metricId=1, nvmlReturn=2, value=3.5)
    assert nvidia_gpm.ENTRY.unpack(bytes(metric)) == (2, 3.5)
    assert nvidia_fields.ENTRY.size == ctypes.sizeof(pynvml.c_nvmlFieldValue_t)
    field = pynvml.c_nvmlFieldValue_t(fieldId=1, scopeId=2, valueType=5, nvmlReturn=6)
    field.value.siVal = -7
    kind, code, union = nvidia_fields.ENTRY.unpack(bytes(field))
    assert (kind, code, nvidia_fields.VALUES[kind].unpack_from(union)) == (5, 6, (-7,))


def test_f03_a_board_that_hangs_in_the_first_opening_is_missing_and_the_others_are_read(
    nvidia_host: SimulatedDriver, bind: Bind, manual_clock: ManualClock
) -> None:
    reader = NvidiaReader(manual_clock, bind(nvidia_host), open_deadline_s=1.0)
    nvidia_host.hang(1)
    inspection = reader.open()
    assert [entry.index for entry in inspection.accelerators] == [0, 2]
    assert inspection.missing == (1,)
    manual_clock.pass_s(1)
    for position in range(2):
        assert fast(reader, position).status is ReaderStatus.WHOLE
    nvidia_host.release()
    assert [entry.index for entry in reader.open().accelerators] == [0, 1, 2]
