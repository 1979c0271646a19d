"""The simulated boards say what nvidia-smi said on real ones: values, limits, and what is absent.

How captures are read, and the hosts that are held against them, stand in `tests/fix_captures.py`.
"""

import re
from typing import Any

import pynvml
import pytest

from agent.accelerators.nvidia import NvidiaReader
from simulator.nvml import library, profile
from simulator.nvml.load import IDLE, ConstantLoad, Load
from telemetry.metrics import Group
from tests.fix_accelerators import ManualClock
from tests.fix_captures import (
    BOARDS,
    RECORDED,
    Capture,
    Host,
    number,
    read_capture,
    read_recorded,
)

ABSENT = {"N/A", "[N/A]", "Requested functionality has been deprecated"}


@pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded data at ../shared/data/nvidia-smi")
@pytest.mark.parametrize("board", sorted(BOARDS))
def test_the_figures_kept_here_are_those_of_the_capture(board: str) -> None:
    assert read_capture(board) == read_recorded(board)


def field(host: Host, field_id: int, scope: int = 0) -> Any:
    [entry] = pynvml.nvmlDeviceGetFieldValues(host.handle, [(field_id, scope)])
    return entry


def signed_field(host: Host, field_id: int) -> int:
    entry = field(host, field_id)
    assert (entry.nvmlReturn, entry.valueType) == (0, pynvml.NVML_VALUE_TYPE_SIGNED_INT)
    return int(entry.value.siVal)


def test_identity_texts(capture: Capture, idle: Host) -> None:
    said, handle = capture.idle, idle.handle
    assert pynvml.nvmlDeviceGetName(handle) == said["Product Name"]
    assert pynvml.nvmlDeviceGetVbiosVersion(handle) == said["VBIOS Version"]
    assert pynvml.nvmlDeviceGetBoardPartNumber(handle) == said["Board Part Number"]
    inforom = pynvml.nvmlDeviceGetInforomImageVersion(handle)
    assert inforom == said["Inforom Version/Image Version"]
    assert pynvml.nvmlSystemGetDriverVersion() == said["Driver Version"]
    cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
    assert f"{cuda // 1000}.{cuda % 1000 // 10}" == said["CUDA Version"]


def test_identity_has_the_shape_of_the_masked_one(capture: Capture, idle: Host) -> None:
    mask = re.sub("0", "[0-9a-f]", capture.idle["GPU UUID"])
    assert re.fullmatch(mask, pynvml.nvmlDeviceGetUUID(idle.handle))
    serial = pynvml.nvmlDeviceGetSerial(idle.handle)
    assert serial.isdigit()
    assert len(serial) == len(capture.idle["Serial Number"])


def test_pci_identity(capture: Capture, idle: Host) -> None:
    info = pynvml.nvmlDeviceGetPciInfo_v3(idle.handle)
    assert f"0x{info.pciDeviceId:08X}" == capture.idle["PCI/Device Id"]
    assert f"0x{info.pciSubSystemId:08X}" == capture.idle["PCI/Sub System Id"]
    assert re.fullmatch(r"[0-9A-F]{8}:[0-9A-F]{2}:[0-9A-F]{2}\.0", info.busId)
    assert re.fullmatch(r"[0-9A-F]{8}:[0-9A-F]{2}:[0-9A-F]{2}\.0", capture.idle["PCI/Bus Id"])


def test_modes(capture: Capture, idle: Host) -> None:
    words = {0: "Disabled", 1: "Enabled"}
    said, handle = capture.idle, idle.handle
    assert words[pynvml.nvmlDeviceGetPersistenceMode(handle)] == said["Persistence Mode"]
    assert words[pynvml.nvmlDeviceGetMigMode(handle)[0]] == said["MIG Mode/Current"]
    assert words[pynvml.nvmlDeviceGetEccMode(handle)[0]] == said["ECC Mode/Current"]
    assert pynvml.nvmlDeviceGetBrand(handle) == pynvml.NVML_BRAND_NVIDIA
    assert pynvml.nvmlDeviceGetArchitecture(handle) == pynvml.NVML_DEVICE_ARCH_HOPPER


def test_memory_sizes(capture: Capture, idle: Host) -> None:
    said = capture.idle
    memory = pynvml.nvmlDeviceGetMemoryInfo(idle.handle, pynvml.nvmlMemory_v2)
    for name in ("Total", "Reserved", "Used", "Free"):
        # The capture rounds each of the four up on its own.
        mebibytes = getattr(memory, name.lower()) / 2**20
        assert mebibytes == pytest.approx(number(said[f"FB Memory Usage/{name}"]), abs=1), name
    bar1 = pynvml.nvmlDeviceGetBAR1MemoryInfo(idle.handle)
    assert bar1.bar1Total / 2**20 == number(said["BAR1 Memory Usage/Total"])
    assert bar1.bar1Used / 2**20 == number(said["BAR1 Memory Usage/Used"])


def test_power_limits(capture: Capture, idle: Host) -> None:
    said = {key: number(value) * 1000 for key, value in power_lines(capture.idle).items()}
    handle = idle.handle
    assert pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) == said["Current Power Limit"]
    assert pynvml.nvmlDeviceGetPowerManagementLimit(handle) == said["Requested Power Limit"]
    assert pynvml.nvmlDeviceGetPowerManagementDefaultLimit(handle) == said["Default Power Limit"]
    limits = pynvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)
    assert limits == [said["Min Power Limit"], said["Max Power Limit"]]


def power_lines(said: dict[str, str]) -> dict[str, str]:
    prefix = "GPU Power Readings/"
    return {key.removeprefix(prefix): said[key] for key in said if key.startswith(prefix)}


@pytest.mark.parametrize(
    ("field_id", "line"),
    [
        (193, "GPU Shutdown T.Limit Temp"),
        (194, "GPU Slowdown T.Limit Temp"),
        (195, "Memory Max Operating T.Limit Temp"),
        (196, "GPU Max Operating T.Limit Temp"),
    ],
)
def test_temperature_limits(capture: Capture, idle: Host, field_id: int, line: str) -> None:
    assert signed_field(idle, field_id) == number(capture.idle[f"Temperature/{line}"])


def test_links(capture: Capture, idle: Host) -> None:
    said, handle = capture.idle, idle.handle
    generation, width = "PCI/GPU Link Info/PCIe Generation", "PCI/GPU Link Info/Link Width"
    assert pynvml.nvmlDeviceGetMaxPcieLinkGeneration(handle) == number(said[f"{generation}/Max"])
    current = pynvml.nvmlDeviceGetCurrPcieLinkGeneration(handle)
    assert current == number(said[f"{generation}/Current"])
    assert pynvml.nvmlDeviceGetMaxPcieLinkWidth(handle) == number(said[f"{width}/Max"])
    assert pynvml.nvmlDeviceGetCurrPcieLinkWidth(handle) == number(said[f"{width}/Current"])
    for line, counter in (("Tx", 0), ("Rx", 1)):
        expected = number(said[f"PCI/{line} Throughput"])
        assert pynvml.nvmlDeviceGetPcieThroughput(handle, counter) == expected


def test_fabric(capture: Capture, idle: Host) -> None:
    info = pynvml.c_nvmlGpuFabricInfo_v3_t()
    pynvml.nvmlDeviceGetGpuFabricInfoV(idle.handle, pynvml.byref(info))
    assert capture.idle["Fabric/State"] == "Completed"
    assert info.state == pynvml.NVML_GPU_FABRIC_STATE_COMPLETED
    assert (capture.idle["Fabric/Status"], info.status) == ("Success", 0)
    assert info.cliqueId == number(capture.idle["Fabric/CliqueId"])
    assert capture.idle["Fabric/Health/Summary"] in ABSENT
    assert (info.healthMask, info.healthSummary) == (0, 0)


def test_clocks_of_an_idle_board(capture: Capture, idle: Host) -> None:
    check_clocks(capture.idle, idle.handle)
    assert capture.idle["Clocks Event Reasons/Idle"] == "Active"
    assert pynvml.nvmlDeviceGetCurrentClocksEventReasons(idle.handle) == 1
    assert pynvml.nvmlDeviceGetSupportedClocksEventReasons(idle.handle) == 0x1FF


def test_clocks_of_a_busy_board(capture: Capture, busy: Host) -> None:
    check_clocks(capture.busy, busy.handle)
    assert capture.busy["Clocks Event Reasons/Idle"] == "Not Active"
    assert pynvml.nvmlDeviceGetCurrentClocksEventReasons(busy.handle) == 0


def check_clocks(said: dict[str, str], handle: Any) -> None:
    for kind, line in enumerate(("Graphics", "SM", "Memory", "Video")):
        assert pynvml.nvmlDeviceGetClockInfo(handle, kind) == number(said[f"Clocks/{line}"]), line
        maximum = pynvml.nvmlDeviceGetMaxClockInfo(handle, kind)
        assert maximum == number(said[f"Max Clocks/{line}"]), line
    assert f"P{pynvml.nvmlDeviceGetPerformanceState(handle)}" == said["Performance State"]


def test_power_and_heat_of_an_idle_board(capture: Capture, idle: Host) -> None:
    said, handle = capture.idle, idle.handle
    power = power_lines(said)
    average = number(power["Average Power Draw"]) * 1000
    assert pynvml.nvmlDeviceGetPowerUsage(handle) == pytest.approx(average, abs=500)
    assert field(idle, 185).value.uiVal == pytest.approx(average, abs=500)
    instant = number(power["Instantaneous Power Draw"]) * 1000
    assert field(idle, 186).value.uiVal == pytest.approx(instant, abs=500)
    memory = number(said["GPU Memory Power Readings/Average Power Draw"]) * 1000
    assert field(idle, 185, pynvml.NVML_POWER_SCOPE_MEMORY).value.uiVal == memory
    core = pynvml.nvmlDeviceGetTemperatureV(handle, pynvml.NVML_TEMPERATURE_GPU)
    assert core == number(said["Temperature/GPU Current Temp"])
    margin = pynvml.nvmlDeviceGetMarginTemperature(handle)
    assert margin == number(said["Temperature/GPU T.Limit Temp"])
    assert field(idle, 82).value.uiVal == number(said["Temperature/Memory Current Temp"])


def test_power_and_heat_of_a_busy_board(
    capture: Capture, busy: Host, manual_clock: ManualClock
) -> None:
    said = capture.busy
    power = number(power_lines(said)["Average Power Draw"]) * 1000
    assert pynvml.nvmlDeviceGetPowerUsage(busy.handle) == pytest.approx(power, rel=0.01)
    memory = number(said["GPU Memory Power Readings/Average Power Draw"]) * 1000
    scope = pynvml.NVML_POWER_SCOPE_MEMORY
    assert field(busy, 185, scope).value.uiVal == pytest.approx(memory, rel=0.15)
    # The capture was taken seconds into the stress test: it must lie on the way from idle to
    # where the simulated board settles.
    core = pynvml.nvmlDeviceGetTemperatureV(busy.handle, pynvml.NVML_TEMPERATURE_GPU)
    idle_core = number(capture.idle["Temperature/GPU Current Temp"])
    assert idle_core < number(said["Temperature/GPU Current Temp"]) < core < idle_core + 35
    hbm = field(busy, 82).value.uiVal
    idle_hbm = number(capture.idle["Temperature/Memory Current Temp"])
    assert idle_hbm < number(said["Temperature/Memory Current Temp"]) < hbm < idle_hbm + 25


def test_heat_some_seconds_into_the_stress_test(capture: Capture, busy: Host) -> None:
    """Both captures show 15 to 25 seconds of full load."""
    busy.driver.swap(0)
    busy.driver.load = ConstantLoad(IDLE)
    clock = busy.driver.clock
    assert isinstance(clock, ManualClock)
    board = profile.load(capture.board)
    clock.pass_s(1)
    pynvml.nvmlDeviceGetPowerUsage(busy.handle)
    busy.driver.load = ConstantLoad(Load(1.0, board.busy_intensity, 0.1, 0.2))
    for _ in range(15):
        clock.pass_s(1)
        core = pynvml.nvmlDeviceGetTemperatureV(busy.handle, pynvml.NVML_TEMPERATURE_GPU)
    assert core == pytest.approx(number(capture.busy["Temperature/GPU Current Temp"]), abs=6)
    hbm = field(busy, 82).value.uiVal
    assert hbm == pytest.approx(number(capture.busy["Temperature/Memory Current Temp"]), abs=4)


def test_use_of_a_busy_board(capture: Capture, busy: Host) -> None:
    said, handle = capture.busy, busy.handle
    rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
    assert rates.gpu == number(said["Utilization/GPU"])
    assert rates.memory == pytest.approx(number(said["Utilization/Memory"]), abs=1)
    for call, line in (
        (pynvml.nvmlDeviceGetEncoderUtilization, "Encoder"),
        (pynvml.nvmlDeviceGetDecoderUtilization, "Decoder"),
        (pynvml.nvmlDeviceGetJpgUtilization, "JPEG"),
        (pynvml.nvmlDeviceGetOfaUtilization, "OFA"),
    ):
        assert call(handle)[0] == number(said[f"Utilization/{line}"])
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2)
    assert memory.used / 2**20 == pytest.approx(number(said["FB Memory Usage/Used"]), abs=1)
    bar1 = pynvml.nvmlDeviceGetBAR1MemoryInfo(handle)
    assert bar1.bar1Used / 2**20 == pytest.approx(number(said["BAR1 Memory Usage/Used"]), abs=1)


def test_memory_health(capture: Capture, idle: Host) -> None:
    said, handle = capture.idle, idle.handle
    errors = pynvml.nvmlDeviceGetMemoryErrorCounter
    for counter, word in ((0, "Volatile"), (1, "Aggregate")):
        for kind, what in ((0, "Correctable"), (1, "Uncorrectable")):
            counted = errors(handle, kind, counter, pynvml.NVML_MEMORY_LOCATION_DRAM)
            assert counted == number(said[f"ECC Errors/{word}/DRAM {what}"])
    rows = pynvml.nvmlDeviceGetRemappedRows(handle)
    assert rows[:2] == (
        number(said["Remapped Rows/Correctable Error"]),
        number(said["Remapped Rows/Uncorrectable Error"]),
    )
    assert [said["Remapped Rows/Pending"], said["Remapped Rows/Remapping Failure Occurred"]] == [
        "Yes" if flag else "No" for flag in rows[2:]
    ]
    histogram = pynvml.nvmlDeviceGetRowRemapperHistogram(handle)
    for name in ("Max", "High", "Partial", "Low", "None"):
        line = f"Remapped Rows/Bank Remap Availability Histogram/{name}"
        assert getattr(histogram, name.lower()) == number(said[line])
    assert said["GPU Recovery Action"] == "None"
    assert field(idle, 230).value.uiVal == 0
    assert pynvml.nvmlDeviceGetRepairStatus(handle) == [0, 0]
    assert said["ECC Errors/Unrepairable Memory"] == "No"
    assert pynvml.nvmlDeviceGetUnrepairableMemoryFlag_v1(handle) == 0


LOCATIONS = {
    "l1_cache": pynvml.NVML_MEMORY_LOCATION_L1_CACHE,
    "l2_cache": pynvml.NVML_MEMORY_LOCATION_L2_CACHE,
    "dram": pynvml.NVML_MEMORY_LOCATION_DRAM,
    "register_file": pynvml.NVML_MEMORY_LOCATION_REGISTER_FILE,
    "texture_memory": pynvml.NVML_MEMORY_LOCATION_TEXTURE_MEMORY,
    "cbu": pynvml.NVML_MEMORY_LOCATION_CBU,
    "sram": pynvml.NVML_MEMORY_LOCATION_SRAM,
}


@pytest.mark.parametrize("location", sorted(LOCATIONS))
@pytest.mark.parametrize("counter", ["volatile", "aggregate"])
@pytest.mark.parametrize("kind", ["corrected", "uncorrected"])
def test_memory_errors_by_location(
    capture: Capture, idle: Host, kind: str, counter: str, location: str
) -> None:
    said = capture.fields[f"ecc.errors.{kind}.{counter}.{location}"]
    codes = int(kind == "uncorrected"), int(counter == "aggregate"), LOCATIONS[location]
    try:
        counted = str(pynvml.nvmlDeviceGetMemoryErrorCounter(idle.handle, *codes))
    except pynvml.NVMLError_NotSupported:
        counted = "[N/A]"
    assert counted == said


@pytest.mark.parametrize("counter", [74, 76, 269, 270, 271])
def test_nothing_is_throttled(capture: Capture, busy: Host, counter: int) -> None:
    counters = [v for k, v in capture.busy.items() if k.startswith("Clocks Event Reasons Counters")]
    assert counters == ["0 us"] * 5
    assert field(busy, counter).value.ullVal == 0


ABSENT_CALLS = {
    "Fan Speed": "nvmlDeviceGetFanSpeed",
    "Retired Pages/Pending Page Blacklist": "nvmlDeviceGetRetiredPagesPendingStatus",
    "Applications Clocks/Graphics": "nvmlDeviceGetApplicationsClock",
    "Default Applications Clocks/Memory": "nvmlDeviceGetDefaultApplicationsClock",
}


@pytest.mark.parametrize("line", sorted(ABSENT_CALLS))
def test_what_the_board_does_not_tell_is_refused(capture: Capture, idle: Host, line: str) -> None:
    assert capture.idle[line] in ABSENT
    code = getattr(library.SimulatedLibrary(idle.driver), ABSENT_CALLS[line])(idle.handle)
    deprecated = capture.idle[line] not in ("N/A", "[N/A]")
    expected = pynvml.NVML_ERROR_DEPRECATED if deprecated else pynvml.NVML_ERROR_NOT_SUPPORTED
    assert code == expected


def test_retired_pages_are_not_told(capture: Capture, idle: Host) -> None:
    assert capture.idle["Retired Pages/Single Bit ECC"] in ABSENT
    for cause in (0, 1):
        with pytest.raises(pynvml.NVMLError_NotSupported):
            pynvml.nvmlDeviceGetRetiredPages(idle.handle, cause)


def test_the_place_in_a_chassis_is_answered_and_empty(capture: Capture, idle: Host) -> None:
    said = capture.fields
    info = pynvml.c_nvmlPlatformInfo_v2_t()
    pynvml.nvmlDeviceGetPlatformInfo(idle.handle, pynvml.byref(info))
    assert info.chassisSerialNumber == said["platform.chassis_serial_number"] == ""
    assert ord(info.slotNumber) == number(said["platform.slot_number"])
    assert ord(info.trayIndex) == number(said["platform.tray_index"])
    assert ord(info.hostId) == number(said["platform.host_id"])
    assert capture.idle["Platform Info/Chassis Serial Number"] in ABSENT


def test_the_store_of_the_board_is_sound(capture: Capture, idle: Host) -> None:
    assert capture.fields["inforom.checksum_validation"] == "valid"
    pynvml.nvmlDeviceValidateInforom(idle.handle)


def test_every_link_is_up(capture: Capture, idle: Host) -> None:
    states = [field(idle, 165, link) for link in range(19)]
    assert [entry.value.uiVal for entry in states[:18]] == [1] * 18
    assert states[18].nvmlReturn == pynvml.NVML_ERROR_NOT_SUPPORTED


def test_on_chip_memory(capture: Capture, idle: Host) -> None:
    status = pynvml.c_nvmlEccSramErrorStatus_v1_t()
    pynvml.nvmlDeviceGetSramEccErrorStatus(idle.handle, pynvml.byref(status))
    lines = {
        "Volatile/SRAM Correctable": status.volatileCor,
        "Volatile/SRAM Uncorrectable Parity": status.volatileUncParity,
        "Volatile/SRAM Uncorrectable SEC-DED": status.volatileUncSecDed,
        "Aggregate/SRAM Correctable": status.aggregateCor,
        "Aggregate Uncorrectable SRAM Sources/SRAM L2": status.aggregateUncBucketL2,
        "Aggregate Uncorrectable SRAM Sources/SRAM SM": status.aggregateUncBucketSm,
        "Aggregate Uncorrectable SRAM Sources/SRAM PCIE": status.aggregateUncBucketPcie,
        "Aggregate Uncorrectable SRAM Sources/SRAM Microcontroller": status.aggregateUncBucketMcu,
        "Aggregate Uncorrectable SRAM Sources/SRAM Other": status.aggregateUncBucketOther,
    }
    for line, counted in lines.items():
        assert counted == number(capture.idle[f"ECC Errors/{line}"]), line
    assert capture.idle["ECC Errors/Aggregate/SRAM Threshold Exceeded"] == "No"
    assert status.bThresholdExceeded == 0


def test_power_of_the_module_and_momentary_power_of_the_memory_are_not_told(
    capture: Capture, idle: Host
) -> None:
    assert capture.idle["Module Power Readings/Average Power Draw"] in ABSENT
    assert capture.idle["GPU Memory Power Readings/Instantaneous Power Draw"] in ABSENT
    module, memory = pynvml.NVML_POWER_SCOPE_MODULE, pynvml.NVML_POWER_SCOPE_MEMORY
    for field_id, scope in ((185, module), (186, module), (186, memory)):
        assert field(idle, field_id, scope).nvmlReturn == pynvml.NVML_ERROR_NOT_SUPPORTED


def test_the_library_offers_no_function_that_the_real_one_lacks(h100_capture: Capture) -> None:
    exported = h100_capture.functions
    assert len(exported) > 300
    assert library.function_names() <= exported


def test_the_agent_reads_what_nvidia_smi_said(
    capture: Capture, busy: Host, manual_clock: ManualClock
) -> None:
    reader, said = NvidiaReader(manual_clock), capture.busy
    [entry] = reader.open().accelerators
    assert entry.model == said["Product Name"]
    assert entry.memory_total_mebibytes == number(said["FB Memory Usage/Total"])
    assert entry.clock_sm_max_megahertz == number(said["Max Clocks/SM"])
    assert entry.nvlinks_count == 18
    assert entry.chassis_serial == ""
    fast = reader.read(0, Group.FAST).values
    assert fast["utilization_gpu_percent"] == number(said["Utilization/GPU"])
    assert fast["clock_sm_megahertz"] == number(said["Clocks/SM"])
    slow = reader.read(0, Group.SLOW)
    assert {name.partition("_")[0] for name in slow.unsupported} == {"retired", "c2c", "nvlink"}
    limit = number(power_lines(said)["Current Power Limit"]) * 1000
    assert slow.values["power_limit_milliwatts"] == limit
    said_banks = "Remapped Rows/Bank Remap Availability Histogram/Max"
    assert slow.values["remap_banks_full_count"] == number(capture.busy[said_banks])
    assert slow.values["inforom_valid_flag"] == slow.values["ecc_enabled_flag"] == 1
    assert slow.values["nvlink_active_links_count"] == 18
    assert entry.inforom_version == said["Inforom Version/Image Version"]
    limits = [entry.margin_shutdown_celsius, entry.margin_slowdown_celsius]
    assert limits == [
        number(said[f"Temperature/GPU {word} T.Limit Temp"]) for word in ("Shutdown", "Slowdown")
    ]
    reader.close()
