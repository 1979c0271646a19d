"""NVML's events: sets that boards are registered with, and the wait for what happens."""

import ctypes
import time
from typing import Any

from simulator.nvml.calling import (
    GPU_IS_LOST,
    INVALID_ARGUMENT,
    NOT_SUPPORTED,
    SUCCESS,
    TIMEOUT,
    DeviceCall,
    HostCall,
    address_of,
    handle_value,
    number,
    put,
    put_address,
    target,
)
from simulator.nvml.device import SimulatedGpu
from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.event_sets import EventSet

SET_BASE = 0x7D00_0000_0000
SET_STEP = 0x100
INSTANCE_NONE = 0xFFFFFFFF


def _number(event_set: Any) -> int:
    return (address_of(event_set) - SET_BASE) // SET_STEP


def _create(driver: SimulatedDriver, event_set: Any) -> int:
    return put_address(event_set, SET_BASE + driver.event_sets.create() * SET_STEP)


def _free(driver: SimulatedDriver, event_set: Any) -> int:
    if _number(event_set) not in driver.event_sets:
        return INVALID_ARGUMENT
    del driver.event_sets[_number(event_set)]
    driver.changed.notify_all()
    return SUCCESS


def _supported(gpu: SimulatedGpu, result: Any) -> int:
    return put(result, gpu.profile.event_types_supported)


def _register(driver: SimulatedDriver, gpu: SimulatedGpu, types: Any, event_set: Any) -> int:
    """Refuse the whole mask if one of its types is not supported, as the driver does."""
    found = driver.event_sets.get(_number(event_set))
    if found is None:
        return INVALID_ARGUMENT
    if number(types) & ~gpu.profile.event_types_supported:
        return NOT_SUPPORTED
    found.registered[gpu.slot] = found.registered.get(gpu.slot, 0) | number(types)
    return SUCCESS


def _wait(driver: SimulatedDriver, event_set: Any, data: Any, timeout_ms: Any) -> int:
    """Waiting events come first, then the news that a board of the set is lost."""
    ends_s = time.monotonic() + number(timeout_ms) / 1000
    key = _number(event_set)
    while True:
        found = driver.event_sets.get(key)
        if found is None:
            return INVALID_ARGUMENT
        if driver.refusal:
            return driver.refusal
        if found.waiting:
            return _take(found, target(data))
        if any(driver.is_lost(slot) for slot in found.registered):
            return GPU_IS_LOST
        left_s = ends_s - time.monotonic()
        if left_s <= 0:
            return TIMEOUT
        driver.changed.wait(driver.until_next_change_s(left_s))


def _take(event_set: EventSet, result: Any) -> int:
    slot, event_type, event_data = event_set.waiting.popleft()
    # The field is a pointer to an opaque structure; only its address means anything.
    ctypes.c_void_p.from_buffer(result, type(result).device.offset).value = handle_value(slot)
    result.eventType, result.eventData = event_type, event_data
    result.gpuInstanceId = result.computeInstanceId = INSTANCE_NONE
    return SUCCESS


CALLS: dict[str, DeviceCall] = {"nvmlDeviceGetSupportedEventTypes": _supported}
HOST_CALLS: dict[str, HostCall] = {
    "nvmlEventSetCreate": _create,
    "nvmlEventSetFree": _free,
    "nvmlEventSetWait_v2": _wait,
}
BOARD_CALLS: dict[str, HostCall] = {"nvmlDeviceRegisterEvents": _register}
