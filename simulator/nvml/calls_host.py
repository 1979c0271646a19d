"""NVML calls about the host: start and stop, versions, counting and finding boards."""

from typing import Any

from simulator.nvml.calling import (
    GPU_IS_LOST,
    INVALID_ARGUMENT,
    NOT_FOUND,
    SUCCESS,
    UNINITIALIZED,
    HostCall,
    handle_value,
    instance_handle_value,
    number,
    put,
    put_address,
    put_text,
)
from simulator.nvml.driver import SimulatedDriver

ERROR_TEXTS = {
    0: "Success",
    1: "Uninitialized",
    2: "Invalid Argument",
    3: "Not Supported",
    4: "Insufficient Permissions",
    5: "Already Initialized",
    6: "Not Found",
    7: "Insufficient Size",
    8: "Insufficient External Power",
    9: "Driver Not Loaded",
    10: "Timeout",
    11: "Interrupt Request Issue",
    12: "NVML Shared Library Not Found",
    13: "Function Not Found",
    14: "Corrupted infoROM",
    15: "GPU is lost",
    16: "GPU requires restart",
    17: "The operating system has blocked the request.",
    18: "Driver/library version mismatch",
    19: "In use by another client",
    20: "Insufficient Memory",
    21: "No data",
    25: "Argument version mismatch",
    26: "Requested functionality has been deprecated",
    27: "Not Ready",
    28: "GPU not found",
    29: "Invalid state",
    999: "Unknown Error",
}


def _initialise(driver: SimulatedDriver, *_flags: Any) -> int:
    driver.initialised += 1
    return SUCCESS


def _shut_down(driver: SimulatedDriver) -> int:
    if not driver.initialised:
        return UNINITIALIZED
    driver.initialised -= 1
    driver.doubt()
    return SUCCESS


def _handle_by_index(driver: SimulatedDriver, index: Any, handle: Any) -> int:
    if not 0 <= number(index) < len(driver.gpus):
        return INVALID_ARGUMENT
    if driver.is_lost(number(index)):
        return GPU_IS_LOST
    return put_address(handle, handle_value(number(index)))


def _handle_by_uuid(driver: SimulatedDriver, uuid: Any, handle: Any) -> int:
    """Boards and MIG instances alike."""
    for gpu in driver.gpus:
        for instance in gpu.instances:
            if instance.uuid == uuid.value.decode():
                if gpu.lost:
                    return GPU_IS_LOST
                return put_address(handle, instance_handle_value(gpu.slot, instance.number))
    return _handle_where(driver, "uuid", uuid, handle)


def _handle_by_serial(driver: SimulatedDriver, serial: Any, handle: Any) -> int:
    return _handle_where(driver, "serial", serial, handle)


def _handle_where(driver: SimulatedDriver, attribute: str, text: Any, handle: Any) -> int:
    wanted = text.value.decode()
    for gpu in driver.gpus:
        if getattr(gpu.identity, attribute) == wanted:
            return _handle_by_index(driver, gpu.slot, handle)
    return NOT_FOUND


def _process_name(driver: SimulatedDriver, pid: Any, buffer: Any, size: Any) -> int:
    for gpu in driver.gpus:
        for process in gpu.running:
            if process.pid == number(pid):
                return put_text(buffer, size, process.name)
    return NOT_FOUND


def _cuda_version(driver: SimulatedDriver, result: Any) -> int:
    return put(result, driver.profile.cuda_version)


CALLS: dict[str, HostCall] = {
    "nvmlInit_v2": _initialise,
    "nvmlInitWithFlags": _initialise,
    "nvmlShutdown": _shut_down,
    "nvmlSystemGetDriverVersion": lambda driver, buffer, size: put_text(
        buffer, size, driver.profile.driver_version
    ),
    "nvmlSystemGetNVMLVersion": lambda driver, buffer, size: put_text(
        buffer, size, driver.profile.nvml_version
    ),
    "nvmlSystemGetCudaDriverVersion": _cuda_version,
    "nvmlSystemGetCudaDriverVersion_v2": _cuda_version,
    "nvmlSystemGetProcessName": _process_name,
    "nvmlDeviceGetCount_v2": lambda driver, result: put(result, len(driver.gpus)),
    "nvmlDeviceGetHandleByIndex_v2": _handle_by_index,
    "nvmlDeviceGetHandleByUUID": _handle_by_uuid,
    "nvmlDeviceGetHandleBySerial": _handle_by_serial,
}
