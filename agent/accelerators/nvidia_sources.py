"""Which question to NVML gives which metric: one line a metric.

Owns the tables but that of `nvidia_direct`. A question is a call, a field of the batch, or a GPM
metric; all names are the catalogue's. Asking, errors and ranges are the business of `nvidia` and
`nvidia_board`.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from agent.accelerators import RunningProcess
from agent.accelerators import nvidia_links as links
from agent.accelerators import nvidia_memory as memory
from agent.accelerators.nvidia_board import Board
from agent.accelerators.nvidia_verdict import CORRUPTED_INFOROM
from telemetry.metrics import Group

MEBIBYTE = 1 << 20
PROCESSES_KEPT_MAX = 256

# Answers a question about a board with the numbers of its metrics, in order.
Ask = Callable[[Any, Board], Iterable[int]]


class Call(NamedTuple):
    """One call and the metrics that its answer holds."""

    metrics: tuple[str, ...]
    ask: Ask


def _one(function: str) -> Ask:
    """Return a question to a function that takes a handle and gives one number."""
    return lambda nvml, board: (getattr(nvml, function)(board.handle),)


def _first(function: str) -> Ask:
    """Return a question to a function that gives several numbers, of which the first counts."""
    return lambda nvml, board: getattr(nvml, function)(board.handle)[:1]


def _throttled(policy: str) -> Ask:
    def ask(nvml: Any, board: Board) -> tuple[int]:
        status = nvml.nvmlDeviceGetViolationStatus(board.handle, getattr(nvml, policy))
        return (status.violationTime,)

    return ask


def _inforom_valid(nvml: Any, board: Board) -> tuple[int]:
    """A wrong checksum is an error to NVML and a fact to us."""
    try:
        nvml.nvmlDeviceValidateInforom(board.handle)
    except nvml.NVMLError as error:
        if error.value != CORRUPTED_INFOROM:
            raise
        return (0,)
    return (1,)


def _bar1(nvml: Any, board: Board) -> tuple[int]:
    return (nvml.nvmlDeviceGetBAR1MemoryInfo(board.handle).bar1Used // MEBIBYTE,)


def _processes(nvml: Any, board: Board) -> tuple[int]:
    """Return how many there are, and keep which; instances keep those of a board that is cut."""
    running = nvml.nvmlDeviceGetComputeRunningProcesses_v3(board.handle)
    board.processes = tuple(
        RunningProcess(int(process.pid), _mebibytes(process.usedGpuMemory))
        for process in (() if board.cut_into else running[:PROCESSES_KEPT_MAX])
    )
    return (len(running),)


def _mebibytes(used_bytes: int | None) -> int | None:
    return None if used_bytes is None else used_bytes // MEBIBYTE


# Of the fast group nothing stands here: that is `nvidia_direct`'s.
CALLS: tuple[Call, ...] = (
    Call(("power_limit_milliwatts",), _one("nvmlDeviceGetEnforcedPowerLimit")),
    Call(("bar1_used_mebibytes",), _bar1),
    Call(
        ("ecc_corrected_volatile_count",),
        memory.total_errors("NVML_MEMORY_ERROR_TYPE_CORRECTED", "NVML_VOLATILE_ECC"),
    ),
    Call(
        ("ecc_uncorrected_volatile_count",),
        memory.total_errors("NVML_MEMORY_ERROR_TYPE_UNCORRECTED", "NVML_VOLATILE_ECC"),
    ),
    Call(
        ("ecc_corrected_aggregate_count",),
        memory.total_errors("NVML_MEMORY_ERROR_TYPE_CORRECTED", "NVML_AGGREGATE_ECC"),
    ),
    Call(
        ("ecc_uncorrected_aggregate_count",),
        memory.total_errors("NVML_MEMORY_ERROR_TYPE_UNCORRECTED", "NVML_AGGREGATE_ECC"),
    ),
    Call(
        ("ecc_dram_corrected_volatile_count",),
        memory.errors_in(
            "NVML_MEMORY_LOCATION_DRAM",
            "NVML_MEMORY_ERROR_TYPE_CORRECTED",
            "NVML_VOLATILE_ECC",
        ),
    ),
    Call(
        ("ecc_dram_uncorrected_aggregate_count",),
        memory.errors_in(
            "NVML_MEMORY_LOCATION_DRAM",
            "NVML_MEMORY_ERROR_TYPE_UNCORRECTED",
            "NVML_AGGREGATE_ECC",
        ),
    ),
    Call(
        (
            "sram_threshold_exceeded_flag",
            "sram_corrected_volatile_count",
            "sram_parity_aggregate_count",
            "sram_secded_aggregate_count",
            "sram_l2_aggregate_count",
            "sram_sm_aggregate_count",
            "sram_pcie_aggregate_count",
            "sram_microcontroller_aggregate_count",
            "sram_other_aggregate_count",
        ),
        memory.sram,
    ),
    Call(
        (
            "remapped_rows_corrected_count",
            "remapped_rows_uncorrected_count",
            "remap_pending_flag",
            "remap_failed_flag",
        ),
        lambda nvml, board: nvml.nvmlDeviceGetRemappedRows(board.handle),
    ),
    Call(
        (
            "remap_banks_full_count",
            "remap_banks_high_count",
            "remap_banks_partial_count",
            "remap_banks_low_count",
            "remap_banks_none_count",
        ),
        memory.remap_banks,
    ),
    Call(("retired_pages_count", "retired_pages_double_bit_count"), memory.retired_pages),
    Call(("retired_pages_pending_flag",), _one("nvmlDeviceGetRetiredPagesPendingStatus")),
    Call(("unrepairable_memory_flag",), memory.unrepairable),
    Call(
        ("channel_repair_pending_flag", "tpc_repair_pending_flag"),
        lambda nvml, board: nvml.nvmlDeviceGetRepairStatus(board.handle),
    ),
    Call(("pcie_link_generation",), _one("nvmlDeviceGetCurrPcieLinkGeneration")),
    Call(("pcie_link_width_lanes",), _one("nvmlDeviceGetCurrPcieLinkWidth")),
    Call(("fabric_state_code", "fabric_health_bitmask", "fabric_status_code"), links.fabric),
    Call(("fabric_health_code",), links.fabric_health),
    Call(("processes_count",), _processes),
    Call(("ecc_enabled_flag",), _first("nvmlDeviceGetEccMode")),
    Call(("persistence_enabled_flag",), _one("nvmlDeviceGetPersistenceMode")),
    Call(("mig_enabled_flag",), _first("nvmlDeviceGetMigMode")),
)
# Slow metrics whose answer is kept for an hour: asking reads the board's flash memory.
HOURLY: tuple[Call, ...] = (Call(("inforom_valid_flag",), _inforom_valid),)

# Fields with a value a link, all asked in the same call as the other fields of the slow group.
LINK_FIELDS = links.LINK_FIELDS

# Fields of `nvmlDeviceGetFieldValues`, all of a group in one call.
FIELDS: dict[Group, dict[str, int]] = {
    Group.FAST: {
        "temperature_memory_celsius": 82,
        "energy_millijoules": 83,
        "power_milliwatts": 185,
        "power_instant_milliwatts": 186,
    },
    Group.SLOW: {
        "throttled_power_nanoseconds": 74,
        "throttled_thermal_nanoseconds": 75,
        "throttled_sync_boost_nanoseconds": 76,
        "throttled_software_thermal_nanoseconds": 269,
        "throttled_hardware_thermal_nanoseconds": 270,
        "throttled_power_brake_nanoseconds": 271,
        "pcie_replays_count": 94,
        "pcie_correctable_errors_count": 173,
        "pcie_naks_received_count": 174,
        "pcie_receiver_errors_count": 175,
        "pcie_bad_tlps_count": 176,
        "pcie_naks_sent_count": 177,
        "pcie_bad_dllps_count": 178,
        "pcie_nonfatal_errors_count": 179,
        "pcie_fatal_errors_count": 180,
        "pcie_unsupported_requests_count": 181,
        "pcie_lcrc_errors_count": 182,
        "recovery_action_code": 230,
        "c2c_errors_count": 231,
        "c2c_replays_count": 232,
    },
}

# Second sources, for boards or drivers that do not offer the first.
FALLBACKS: dict[str, Ask] = {
    "power_milliwatts": _one("nvmlDeviceGetPowerUsage"),
    "energy_millijoules": _one("nvmlDeviceGetTotalEnergyConsumption"),
    "temperature_gpu_celsius": lambda nvml, board: (
        nvml.nvmlDeviceGetTemperature(board.handle, nvml.NVML_TEMPERATURE_GPU),
    ),
    "throttled_power_nanoseconds": _throttled("NVML_PERF_POLICY_POWER"),
    "throttled_thermal_nanoseconds": _throttled("NVML_PERF_POLICY_THERMAL"),
    "throttled_sync_boost_nanoseconds": _throttled("NVML_PERF_POLICY_SYNC_BOOST"),
    "pcie_replays_count": _one("nvmlDeviceGetPcieReplayCounter"),
    "nvlink_active_links_count": links.links_up,
    "nvlink_crc_errors_count": links.link_errors(
        "NVML_NVLINK_ERROR_DL_CRC_FLIT", "NVML_NVLINK_ERROR_DL_CRC_DATA"
    ),
    "nvlink_replay_errors_count": links.link_errors("NVML_NVLINK_ERROR_DL_REPLAY"),
    "nvlink_recovery_errors_count": links.link_errors("NVML_NVLINK_ERROR_DL_RECOVERY"),
    "nvlink_raw_ber_exponent_hundredths": links.older_raw_ber,
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
