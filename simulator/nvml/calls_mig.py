"""NVML calls for MIG: finding a board's instances, and the little that is told of each.

Owns which calls take an instance's handle at all; to the others it is a wrong argument.
"""

from collections.abc import Callable
from typing import Any

from simulator.nvml.calling import (
    ARGUMENT_VERSION_MISMATCH,
    INSUFFICIENT_SIZE,
    INVALID_ARGUMENT,
    NOT_FOUND,
    NOT_SUPPORTED,
    SUCCESS,
    DeviceCall,
    HostCall,
    handle_value,
    has_version,
    instance_handle_value,
    number,
    put,
    put_address,
    put_text,
    target,
)
from simulator.nvml.calls_gpm import take_sample
from simulator.nvml.calls_readings import MEBIBYTE, MEMORY_V2
from simulator.nvml.device import MIG_SLICES, MigInstance, SimulatedGpu
from simulator.nvml.driver import SimulatedDriver

# Called with the board and the instance, then with what the caller passed after its handle.
InstanceCall = Callable[..., int]
COMPUTE_INSTANCE = 0


def _handle_by_index(gpu: SimulatedGpu, index: Any, handle: Any) -> int:
    """A place that is not taken is not found; a whole board has no places."""
    if not gpu.mig_enabled:
        return NOT_SUPPORTED if number(index) < MIG_SLICES else INVALID_ARGUMENT
    for instance in gpu.instances:
        if instance.place == number(index):
            return put_address(handle, instance_handle_value(gpu.slot, instance.number))
    return NOT_FOUND if 0 <= number(index) < MIG_SLICES else INVALID_ARGUMENT


def _name(gpu: SimulatedGpu, instance: MigInstance, buffer: Any, size: Any) -> int:
    gigabytes = round(instance.memory_mebibytes / 1024 / 5) * 5 or 5
    return put_text(buffer, size, f"{gpu.profile.name} MIG {instance.slices}g.{gigabytes}gb")


def _memory(gpu: SimulatedGpu, instance: MigInstance, info: Any) -> int:
    result = target(info)
    if not has_version(result, MEMORY_V2):
        return ARGUMENT_VERSION_MISMATCH
    share = instance.process.memory_share
    used = min(instance.memory_mebibytes, round(gpu.memory_used_mebibytes * share))
    result.total = instance.memory_mebibytes * MEBIBYTE
    result.reserved, result.used = 0, used * MEBIBYTE
    result.free = result.total - result.used
    return SUCCESS


def _bar1(gpu: SimulatedGpu, instance: MigInstance, info: Any) -> int:
    result = target(info)
    result.bar1Total = gpu.profile.bar1_total_mebibytes * MEBIBYTE * instance.slices // MIG_SLICES
    result.bar1Used = MEBIBYTE
    result.bar1Free = result.bar1Total - result.bar1Used
    return SUCCESS


def _running(gpu: SimulatedGpu, instance: MigInstance, count: Any, buffer: Any) -> int:
    running = [instance.process] if gpu.memory_used_mebibytes else []
    room = number(target(count))
    put(count, len(running))
    if room < len(running):
        return INSUFFICIENT_SIZE
    for entry, process in zip(target(buffer) or (), running, strict=False):
        entry.pid = process.pid
        entry.usedGpuMemory = round(gpu.memory_used_mebibytes * process.memory_share) * MEBIBYTE
        entry.gpuInstanceId = instance.gpu_instance
        entry.computeInstanceId = COMPUTE_INSTANCE
    return SUCCESS


def _attributes(_gpu: SimulatedGpu, instance: MigInstance, attributes: Any) -> int:
    result = target(attributes)
    result.gpuInstanceSliceCount = result.computeInstanceSliceCount = instance.slices
    result.memorySizeMB = instance.memory_mebibytes
    return SUCCESS


def _sample(driver: SimulatedDriver, gpu: SimulatedGpu, gpu_instance: Any, sample: Any) -> int:
    """Sample an instance; its load is as its board's."""
    if number(gpu_instance) not in {instance.gpu_instance for instance in gpu.instances}:
        return INVALID_ARGUMENT
    return take_sample(driver, gpu, sample)


INSTANCE_CALLS: dict[str, InstanceCall] = {
    "nvmlDeviceGetName": _name,
    "nvmlDeviceGetUUID": lambda _gpu, instance, buffer, size: put_text(buffer, size, instance.uuid),
    "nvmlDeviceGetMemoryInfo_v2": _memory,
    "nvmlDeviceGetBAR1MemoryInfo": _bar1,
    "nvmlDeviceGetComputeRunningProcesses_v3": _running,
    "nvmlDeviceGetAttributes_v2": _attributes,
    "nvmlDeviceGetGpuInstanceId": lambda _gpu, instance, result: put(result, instance.gpu_instance),
    "nvmlDeviceGetComputeInstanceId": lambda _gpu, _instance, result: put(result, COMPUTE_INSTANCE),
    "nvmlDeviceIsMigDeviceHandle": lambda _gpu, _instance, result: put(result, 1),
    "nvmlDeviceGetDeviceHandleFromMigDeviceHandle": lambda gpu, _instance, handle: put_address(
        handle, handle_value(gpu.slot)
    ),
}
CALLS: dict[str, DeviceCall] = {
    "nvmlDeviceGetMaxMigDeviceCount": lambda _gpu, result: put(result, MIG_SLICES),
    "nvmlDeviceGetMigDeviceHandleByIndex": _handle_by_index,
    "nvmlDeviceIsMigDeviceHandle": lambda _gpu, result: put(result, 0),
    # A whole board has no instance's numbers.
    **dict.fromkeys(
        (
            "nvmlDeviceGetGpuInstanceId",
            "nvmlDeviceGetComputeInstanceId",
            "nvmlDeviceGetAttributes_v2",
            "nvmlDeviceGetDeviceHandleFromMigDeviceHandle",
        ),
        lambda _gpu, _result: INVALID_ARGUMENT,
    ),
}
BOARD_CALLS: dict[str, HostCall] = {"nvmlGpmMigSampleGet": _sample}
