"""Which question to NVML gives which metric: one line a metric.

Owns the table. A question is a call, a field of the batch, or a GPM metric; all names are the
catalogue's. Asking, errors and ranges are the business of `nvidia` and `nvidia_board`.
"""

import ctypes
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from agent.accelerators.nvidia_board import Board
from telemetry.metrics import Group

MEBIBYTE = 1 << 20

# Answers a question about a board with the numbers of its metrics, in order.
Ask = Callable[[Any, Board], Iterable[int]]


class Call(NamedTuple):
    """One call and the metrics that its answer holds."""

    metrics: tuple[str, ...]
    ask: Ask


def _utilization(nvml: Any, board: Board) -> tuple[int, int]:
    rates = nvml.nvmlDeviceGetUtilizationRates(board.handle)
    return rates.gpu, rates.memory


def _memory_used(nvml: Any, board: Board) -> tuple[int]:
    """Version 2 does not count what the driver reserves."""
    info = nvml.nvmlDeviceGetMemoryInfo(board.handle, nvml.nvmlMemory_v2)
    return (info.used // MEBIBYTE,)


def _temperature(nvml: Any, board: Board) -> tuple[int]:
    return (nvml.nvmlDeviceGetTemperatureV(board.handle, nvml.NVML_TEMPERATURE_GPU),)


def _clock(kind: str) -> Ask:
    return lambda nvml, board: (nvml.nvmlDeviceGetClockInfo(board.handle, getattr(nvml, kind)),)


def _one(function: str) -> Ask:
    """Return a question to a function that takes a handle and gives one number."""
    return lambda nvml, board: (getattr(nvml, function)(board.handle),)


def _first(function: str) -> Ask:
    """Return a question to a function that gives a percentage and its sampling period."""
    return lambda nvml, board: getattr(nvml, function)(board.handle)[:1]


def _throttled(policy: str) -> Ask:
    def ask(nvml: Any, board: Board) -> tuple[int]:
        status = nvml.nvmlDeviceGetViolationStatus(board.handle, getattr(nvml, policy))
        return (status.violationTime,)

    return ask


def _ecc(kind: str, counter: str) -> Ask:
    def ask(nvml: Any, board: Board) -> tuple[int]:
        codes = getattr(nvml, kind), getattr(nvml, counter)
        return (nvml.nvmlDeviceGetTotalEccErrors(board.handle, *codes),)

    return ask


def _sram_threshold(nvml: Any, board: Board) -> tuple[int]:
    status = nvml.c_nvmlEccSramErrorStatus_v1_t()
    nvml.nvmlDeviceGetSramEccErrorStatus(board.handle, ctypes.byref(status))
    return (status.bThresholdExceeded,)


def _retired_pages(nvml: Any, board: Board) -> tuple[int]:
    causes = (
        nvml.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS,
        nvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR,
    )
    return (sum(len(nvml.nvmlDeviceGetRetiredPages(board.handle, cause)) for cause in causes),)


def _bar1(nvml: Any, board: Board) -> tuple[int]:
    return (nvml.nvmlDeviceGetBAR1MemoryInfo(board.handle).bar1Used // MEBIBYTE,)


def _links_up(nvml: Any, board: Board) -> tuple[int]:
    states = (nvml.nvmlDeviceGetNvLinkState(board.handle, link) for link in range(board.nvlinks))
    return (sum(bool(state) for state in states),)


def _link_errors(*kinds: str) -> Ask:
    """Return the sum over all links; one link that cannot be read spoils it, and says so."""

    def ask(nvml: Any, board: Board) -> tuple[int]:
        codes = [getattr(nvml, kind) for kind in kinds]
        return (
            sum(
                nvml.nvmlDeviceGetNvLinkErrorCounter(board.handle, link, code)
                for link in range(board.nvlinks)
                for code in codes
            ),
        )

    return ask


def _fabric(nvml: Any, board: Board) -> tuple[int, int]:
    info = nvml.c_nvmlGpuFabricInfo_v2_t()
    nvml.nvmlDeviceGetGpuFabricInfoV(board.handle, ctypes.byref(info))
    return info.state, info.healthMask


def _processes(nvml: Any, board: Board) -> tuple[int]:
    return (len(nvml.nvmlDeviceGetComputeRunningProcesses_v3(board.handle)),)


CALLS: dict[Group, tuple[Call, ...]] = {
    Group.FAST: (
        Call(("utilization_gpu_percent", "utilization_memory_percent"), _utilization),
        Call(("utilization_encoder_percent",), _first("nvmlDeviceGetEncoderUtilization")),
        Call(("utilization_decoder_percent",), _first("nvmlDeviceGetDecoderUtilization")),
        Call(("utilization_jpeg_percent",), _first("nvmlDeviceGetJpgUtilization")),
        Call(("utilization_ofa_percent",), _first("nvmlDeviceGetOfaUtilization")),
        Call(("memory_used_mebibytes",), _memory_used),
        Call(("temperature_gpu_celsius",), _temperature),
        Call(("temperature_margin_celsius",), _one("nvmlDeviceGetMarginTemperature")),
        Call(("clock_sm_megahertz",), _clock("NVML_CLOCK_SM")),
        Call(("clock_memory_megahertz",), _clock("NVML_CLOCK_MEM")),
        Call(("clock_video_megahertz",), _clock("NVML_CLOCK_VIDEO")),
        Call(("clock_event_reasons_bitmask",), _one("nvmlDeviceGetCurrentClocksEventReasons")),
        Call(("performance_state_code",), _one("nvmlDeviceGetPerformanceState")),
    ),
    Group.SLOW: (
        Call(("power_limit_milliwatts",), _one("nvmlDeviceGetEnforcedPowerLimit")),
        Call(("bar1_used_mebibytes",), _bar1),
        Call(("throttled_power_nanoseconds",), _throttled("NVML_PERF_POLICY_POWER")),
        Call(("throttled_thermal_nanoseconds",), _throttled("NVML_PERF_POLICY_THERMAL")),
        Call(
            ("ecc_corrected_volatile_count",),
            _ecc("NVML_MEMORY_ERROR_TYPE_CORRECTED", "NVML_VOLATILE_ECC"),
        ),
        Call(
            ("ecc_uncorrected_volatile_count",),
            _ecc("NVML_MEMORY_ERROR_TYPE_UNCORRECTED", "NVML_VOLATILE_ECC"),
        ),
        Call(
            ("ecc_corrected_aggregate_count",),
            _ecc("NVML_MEMORY_ERROR_TYPE_CORRECTED", "NVML_AGGREGATE_ECC"),
        ),
        Call(
            ("ecc_uncorrected_aggregate_count",),
            _ecc("NVML_MEMORY_ERROR_TYPE_UNCORRECTED", "NVML_AGGREGATE_ECC"),
        ),
        Call(("sram_threshold_exceeded_flag",), _sram_threshold),
        Call(
            (
                "remapped_rows_corrected_count",
                "remapped_rows_uncorrected_count",
                "remap_pending_flag",
                "remap_failed_flag",
            ),
            lambda nvml, board: nvml.nvmlDeviceGetRemappedRows(board.handle),
        ),
        Call(("retired_pages_count",), _retired_pages),
        Call(("pcie_link_generation",), _one("nvmlDeviceGetCurrPcieLinkGeneration")),
        Call(("pcie_link_width_lanes",), _one("nvmlDeviceGetCurrPcieLinkWidth")),
        Call(("nvlink_active_links_count",), _links_up),
        Call(
            ("nvlink_crc_errors_count",),
            _link_errors("NVML_NVLINK_ERROR_DL_CRC_FLIT", "NVML_NVLINK_ERROR_DL_CRC_DATA"),
        ),
        Call(("nvlink_replay_errors_count",), _link_errors("NVML_NVLINK_ERROR_DL_REPLAY")),
        Call(("nvlink_recovery_errors_count",), _link_errors("NVML_NVLINK_ERROR_DL_RECOVERY")),
        Call(("fabric_state_code", "fabric_health_bitmask"), _fabric),
        Call(("processes_count",), _processes),
    ),
}

# Metrics that only boards with NVLink have: without links there is nothing to sum.
NVLINK_METRICS = frozenset(
    {
        "nvlink_active_links_count",
        "nvlink_crc_errors_count",
        "nvlink_replay_errors_count",
        "nvlink_recovery_errors_count",
    }
)

# Fields of `nvmlDeviceGetFieldValues`, all of a group in one call.
FIELDS: dict[Group, dict[str, int]] = {
    Group.FAST: {
        "temperature_memory_celsius": 82,
        "energy_millijoules": 83,
        "power_milliwatts": 185,
        "power_instant_milliwatts": 186,
    },
    Group.SLOW: {
        "pcie_replays_count": 94,
        "recovery_action_code": 230,
    },
}

# Second sources, for boards or drivers that do not offer the first.
FALLBACKS: dict[str, Ask] = {
    "power_milliwatts": _one("nvmlDeviceGetPowerUsage"),
    "energy_millijoules": _one("nvmlDeviceGetTotalEnergyConsumption"),
    "temperature_gpu_celsius": lambda nvml, board: (
        nvml.nvmlDeviceGetTemperature(board.handle, nvml.NVML_TEMPERATURE_GPU),
    ),
    "pcie_replays_count": _one("nvmlDeviceGetPcieReplayCounter"),
}

# GPM metric and what turns its unit into ours: percent into permille, MiB/s as they are.
GPM: dict[str, tuple[int, int]] = {
    "graphics_active_permille": (1, 10),
    "sm_active_permille": (2, 10),
    "sm_occupancy_permille": (3, 10),
    "tensor_active_permille": (5, 10),
    "dram_active_permille": (10, 10),
    "fp64_active_permille": (11, 10),
    "fp32_active_permille": (12, 10),
    "fp16_active_permille": (13, 10),
    "pcie_transmit_mebibytes_per_second": (20, 1),
    "pcie_receive_mebibytes_per_second": (21, 1),
    "nvlink_receive_mebibytes_per_second": (60, 1),
    "nvlink_transmit_mebibytes_per_second": (61, 1),
}

# Metrics about the reading itself: the sampler fills them in.
OF_THE_AGENT = frozenset({"reader_status_code", "read_failures_count"})
