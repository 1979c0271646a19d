import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.accelerators import AcceleratorReading
from agent.accelerators.nvidia import NvidiaReader
from agent.accelerators.nvidia_events import KINDS, make_event
from agent.accelerators.nvidia_identity import uuid_bytes
from agent.accelerators.nvidia_sources import CALLS, FALLBACKS, FIELDS, GPM, OF_THE_AGENT
from agent.accelerators.nvidia_verdict import Verdict, translate, verdict
from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.library import function_names
from telemetry.catalogue import CATALOGUE
from telemetry.errors import DeviceLost, PermanentError, ReadError, RetryableError
from telemetry.metrics import Group
from telemetry.records import EventKind, ReaderStatus
from tests.fix_accelerators import Bind, MakeHost, ManualClock


@pytest.fixture
def host(make_gpu_host: MakeHost) -> SimulatedDriver:
    return make_gpu_host(gpus=3)


@pytest.fixture
def reader(host: SimulatedDriver, manual_clock: ManualClock, bind: Bind) -> NvidiaReader:
    reader = NvidiaReader(manual_clock, bind(host))
    reader.open()
    manual_clock.pass_s(1)
    return reader


def fast(reader: NvidiaReader, position: int = 0) -> AcceleratorReading:
    return reader.read(position, Group.FAST)


def test_each_metric_of_the_catalogue_has_a_source_in_its_own_group() -> None:
    for group in Group:
        sourced = [name for call in CALLS[group] for name in call.metrics] + list(FIELDS[group])
        sourced += GPM if group is Group.FAST else []
        names = {metric.name for metric in CATALOGUE.group(group)} - OF_THE_AGENT
        assert sorted(sourced) == sorted(names)
    assert FALLBACKS.keys() <= CATALOGUE.by_name.keys()


def test_sources_are_those_that_the_catalogue_names() -> None:
    for fields in FIELDS.values():
        for name, field in fields.items():
            assert CATALOGUE.by_name[name].source == f"field {field}"
    for name, (metric_id, _) in GPM.items():
        assert CATALOGUE.by_name[name].source == f"GPM {metric_id}"


def test_values_are_those_of_the_driver_in_the_units_of_the_catalogue(
    reader: NvidiaReader, host: SimulatedDriver
) -> None:
    values, physics = fast(reader).values, host.gpus[0].physics
    assert values["utilization_gpu_percent"] == 100
    assert values["utilization_memory_percent"] == 40
    assert values["memory_used_mebibytes"] == host.gpus[0].memory_used_mebibytes
    assert values["power_milliwatts"] == round(physics.power_average_watts * 1000)
    assert values["energy_millijoules"] == round(physics.energy_joules * 1000)
    assert values["temperature_gpu_celsius"] == round(physics.core_celsius)
    assert values["temperature_memory_celsius"] == round(physics.memory_celsius)
    assert values["dram_active_permille"] == 400
    assert values["clock_memory_megahertz"] == 2619


def test_rates_need_two_samples_some_time_apart(
    reader: NvidiaReader, manual_clock: ManualClock
) -> None:
    assert GPM.keys() <= fast(reader).values.keys()
    manual_clock.pass_s(0.05)
    soon = fast(reader)
    assert not GPM.keys() & (soon.values.keys() | soon.failed.keys() | soon.unsupported)
    manual_clock.pass_s(0.2)
    assert GPM.keys() <= fast(reader).values.keys()


def test_rates_after_a_loss_do_not_span_it(
    reader: NvidiaReader, host: SimulatedDriver, manual_clock: ManualClock
) -> None:
    fast(reader)
    host.lose(0)
    fast(reader)
    host.bring_back(0)
    manual_clock.pass_s(1)
    assert not GPM.keys() & fast(reader).values.keys()
    manual_clock.pass_s(1)
    assert GPM.keys() <= fast(reader).values.keys()


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
def test_garbage_is_a_failed_read_and_spoils_nothing_else(
    reader: NvidiaReader, host: SimulatedDriver, function: str, garbage: int, metric: str
) -> None:
    host.set_garbage(1, function, garbage)
    reading = fast(reader, 1)
    assert reading.status is ReaderStatus.PARTIAL
    assert "out of range" in reading.failed[metric]
    assert metric not in reading.values
    assert len(reading.values) >= 28
    assert fast(reader, 0).status is ReaderStatus.WHOLE


@pytest.mark.parametrize("function", ["nvmlDeviceGetClockInfo", "field 82"])
def test_a_failure_is_counted_and_passes(
    reader: NvidiaReader, host: SimulatedDriver, function: str
) -> None:
    host.set_failing(0, function, 999)
    failed = fast(reader)
    assert failed.status is ReaderStatus.PARTIAL
    assert failed.failed
    host.set_failing(0, function, 0)
    assert fast(reader).status is ReaderStatus.WHOLE


def test_what_is_not_supported_is_not_asked_again_until_the_reader_is_opened_anew(
    reader: NvidiaReader, host: SimulatedDriver
) -> None:
    host.set_unsupported(0, "nvmlDeviceGetUtilizationRates")
    host.set_unsupported(0, "field 82")
    both = {"utilization_gpu_percent", "temperature_memory_celsius"}
    reading = fast(reader)
    assert both <= reading.unsupported
    assert reading.status is ReaderStatus.WHOLE
    host.set_supported(0, "nvmlDeviceGetUtilizationRates")
    host.set_supported(0, "field 82")
    assert both <= fast(reader).unsupported
    reader.open()
    assert both <= fast(reader).values.keys()


@pytest.mark.parametrize(
    ("first", "metric"),
    [
        ("field 185", "power_milliwatts"),
        ("field 83", "energy_millijoules"),
        ("nvmlDeviceGetTemperatureV", "temperature_gpu_celsius"),
    ],
)
def test_a_second_source_steps_in_where_the_first_is_not_offered(
    reader: NvidiaReader, host: SimulatedDriver, first: str, metric: str
) -> None:
    expected = fast(reader).values[metric]
    host.set_unsupported(0, first)
    reading = fast(reader)
    assert reading.values[metric] == expected
    assert metric not in reading.unsupported


def test_where_neither_source_is_offered_the_metric_is_unsupported(
    reader: NvidiaReader, host: SimulatedDriver
) -> None:
    host.set_unsupported(0, "field 185")
    host.set_unsupported(0, "nvmlDeviceGetPowerUsage")
    for _ in range(2):
        reading = fast(reader)
        assert "power_milliwatts" in reading.unsupported
        assert reading.status is ReaderStatus.WHOLE
    host.set_supported(0, "nvmlDeviceGetPowerUsage")
    assert "power_milliwatts" in fast(reader).unsupported


def test_a_permission_that_is_missing_is_no_failure_of_each_tick(
    make_gpu_host: MakeHost, manual_clock: ManualClock, bind: Bind
) -> None:
    host = make_gpu_host(gpus=1)
    host.set_failing(0, "nvmlGpmSampleGet", 4)
    reader = NvidiaReader(manual_clock, bind(host))
    [entry] = reader.open().accelerators
    assert set(GPM) <= set(entry.unsupported)
    manual_clock.pass_s(1)
    assert fast(reader).status is ReaderStatus.WHOLE


def test_stale_fields_of_a_lost_board_are_not_taken_for_values(
    reader: NvidiaReader, host: SimulatedDriver
) -> None:
    host.gpus[0].lost = True
    reading = fast(reader)
    assert reading.status is ReaderStatus.LOST
    assert not reading.values


def test_a_board_lost_in_the_middle_of_a_reading_gives_no_half_reading(
    reader: NvidiaReader, host: SimulatedDriver
) -> None:
    host.set_failing(0, "nvmlDeviceGetClockInfo", 15)
    reading = fast(reader)
    assert (reading.status, reading.values) == (ReaderStatus.LOST, {})


def test_another_board_in_the_same_slot_is_not_taken_for_the_first(
    reader: NvidiaReader, host: SimulatedDriver, manual_clock: ManualClock
) -> None:
    before = fast(reader).uuid
    host.swap(0)
    assert (fast(reader).status, fast(reader).uuid) == (ReaderStatus.LOST, before)
    after = reader.open().accelerators[0].uuid
    manual_clock.pass_s(1)
    assert after != before
    assert fast(reader).uuid == after
    assert fast(reader).status is ReaderStatus.WHOLE


def test_a_board_that_is_lost_at_the_start_is_told_as_missing(
    make_gpu_host: MakeHost, manual_clock: ManualClock, bind: Bind
) -> None:
    host = make_gpu_host(gpus=3)
    host.lose(1)
    inspection = NvidiaReader(manual_clock, bind(host)).open()
    assert [entry.index for entry in inspection.accelerators] == [0, 2]
    assert inspection.missing == (1,)


@pytest.mark.parametrize("question", ["nvmlDeviceGetSerial", "nvmlDeviceGetPowerUsage"])
def test_a_board_that_is_lost_while_it_is_asked_who_it_is_is_missing(
    host: SimulatedDriver, reader: NvidiaReader, question: str
) -> None:
    host.set_unsupported(1, "field 185")
    host.set_failing(1, question, 15)
    assert reader.open().missing == (1,)


def test_an_identity_that_is_no_text_is_empty(host: SimulatedDriver, reader: NvidiaReader) -> None:
    host.set_garbage(0, "nvmlDeviceGetSerial", b"\xff" * 100)
    host.set_garbage(0, "nvmlDeviceGetVbiosVersion", b"96\x1b[31m\n.00")
    entry = reader.open().accelerators[0]
    assert entry.serial == ""
    assert entry.vbios_version == "96[31m.00"


def test_a_board_whose_uuid_is_no_text_is_not_read_as_another(
    host: SimulatedDriver, reader: NvidiaReader
) -> None:
    host.set_garbage(0, "nvmlDeviceGetUUID", b"\xff" * 96)
    assert fast(reader).status is ReaderStatus.LOST
    assert reader.open().missing == (0,)


FUNCTIONS = [name for name in function_names() if name.startswith("nvmlDeviceGet")]
FUNCTIONS += ["nvmlGpmSampleGet", *(f"field {n}" for f in FIELDS.values() for n in f.values())]
CODES = [*range(1, 31), 999]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(FUNCTIONS)), code=st.sampled_from(CODES))
def test_any_error_of_any_call_leaves_a_reading_of_each_board(
    reader: NvidiaReader, host: SimulatedDriver, name: str, code: int
) -> None:
    reader.open()
    host.set_failing(1, name, code)
    try:
        check_all(reader)
    finally:
        host.set_failing(1, name, 0)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(FUNCTIONS)),
    value=st.sampled_from([0, 255, 0xFFFF, 0xFFFFFFFF, 2**63, 2**64 - 1]) | st.integers(0, 2**64),
)
def test_any_number_from_any_call_is_a_valid_value_or_a_failure(
    reader: NvidiaReader, host: SimulatedDriver, name: str, value: int
) -> None:
    reader.open()
    host.set_garbage(1, name, value)
    try:
        check_all(reader)
    finally:
        host.set_garbage(1, name, None)


def check_all(reader: NvidiaReader) -> None:
    """Board 1 has a fault: what it tells must still be true, and board 2 must not care."""
    for group in Group:
        reading = reader.read(1, group)
        told = [*reading.values, *reading.unsupported, *reading.failed]
        assert len(told) == len(set(told))
        assert all(CATALOGUE.by_name[name].holds(value) for name, value in reading.values.items())
        assert bool(reading.failed) == (reading.status is ReaderStatus.PARTIAL)
        assert reader.read(2, group).status is ReaderStatus.WHOLE


def test_a_replaced_driver_is_told_by_each_board_and_stops_a_new_start(
    reader: NvidiaReader, host: SimulatedDriver
) -> None:
    host.set_mismatched()
    assert fast(reader).status is ReaderStatus.DRIVER_MISMATCH
    with pytest.raises(PermanentError):
        reader.open()


def test_no_driver_is_worth_another_try(manual_clock: ManualClock) -> None:
    class NoLibrary:
        class NVMLError(Exception):
            value = 12

        def nvmlInit(self) -> None:  # noqa: N802 - the binding's name
            raise self.NVMLError

    with pytest.raises(RetryableError):
        NvidiaReader(manual_clock, NoLibrary()).open()


def test_a_hung_board_leaves_the_others_readable(
    reader: NvidiaReader, host: SimulatedDriver
) -> None:
    host.hang(1)
    done = threading.Event()

    def read() -> None:
        fast(reader, 1)
        done.set()

    threading.Thread(target=read, daemon=True).start()
    assert fast(reader, 2).status is ReaderStatus.WHOLE
    assert not done.is_set()
    host.release()
    assert done.wait(10)


def test_events_go_on_when_a_board_is_lost_and_when_it_is_back(
    reader: NvidiaReader, host: SimulatedDriver, manual_clock: ManualClock
) -> None:
    host.lose(1)
    assert [event.code for event in reader.wait_events(0)] == [79]
    reader.wait_events(0)
    host.raise_xid(0, 13)
    assert [event.code for event in reader.wait_events(0)] == [13]
    host.bring_back(1)
    manual_clock.pass_s(11)
    reader.wait_events(0)
    host.raise_xid(1, 31)
    assert [event.code for event in reader.wait_events(0)] == [31]


def test_a_burst_of_events_arrives_in_order(reader: NvidiaReader, host: SimulatedDriver) -> None:
    for code in range(40):
        host.raise_xid(0, code)
    assert [event.code for event in reader.wait_events(1)] == list(range(40))


def test_a_double_bit_error_brings_its_xid_and_its_counts(
    reader: NvidiaReader, host: SimulatedDriver
) -> None:
    host.raise_double_bit_error(0)
    kinds = [event.kind for event in reader.wait_events(1)]
    assert kinds == [EventKind.ECC_UNCORRECTED, EventKind.XID]
    values = reader.read(0, Group.SLOW).values
    assert values["ecc_uncorrected_volatile_count"] == 1
    assert values["remap_pending_flag"] == 1
    assert values["recovery_action_code"] == 1


def test_a_closed_reader_has_no_events(reader: NvidiaReader) -> None:
    reader.close()
    with pytest.raises(ReadError):
        reader.wait_events(0)


def test_a_link_that_is_down_is_counted_out(reader: NvidiaReader, host: SimulatedDriver) -> None:
    host.set_nvlink(0, 3, up=False)
    assert reader.read(0, Group.SLOW).values["nvlink_active_links_count"] == 17


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


@given(st.text(max_size=60))
def test_any_identity_text_gives_16_bytes_and_always_the_same(text: str) -> None:
    assert len(uuid_bytes(text)) == 16
    assert uuid_bytes(text) == uuid_bytes(text)


def test_a_uuid_keeps_its_own_bytes() -> None:
    text = "GPU-00112233-4455-6677-8899-aabbccddeeff"
    assert uuid_bytes(text).hex() == "00112233445566778899aabbccddeeff"
    assert uuid_bytes(text.replace("GPU", "MIG")) == uuid_bytes(text)


@given(st.integers(1, 2000))
def test_each_error_code_has_one_verdict_and_one_error(code: int) -> None:
    class Error(Exception):
        value = code

    expected = {Verdict.LOST: DeviceLost, Verdict.MISMATCH: PermanentError}
    assert type(translate(Error())) is expected.get(verdict(code), ReadError)
