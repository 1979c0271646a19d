"""What a board says about its own health: memory, links, modes, each with its own verdict."""

import ctypes

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.accelerators import AcceleratorReading
from agent.accelerators.nvidia import NvidiaReader
from agent.accelerators.nvidia_links import BER_NONE, count_up, worst_exponent
from agent.accelerators.nvidia_sources import FIELDS, LINK_FIELDS
from simulator.nvml import profile
from simulator.nvml.driver import SimulatedDriver
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from telemetry.records import ReaderStatus
from tests.fix_accelerators import Bind, MakeHost, ManualClock

UNKNOWN = 999


def slow(reader: NvidiaReader, position: int = 0) -> AcceleratorReading:
    return reader.read(position, Group.SLOW)


@pytest.mark.parametrize(
    ("counter", "metric"),
    [
        ("sram_corrected", "sram_corrected_volatile_count"),
        ("sram_uncorrected", "sram_secded_aggregate_count"),
        ("sram_uncorrected", "sram_l2_aggregate_count"),
        ("rows_corrected", "remapped_rows_corrected_count"),
        ("rows_uncorrected", "remap_banks_high_count"),
        ("unrepairable_memory", "unrepairable_memory_flag"),
        ("channel_repair_pending", "channel_repair_pending_flag"),
        ("pcie_correctable", "pcie_correctable_errors_count"),
        ("pcie_naks_received", "pcie_naks_received_count"),
        ("pcie_receiver", "pcie_receiver_errors_count"),
        ("pcie_bad_tlps", "pcie_bad_tlps_count"),
        ("pcie_naks_sent", "pcie_naks_sent_count"),
        ("pcie_bad_dllps", "pcie_bad_dllps_count"),
        ("pcie_nonfatal", "pcie_nonfatal_errors_count"),
        ("pcie_fatal", "pcie_fatal_errors_count"),
        ("pcie_unsupported_requests", "pcie_unsupported_requests_count"),
        ("pcie_lcrc", "pcie_lcrc_errors_count"),
        ("nvlink_crc", "nvlink_crc_errors_count"),
        ("nvlink_replay", "nvlink_replay_errors_count"),
        ("nvlink_recovery", "nvlink_recovery_errors_count"),
    ],
)
def test_what_a_board_counts_is_read(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver, counter: str, metric: str
) -> None:
    before = slow(nvidia_reader, 1).values[metric]
    nvidia_host.add_to_counter(1, counter, 1)
    assert slow(nvidia_reader, 1).values[metric] == before + 1
    assert slow(nvidia_reader, 0).values[metric] == before


@pytest.mark.parametrize(
    ("counter", "metric"),
    [
        ("nvlink_receive", "nvlink_receive_errors_count"),
        ("nvlink_recovery_events", "nvlink_recovery_events_count"),
        ("nvlink_recovery_failures", "nvlink_recovery_failures_count"),
        ("nvlink_symbol", "nvlink_symbol_errors_count"),
        ("c2c_errors", "c2c_errors_count"),
        ("c2c_replays", "c2c_replays_count"),
    ],
)
def test_what_only_grace_blackwell_counts_is_read_there(
    make_gpu_host: MakeHost, manual_clock: ManualClock, bind: Bind, counter: str, metric: str
) -> None:
    host = make_gpu_host("gb200", gpus=1)
    host.add_to_counter(0, counter, 7)
    reader = NvidiaReader(manual_clock, bind(host))
    reader.open()
    assert slow(reader).values[metric] == 7


def test_the_two_generations_of_link_errors_are_told_apart(
    make_gpu_host: MakeHost, manual_clock: ManualClock, bind: Bind
) -> None:
    newer = {name for name, (field, _) in LINK_FIELDS.items() if field > 200}
    older = {name for name, (field, _) in LINK_FIELDS.items() if field in (161, 162, 163)}
    for board, offered, missing in (("h100", older, newer), ("b200", newer, older)):
        reader = NvidiaReader(manual_clock, bind(make_gpu_host(board, gpus=1)))
        reader.open()
        reading = slow(reader)
        assert offered <= reading.values.keys()
        assert missing <= reading.unsupported
        reader.close()


def test_a_bit_error_rate_is_that_of_the_worst_link(
    make_gpu_host: MakeHost, manual_clock: ManualClock, bind: Bind
) -> None:
    host = make_gpu_host("b200", gpus=1)
    reader = NvidiaReader(manual_clock, bind(host))
    reader.open()
    assert slow(reader).values["nvlink_symbol_ber_exponent_hundredths"] == 25_382
    host.gpus[0].counters.nvlink_bit_error_rate = 3 << 8 | 12  # 3e-12
    assert slow(reader).values["nvlink_symbol_ber_exponent_hundredths"] == 1152


def test_the_raw_rate_of_an_older_driver_comes_from_the_older_field(
    make_gpu_host: MakeHost, manual_clock: ManualClock, bind: Bind
) -> None:
    host = make_gpu_host("b200", gpus=1)
    host.set_unsupported(0, "field 293")
    reader = NvidiaReader(manual_clock, bind(host))
    reader.open()
    assert slow(reader).values["nvlink_raw_ber_exponent_hundredths"] == 25_382


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=36))
def test_any_answer_of_the_links_folds_into_the_range_of_the_catalogue(answers: list[int]) -> None:
    assert 0 <= worst_exponent(answers) <= BER_NONE
    assert 0 <= count_up(answers) <= len(answers)
    assert worst_exponent(answers) == min(worst_exponent([answer]) for answer in answers)


def test_links_that_are_up_are_counted_by_their_state(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    nvidia_host.set_nvlink(0, 3, up=False)
    nvidia_host.set_nvlink(0, 17, up=False)
    assert slow(nvidia_reader).values["nvlink_active_links_count"] == 16


@pytest.mark.parametrize("name", ["field 165", "field 163"])
def test_older_calls_step_in_where_the_links_have_no_fields(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver, name: str
) -> None:
    nvidia_host.set_nvlink(0, 3, up=False)
    nvidia_host.add_to_counter(0, "nvlink_crc", 5)
    nvidia_host.set_unsupported(0, name)
    values = slow(nvidia_reader).values
    assert (values["nvlink_active_links_count"], values["nvlink_crc_errors_count"]) == (17, 5)


def test_a_field_that_fails_spoils_its_own_metric_only(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    nvidia_host.set_failing(0, "field 163", UNKNOWN)
    nvidia_host.set_failing(0, "field 180", UNKNOWN)
    reading = slow(nvidia_reader)
    assert reading.failed.keys() == {"nvlink_crc_errors_count", "pcie_fatal_errors_count"}
    assert reading.status is ReaderStatus.PARTIAL
    assert "nvlink_replay_errors_count" in reading.values


@pytest.mark.parametrize("group", list(Group))
def test_all_fields_of_a_group_take_one_call(
    nvidia_reader: NvidiaReader, bind: Bind, nvidia_host: SimulatedDriver, group: Group
) -> None:
    nvml, asked = bind(nvidia_host), list[int]()
    library = nvml.nvmlLib
    original = library.nvmlDeviceGetFieldValues

    def counted(handle: object, count: ctypes.c_int32, values: object) -> int:
        asked.append(count.value)
        return int(original(handle, count, values))

    library.nvmlDeviceGetFieldValues = counted
    nvml._nvmlGetFunctionPointer_cache.clear()
    nvidia_reader.open()
    asked.clear()
    nvidia_reader.read(0, group)
    assert len(asked) == 1
    assert asked[0] >= len(FIELDS[group]) - 2  # Grace's two are not asked again


def test_a_board_lost_between_two_calls_leaves_no_stale_value(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    nvidia_host.lose(0)
    reading = slow(nvidia_reader)
    assert (reading.status, reading.values) == (ReaderStatus.LOST, {})


def test_the_store_of_the_board_is_checked_once_an_hour(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver, manual_clock: ManualClock
) -> None:
    assert slow(nvidia_reader).values["inforom_valid_flag"] == 1
    nvidia_host.add_to_counter(0, "inforom_corrupted", 1)
    manual_clock.pass_s(1800)
    assert slow(nvidia_reader).values["inforom_valid_flag"] == 1
    manual_clock.pass_s(1800)
    assert slow(nvidia_reader).values["inforom_valid_flag"] == 0


def test_a_store_that_cannot_be_checked_now_is_checked_again_next_time(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver, manual_clock: ManualClock
) -> None:
    manual_clock.pass_s(3600)
    nvidia_host.set_failing(0, "nvmlDeviceValidateInforom", UNKNOWN)
    assert "inforom_valid_flag" in slow(nvidia_reader).failed
    nvidia_host.set_failing(0, "nvmlDeviceValidateInforom", 0)
    assert slow(nvidia_reader).values["inforom_valid_flag"] == 1


def test_the_fabric_is_told_by_state_status_and_health(nvidia_reader: NvidiaReader) -> None:
    values = slow(nvidia_reader).values
    assert (values["fabric_state_code"], values["fabric_status_code"]) == (3, 0)
    assert values["fabric_health_code"] == 0


def test_pages_are_retired_on_boards_that_remap_no_rows(
    manual_clock: ManualClock, bind: Bind
) -> None:
    volta = msgspec.structs.replace(profile.load("a100"), absent=(), absent_fields=())
    reader = NvidiaReader(manual_clock, bind(SimulatedDriver([volta], manual_clock)))
    reader.open()
    values = slow(reader).values
    assert values["retired_pages_count"] == values["retired_pages_double_bit_count"] == 0
    assert values["retired_pages_pending_flag"] == 0


def test_only_a_board_in_a_chassis_has_a_place(
    make_gpu_host: MakeHost, manual_clock: ManualClock, bind: Bind
) -> None:
    found = {}
    for board in ("h100", "gb200"):
        reader = NvidiaReader(manual_clock, bind(make_gpu_host(board, gpus=1)))
        [found[board]] = reader.open().accelerators
        reader.close()
    assert (found["h100"].chassis_serial, found["h100"].slot_number) == ("", None)
    assert found["gb200"].chassis_serial
    rack = found["gb200"]
    assert (rack.slot_number, rack.tray_index, rack.platform_host_id) == (1, 0, 1)


def test_the_inventory_tells_thresholds_store_and_fabric(
    make_gpu_host: MakeHost, manual_clock: ManualClock, bind: Bind
) -> None:
    reader = NvidiaReader(manual_clock, bind(make_gpu_host("h100", gpus=1)))
    [entry] = reader.open().accelerators
    assert (entry.margin_shutdown_celsius, entry.margin_slowdown_celsius) == (-8, -2)
    assert (entry.margin_memory_max_celsius, entry.margin_gpu_max_celsius) == (0, 0)
    assert entry.inforom_version == "G520.0200.00.05"
    assert (entry.fabric_cluster, entry.fabric_clique_id) == (bytes(16), 0)


def test_the_processes_of_a_board_come_with_their_memory(
    nvidia_reader: NvidiaReader, nvidia_host: SimulatedDriver
) -> None:
    [process] = slow(nvidia_reader).processes
    board = nvidia_host.gpus[0]
    assert process.pid == board.processes[0].pid
    assert process.memory_mebibytes == board.memory_used_mebibytes
    assert nvidia_reader.read(0, Group.FAST).processes == ()
    nvidia_host.set_failing(0, "nvmlDeviceGetComputeRunningProcesses_v3", UNKNOWN)
    assert slow(nvidia_reader).processes == ()


def test_health_is_told_in_the_slow_group() -> None:
    assert all(CATALOGUE.by_name[name].group is Group.SLOW for name in LINK_FIELDS)
