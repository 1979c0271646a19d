"""NVML calls for PCIe, NVLink and the fabric that joins hosts."""

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

FABRIC_V2, FABRIC_V3 = 0x02000024, 0x03000028
TRANSMIT, RECEIVE = 0, 1
ERROR_REPLAY, ERROR_RECOVERY, ERROR_CRC_FLIT, ERROR_CRC_DATA, ERROR_ECC_DATA = range(5)
NVLINKS_MAX = 36


def pcie_kilobytes_per_second(gpu: SimulatedGpu, direction: int) -> int:
    """Return PCIe traffic: a trickle when idle, then a share of the full rate."""
    links = gpu.profile.links
    idle = (
        links.pcie_idle_transmit_kilobytes_per_second
        if direction == TRANSMIT
        else links.pcie_idle_receive_kilobytes_per_second
    )
    return round(idle + gpu.physics.load.pcie * links.pcie_max_kilobytes_per_second)


def _pcie_throughput(gpu: SimulatedGpu, direction: Any, result: Any) -> int:
    if number(direction) not in (TRANSMIT, RECEIVE):
        return INVALID_ARGUMENT
    return put(result, pcie_kilobytes_per_second(gpu, number(direction)))


def _has_link(gpu: SimulatedGpu, link: Any) -> int:
    if not 0 <= number(link) < NVLINKS_MAX:
        return INVALID_ARGUMENT
    return SUCCESS if number(link) < gpu.profile.links.nvlink_count else NOT_SUPPORTED


def _nvlink_state(gpu: SimulatedGpu, link: Any, result: Any) -> int:
    return _has_link(gpu, link) or put(result, number(link) not in gpu.links_down)


def _nvlink_version(gpu: SimulatedGpu, link: Any, result: Any) -> int:
    return _has_link(gpu, link) or put(result, gpu.profile.links.nvlink_version)


def _nvlink_errors(gpu: SimulatedGpu, link: Any, kind: Any, result: Any) -> int:
    """All errors stand on link 0; the ECC counter is Ampere's alone."""
    if code := _has_link(gpu, link):
        return code
    counts = gpu.counters
    errors = {
        ERROR_REPLAY: counts.nvlink_replay,
        ERROR_RECOVERY: counts.nvlink_recovery,
        ERROR_CRC_FLIT: counts.nvlink_crc,
        ERROR_CRC_DATA: 0,
    }
    if number(kind) not in errors:
        return NOT_SUPPORTED if number(kind) == ERROR_ECC_DATA else INVALID_ARGUMENT
    return put(result, 0 if number(link) else errors[number(kind)])


def _fabric(gpu: SimulatedGpu, info: Any) -> int:
    """A fabric of one host: registered, no cluster, and no word about its health."""
    result = target(info)
    if not has_version(result, FABRIC_V2, FABRIC_V3):
        return ARGUMENT_VERSION_MISMATCH
    result.state = gpu.profile.links.fabric_state
    result.status, result.cliqueId, result.healthMask = SUCCESS, 0, 0
    if result.version == FABRIC_V3:
        result.healthSummary = 0
    return SUCCESS


CALLS: dict[str, DeviceCall] = {
    "nvmlDeviceGetPcieReplayCounter": lambda gpu, result: put(result, gpu.counters.pcie_replays),
    "nvmlDeviceGetPcieThroughput": _pcie_throughput,
    "nvmlDeviceGetCurrPcieLinkGeneration": lambda gpu, result: put(
        result, gpu.profile.links.pcie_generation
    ),
    "nvmlDeviceGetMaxPcieLinkGeneration": lambda gpu, result: put(
        result, gpu.profile.links.pcie_generation
    ),
    "nvmlDeviceGetCurrPcieLinkWidth": lambda gpu, result: put(result, gpu.profile.links.pcie_width),
    "nvmlDeviceGetMaxPcieLinkWidth": lambda gpu, result: put(result, gpu.profile.links.pcie_width),
    "nvmlDeviceGetNvLinkState": _nvlink_state,
    "nvmlDeviceGetNvLinkVersion": _nvlink_version,
    "nvmlDeviceGetNvLinkErrorCounter": _nvlink_errors,
    "nvmlDeviceGetGpuFabricInfoV": _fabric,
}
