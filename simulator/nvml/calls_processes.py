"""NVML calls for the processes on a board."""

from typing import Any

from simulator.nvml.calling import (
    INSUFFICIENT_SIZE,
    NOT_FOUND,
    SUCCESS,
    DeviceCall,
    number,
    put,
    target,
)
from simulator.nvml.device import SimulatedGpu

MEBIBYTE = 1 << 20
NOT_AVAILABLE = 0xFFFFFFFF


def _running(gpu: SimulatedGpu, count: Any, buffer: Any) -> int:
    """Two calls: the first, without a buffer, learns how many there are."""
    running = gpu.running
    if number(target(count)) < len(running):
        put(count, len(running))
        return INSUFFICIENT_SIZE
    put(count, len(running))
    for entry, process in zip(target(buffer) or (), running, strict=False):
        entry.pid = process.pid
        entry.usedGpuMemory = round(gpu.memory_used_mebibytes * process.memory_share) * MEBIBYTE
        entry.gpuInstanceId = entry.computeInstanceId = NOT_AVAILABLE
        for instance in gpu.instances:
            if instance.process is process:
                entry.gpuInstanceId, entry.computeInstanceId = instance.gpu_instance, 0
    return SUCCESS


def _utilization(gpu: SimulatedGpu, buffer: Any, count: Any, _since_us: Any) -> int:
    running, load = gpu.running, gpu.physics.load
    samples = target(buffer)
    if samples is None:
        put(count, len(running))
        return INSUFFICIENT_SIZE if running else NOT_FOUND
    put(count, len(running))
    for entry, process in zip(samples, running, strict=False):
        entry.pid = process.pid
        entry.timeStamp = round(gpu.physics.totals.elapsed_s * 1e6)
        entry.smUtil = round(99 * load.activity * process.memory_share)
        entry.memUtil = round(100 * load.memory_activity * process.memory_share)
        entry.encUtil = entry.decUtil = 0
    return SUCCESS


CALLS: dict[str, DeviceCall] = {
    "nvmlDeviceGetComputeRunningProcesses_v3": _running,
    "nvmlDeviceGetGraphicsRunningProcesses_v3": lambda _gpu, count, _buffer: put(count, 0),
    "nvmlDeviceGetProcessUtilization": _utilization,
}
