"""The library object: what nvidia-ml-py believes to be libnvidia-ml.

Owns the look-up of functions by name and what is common to all calls: hanging, mismatch, start-up,
handles, lost boards, absent and failing functions, garbage. What a function answers stands in the
`calls_*` files. A name that is not there is missing, as in an older driver.
"""

from collections.abc import Callable
from typing import Any

from simulator.nvml import (
    calls_events,
    calls_fields,
    calls_gpm,
    calls_host,
    calls_identity,
    calls_links,
    calls_memory_health,
    calls_mig,
    calls_processes,
    calls_readings,
)
from simulator.nvml.calling import (
    DEPRECATED,
    GPU_IS_LOST,
    INVALID_ARGUMENT,
    NOT_SUPPORTED,
    SUCCESS,
    UNINITIALIZED,
    DeviceCall,
    HostCall,
    number,
    overwrite,
    split_handle,
)
from simulator.nvml.device import SimulatedGpu
from simulator.nvml.driver import SimulatedDriver

# Called with the board.
DEVICE_CALLS: dict[str, DeviceCall] = {
    **calls_identity.CALLS,
    **calls_readings.CALLS,
    **calls_memory_health.CALLS,
    **calls_links.CALLS,
    **calls_processes.CALLS,
    **calls_gpm.CALLS,
    **calls_events.CALLS,
    **calls_mig.CALLS,
}
# Called with the driver and the board.
BOARD_CALLS: dict[str, HostCall] = {
    **calls_fields.CALLS,
    **calls_gpm.BOARD_CALLS,
    **calls_mig.BOARD_CALLS,
    **calls_events.BOARD_CALLS,
}
# Called with the driver.
HOST_CALLS: dict[str, HostCall] = {
    **calls_host.CALLS,
    **calls_gpm.HOST_CALLS,
    **calls_events.HOST_CALLS,
}
ANSWERS_WHEN_LOST = frozenset(calls_fields.CALLS)
# A caller may ask for handles again and again.
HANDLES_KEPT_MAX = 64
WORKS_BEFORE_INIT = frozenset({"nvmlInit_v2", "nvmlInitWithFlags"})


def function_names() -> frozenset[str]:
    """Return the names of all functions that the library offers."""
    return frozenset({*DEVICE_CALLS, *BOARD_CALLS, *HOST_CALLS, "nvmlErrorString"})


class SimulatedLibrary:
    """The functions of one simulated driver, found as attributes and made when first asked for."""

    def __init__(self, driver: SimulatedDriver) -> None:
        self.driver = driver

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return the function of that name; AttributeError is what ctypes raises too."""
        function: Callable[..., Any]
        if name in self.driver.profile.missing:
            raise AttributeError(f"undefined symbol: {name}")
        if name in DEVICE_CALLS:
            function = self._about_board(name, DEVICE_CALLS[name], with_driver=False)
        elif name in BOARD_CALLS:
            function = self._about_board(name, BOARD_CALLS[name], with_driver=True)
        elif name in HOST_CALLS:
            function = self._about_host(name, HOST_CALLS[name])
        elif name == "nvmlErrorString":
            function = _error_string()
        else:
            raise AttributeError(f"undefined symbol: {name}")
        setattr(self, name, function)
        return function

    def _about_host(self, name: str, call: HostCall) -> Callable[..., int]:
        driver = self.driver

        def function(*arguments: Any) -> int:
            driver.wait_while_hung(None, name)
            with driver.lock:
                driver.apply_schedule()
                if driver.refusal:
                    return driver.refusal
                if not driver.initialised and name not in WORKS_BEFORE_INIT:
                    return UNINITIALIZED
                return call(driver, *arguments)

        return function

    def _about_board(self, name: str, call: HostCall, *, with_driver: bool) -> Callable[..., int]:
        """Return the function about a board that nothing is wrong with, which nearly all are.

        The agent's processor time is measured with this library under it, so this must cost little.
        """
        driver, lock, monotonic_s = self.driver, self.driver.lock, self.driver.clock.monotonic_s
        # Boards that have answered this call, by the identity of their handle.
        plain: _Plain = {}
        otherwise = self._about_any_board(name, call, plain, with_driver=with_driver)

        def function(handle: Any, *arguments: Any) -> int:
            kept = plain.get(id(handle))
            if kept is None:
                return otherwise(handle, *arguments)
            gpu = kept[0]
            if monotonic_s() >= gpu.plain_until_s and not driver.refresh(gpu):
                return otherwise(handle, *arguments)
            # Without the lock: it only reads, and a board is read by one thread at a time.
            return call(gpu, *arguments)

        def function_of_driver(handle: Any, *arguments: Any) -> int:
            kept = plain.get(id(handle))
            if kept is None:
                return otherwise(handle, *arguments)
            gpu = kept[0]
            if monotonic_s() >= gpu.plain_until_s and not driver.refresh(gpu):
                return otherwise(handle, *arguments)
            with lock:
                return call(driver, gpu, *arguments)

        return function_of_driver if with_driver else function

    def _about_any_board(
        self,
        name: str,
        call: HostCall,
        plain: "_Plain",
        *,
        with_driver: bool,
    ) -> Callable[..., int]:
        driver = self.driver

        def function(handle: Any, *arguments: Any) -> int:
            slot, instance_number = split_handle(handle)
            if driver.troubled:
                driver.wait_while_hung(slot, name)
            with driver.lock:
                if driver.troubled:
                    driver.apply_schedule()
                    if driver.refusal:
                        return driver.refusal
                if not driver.initialised:
                    return UNINITIALIZED
                if slot is None or slot >= len(driver.gpus):
                    return INVALID_ARGUMENT
                gpu = driver.advance(slot)
                if code := _refusal(gpu, name):
                    return code
                if instance_number:
                    return _about_instance(gpu, name, instance_number, arguments)
                code = call(driver, gpu, *arguments) if with_driver else call(gpu, *arguments)
                if gpu.garbage and code == SUCCESS and name in gpu.garbage:
                    overwrite(arguments, gpu.garbage[name])
                _keep(plain, handle, gpu)
                driver.vouch(gpu)
                return code

        return function


# By the identity of a handle: its board, and the handle itself, so that the identity stays its own.
# The binding makes an object for each handle, and looking into one costs as much as an answer.
_Plain = dict[int, tuple[SimulatedGpu, Any]]


def _keep(plain: _Plain, handle: Any, gpu: SimulatedGpu) -> None:
    if len(plain) >= HANDLES_KEPT_MAX:
        plain.clear()
    plain[id(handle)] = gpu, handle


def _about_instance(
    gpu: SimulatedGpu, name: str, instance_number: int, arguments: tuple[Any, ...]
) -> int:
    """Answer about a MIG instance that is still there, as far as there is anything to say."""
    for instance in gpu.instances:
        if instance.number == instance_number and name in calls_mig.INSTANCE_CALLS:
            return calls_mig.INSTANCE_CALLS[name](gpu, instance, *arguments)
    return INVALID_ARGUMENT


def _refusal(gpu: SimulatedGpu, name: str) -> int:
    """Return why a board does not answer that call at all, or 0."""
    if gpu.lost and name not in ANSWERS_WHEN_LOST:
        return GPU_IS_LOST
    if name in gpu.unsupported or name in gpu.profile.absent:
        return NOT_SUPPORTED
    if name in gpu.profile.deprecated:
        return DEPRECATED
    return gpu.failing.get(name, SUCCESS)


def _error_string() -> Callable[[Any], bytes]:
    """Return a new function, since the caller sets its `restype`."""

    def function(code: Any) -> bytes:
        return calls_host.ERROR_TEXTS.get(number(code), "Unknown Error").encode()

    return function
