"""NVML's GPU performance monitoring: two samples, and the rates between them."""

import struct
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, NamedTuple

from simulator.nvml.calling import (
    ARGUMENT_VERSION_MISMATCH,
    INVALID_ARGUMENT,
    NO_DATA,
    NOT_SUPPORTED,
    SUCCESS,
    DeviceCall,
    HostCall,
    address_of,
    has_version,
    put_address,
    target,
)
from simulator.nvml.device import SimulatedGpu
from simulator.nvml.driver import GpmSample, SimulatedDriver
from simulator.nvml.profile import Links

GPM_VERSION = 1
SAMPLE_BASE = 0x7E00_0000_0000
SAMPLE_STEP = 0x100
METRIC_MAX = 477
# `nvmlGpmMetricsGet_t`: version, number of metrics, two samples; the metrics follow.
HEAD = struct.Struct("@IIPP")
# The header asks for 100 ms between two samples.
APART_S_MIN = 0.1
# How old what a sample holds may be: a board counts by itself, and is not asked to.
SAMPLE_REFRESH_S = 0.02
MEGABYTES_TO_MEBIBYTES = 1e6 / (1 << 20)
KILOBYTES_TO_MEBIBYTES = 1e3 / (1 << 20)


class Use(NamedTuple):
    """Shares of the time between two samples in which each part was in use."""

    sm: float
    tensor: float
    memory: float
    link: float
    pcie: float
    links: Links


def _pcie(use: Use, idle_kilobytes_per_second: int) -> float:
    busy = use.pcie * use.links.pcie_max_kilobytes_per_second
    return (idle_kilobytes_per_second + busy) * KILOBYTES_TO_MEBIBYTES


def _nvlink(use: Use) -> float:
    full = use.links.nvlink_count * use.links.nvlink_megabytes_per_second
    return use.link * full * MEGABYTES_TO_MEBIBYTES


METRICS: dict[int, Callable[[Use], float]] = {
    1: lambda use: 100 * min(1.0, use.sm * 1.05),
    2: lambda use: 100 * use.sm,
    3: lambda use: 45 * use.sm,
    4: lambda use: 12 * use.sm,
    5: lambda use: 100 * use.tensor,
    6: lambda _use: 0.0,
    7: lambda use: 100 * use.tensor,
    9: lambda _use: 0.0,
    10: lambda use: 100 * use.memory,
    11: lambda _use: 0.0,
    12: lambda use: 18 * use.sm,
    13: lambda use: 6 * use.sm,
    20: lambda use: _pcie(use, use.links.pcie_idle_transmit_kilobytes_per_second),
    21: lambda use: _pcie(use, use.links.pcie_idle_receive_kilobytes_per_second),
    60: _nvlink,
    61: _nvlink,
}


def _support(gpu: SimulatedGpu, support: Any) -> int:
    result = target(support)
    if not has_version(result, GPM_VERSION):
        return ARGUMENT_VERSION_MISMATCH
    result.isSupportedDevice = gpu.profile.gpm_supported
    return SUCCESS


def _sample_alloc(driver: SimulatedDriver, sample: Any) -> int:
    number = max(driver.gpm_samples, default=0) + 1
    driver.gpm_samples[number] = None
    return put_address(sample, SAMPLE_BASE + number * SAMPLE_STEP)


def _sample_free(driver: SimulatedDriver, sample: Any) -> int:
    if _number(sample) not in driver.gpm_samples:
        return INVALID_ARGUMENT
    del driver.gpm_samples[_number(sample)]
    return SUCCESS


def _number(sample: Any) -> int:
    return (address_of(sample) - SAMPLE_BASE) // SAMPLE_STEP


def take_sample(driver: SimulatedDriver, gpu: SimulatedGpu, sample: Any) -> int:
    """Note what the board has done up to now."""
    if not gpu.profile.gpm_supported:
        return NOT_SUPPORTED
    number = _number(sample)
    if number not in driver.gpm_samples:
        return INVALID_ARGUMENT
    driver.advance(gpu.slot, refresh_s=SAMPLE_REFRESH_S)
    taken_s = driver.clock.monotonic_s()
    totals = gpu.physics.totals.copy()
    driver.gpm_samples[number] = GpmSample(gpu.slot, taken_s, totals, gpu.profile.links)
    return SUCCESS


def _metrics_get(driver: SimulatedDriver, request: Any) -> int:
    result = target(request)
    # As bytes: the binding's own attributes cost more than the driver that is simulated.
    entries = memoryview(result).cast("B")
    version, count, one, other = HEAD.unpack_from(entries)
    if version != GPM_VERSION:
        return ARGUMENT_VERSION_MISMATCH
    first = driver.gpm_samples.get((one - SAMPLE_BASE) // SAMPLE_STEP)
    second = driver.gpm_samples.get((other - SAMPLE_BASE) // SAMPLE_STEP)
    if first is None or second is None:
        return INVALID_ARGUMENT
    if first.slot != second.slot or not 0 <= count <= METRIC_MAX:
        return INVALID_ARGUMENT
    start = type(result).metrics.offset
    plan = _plan(_asked(count).unpack_from(entries, start))
    plan.answers.pack_into(entries, start, *plan.written(_use_between(first, second)))
    return SUCCESS


class _Plan:
    """The answer to metrics that are asked together.

    Attributes:
        answers: where the entries hold metric, NVML's code and the value.
    """

    def __init__(self, asked: tuple[int, ...]) -> None:
        self.answers = struct.Struct("=" + "IId24x" * len(asked))
        self._getters = [METRICS.get(metric, _no_use) for metric in asked]
        self._whole: list[float] = []
        self._without: list[float] = []
        for metric in asked:
            offered = metric in METRICS
            self._whole += metric, SUCCESS if offered else NOT_SUPPORTED, 0.0
            self._without += metric, NO_DATA if offered else NOT_SUPPORTED, 0.0

    def written(self, use: Use | None) -> list[float]:
        """Return all entries' numbers, one after the other."""
        if use is None:
            return self._without
        written = self._whole.copy()
        written[2::3] = [getter(use) for getter in self._getters]
        return written


def _no_use(_use: Use) -> float:
    return 0.0


_plan = lru_cache(maxsize=64)(_Plan)


@cache
def _asked(count: int) -> struct.Struct:
    """Return where that many entries hold which metric is asked."""
    return struct.Struct("=" + "I36x" * count)


def _use_between(first: GpmSample, second: GpmSample) -> Use | None:
    """Return None for samples too near each other, or from before and after a reset."""
    elapsed_s = second.totals.elapsed_s - first.totals.elapsed_s
    if second.taken_s - first.taken_s < APART_S_MIN or elapsed_s <= 0:
        return None
    before, after = first.totals, second.totals
    return Use(  # In order: names cost as much as the arithmetic.
        (after.sm_s - before.sm_s) / elapsed_s,
        (after.tensor_s - before.tensor_s) / elapsed_s,
        (after.memory_s - before.memory_s) / elapsed_s,
        (after.link_s - before.link_s) / elapsed_s,
        (after.pcie_s - before.pcie_s) / elapsed_s,
        second.links,
    )


CALLS: dict[str, DeviceCall] = {"nvmlGpmQueryDeviceSupport": _support}
HOST_CALLS: dict[str, HostCall] = {
    "nvmlGpmSampleAlloc": _sample_alloc,
    "nvmlGpmSampleFree": _sample_free,
    "nvmlGpmMetricsGet": _metrics_get,
}
BOARD_CALLS: dict[str, HostCall] = {"nvmlGpmSampleGet": take_sample}
