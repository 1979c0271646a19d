"""NVML calls for the health of memory: ECC counts, remapped rows, retired pages, repairs."""

from typing import Any

from simulator.nvml.calling import (
    ARGUMENT_VERSION_MISMATCH,
    INVALID_ARGUMENT,
    NOT_SUPPORTED,
    SUCCESS,
    DeviceCall,
    has_version,
    number,
    put,
    target,
)
from simulator.nvml.device import SimulatedGpu

UNCORRECTED = 1
VOLATILE, AGGREGATE = 0, 1
LOCATION_DRAM, LOCATION_SRAM, LOCATION_COUNT = 2, 7, 8
SRAM_STATUS_V1 = 0x1000068
REPAIR_STATUS_V1 = 0x100000C
UNREPAIRABLE_V1 = 0x1000008


def ecc_errors(gpu: SimulatedGpu, kind: int, counter: int) -> int:
    """Return errors of the whole board: corrected or not, since load or in its life."""
    counts = gpu.counters
    if kind == UNCORRECTED:
        return counts.uncorrected + (counts.uncorrected_before if counter == AGGREGATE else 0)
    before = counts.corrected_before if counter == AGGREGATE else 0
    return gpu.physics.corrected_errors + before


def _total_ecc(gpu: SimulatedGpu, kind: Any, counter: Any, result: Any) -> int:
    if number(kind) not in (0, UNCORRECTED) or number(counter) not in (VOLATILE, AGGREGATE):
        return INVALID_ARGUMENT
    return put(result, ecc_errors(gpu, number(kind), number(counter)))


def _memory_errors(gpu: SimulatedGpu, kind: Any, counter: Any, location: Any, result: Any) -> int:
    where = number(location)
    if where in gpu.profile.absent_ecc_locations:
        return NOT_SUPPORTED
    if where == LOCATION_DRAM:
        return _total_ecc(gpu, kind, counter, result)
    if where == LOCATION_SRAM:
        counts = gpu.counters
        wrong = counts.sram_uncorrected if number(kind) == UNCORRECTED else counts.sram_corrected
        return put(result, wrong)
    return INVALID_ARGUMENT if not 0 <= where < LOCATION_COUNT else put(result, 0)


def _sram_status(gpu: SimulatedGpu, status: Any) -> int:
    result, counts = target(status), gpu.counters
    if not has_version(result, SRAM_STATUS_V1):
        return ARGUMENT_VERSION_MISMATCH
    result.volatileUncSecDed = result.aggregateUncSecDed = counts.sram_uncorrected
    result.volatileCor = result.aggregateCor = counts.sram_corrected
    result.aggregateUncBucketL2 = counts.sram_uncorrected
    result.bThresholdExceeded = counts.sram_threshold_exceeded
    return SUCCESS


def _remapped_rows(
    gpu: SimulatedGpu, corrected: Any, uncorrected: Any, pending: Any, failed: Any
) -> int:
    counts = gpu.counters
    put(corrected, counts.rows_corrected)
    put(uncorrected, counts.rows_uncorrected)
    put(pending, counts.remap_pending)
    return put(failed, counts.remap_failed)


def _remap_histogram(gpu: SimulatedGpu, histogram: Any) -> int:
    """A remapped row takes its bank from full availability to high."""
    result, counts = target(histogram), gpu.counters
    used = min(gpu.profile.remap_banks, counts.rows_corrected + counts.rows_uncorrected)
    result.max, result.high = gpu.profile.remap_banks - used, used
    result.partial = result.low = result.none = 0
    return SUCCESS


def _retired_pages(gpu: SimulatedGpu, cause: Any, count: Any, *_buffers: Any) -> int:  # noqa: ARG001 - boards that retire pages have retired none
    return put(count, 0)


def _repair_status(gpu: SimulatedGpu, status: Any) -> int:
    result = target(status)
    if not has_version(result, REPAIR_STATUS_V1):
        return ARGUMENT_VERSION_MISMATCH
    result.bChannelRepairPending = gpu.counters.channel_repair_pending
    result.bTpcRepairPending = 0
    return SUCCESS


def _unrepairable(gpu: SimulatedGpu, status: Any) -> int:
    result = target(status)
    if not has_version(result, UNREPAIRABLE_V1):
        return ARGUMENT_VERSION_MISMATCH
    result.unrepairableMemory = gpu.counters.unrepairable_memory
    return SUCCESS


CALLS: dict[str, DeviceCall] = {
    "nvmlDeviceGetTotalEccErrors": _total_ecc,
    "nvmlDeviceGetMemoryErrorCounter": _memory_errors,
    "nvmlDeviceGetSramEccErrorStatus": _sram_status,
    "nvmlDeviceGetRemappedRows": _remapped_rows,
    "nvmlDeviceGetRowRemapperHistogram": _remap_histogram,
    "nvmlDeviceGetRetiredPages": _retired_pages,
    "nvmlDeviceGetRetiredPages_v2": _retired_pages,
    "nvmlDeviceGetRetiredPagesPendingStatus": lambda _gpu, result: put(result, 0),
    "nvmlDeviceGetRepairStatus": _repair_status,
    "nvmlDeviceGetUnrepairableMemoryFlag_v1": _unrepairable,
}
