"""What an NVML error means for the one who asked. Pure.

Owns the sorting of NVML's codes into four verdicts and their translation into the error tree.
"""

from enum import Enum, auto
from typing import Any

from telemetry.errors import DeviceLost, FleetgaugeError, PermanentError, ReadError, RetryableError


class Verdict(Enum):
    """What follows from an error."""

    UNSUPPORTED = auto()  # this board or driver does not offer it: do not ask again
    LOST = auto()  # the board does not answer any more
    MISMATCH = auto()  # the kernel module was replaced under this process
    FAILED = auto()  # this time it did not work


# Codes of nvml.h (nvmlReturn_t).
NOT_SUPPORTED = 3
NO_PERMISSION = 4  # an unprivileged container: a property of the host, not a fault of each tick
NOT_FOUND = 6
TIMEOUT = 10
FUNCTION_NOT_FOUND = 13  # the driver is older than the binding
CORRUPTED_INFOROM = 14
GPU_IS_LOST = 15
LIBRARY_MISMATCH = 18
ARGUMENT_VERSION_MISMATCH = 25  # the driver is older than the structure
DEPRECATED = 26
GPU_NOT_FOUND = 28

_VERDICTS = {
    NOT_SUPPORTED: Verdict.UNSUPPORTED,
    NO_PERMISSION: Verdict.UNSUPPORTED,
    FUNCTION_NOT_FOUND: Verdict.UNSUPPORTED,
    ARGUMENT_VERSION_MISMATCH: Verdict.UNSUPPORTED,
    DEPRECATED: Verdict.UNSUPPORTED,
    GPU_IS_LOST: Verdict.LOST,
    GPU_NOT_FOUND: Verdict.LOST,
    LIBRARY_MISMATCH: Verdict.MISMATCH,
}


def verdict(code: int) -> Verdict:
    """Sort one NVML return code other than success."""
    return _VERDICTS.get(code, Verdict.FAILED)


def translate(error: Any) -> FleetgaugeError:
    """Return our error for an `NVMLError` that ends the reading of a board."""
    found = verdict(error.value)
    if found is Verdict.LOST:
        return DeviceLost(str(error))
    if found is Verdict.MISMATCH:
        return PermanentError(f"the driver was replaced under this process: {error}")
    return ReadError(str(error))


def translate_start(error: Any) -> FleetgaugeError:
    """Return our error for an `NVMLError` while starting: all but a mismatch may pass."""
    if verdict(error.value) is Verdict.MISMATCH:
        return PermanentError(f"the driver was replaced under this process: {error}")
    return RetryableError(f"the NVIDIA driver does not answer: {error}")
