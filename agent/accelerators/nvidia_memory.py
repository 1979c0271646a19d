"""What NVML says about the health of memory: ECC, on-chip memory, remapped rows, repairs.

Owns the calls and the order of their numbers. Which metric each number is stands in
`nvidia_sources`.
"""

import ctypes
from collections.abc import Callable, Iterable
from typing import Any

from agent.accelerators.nvidia_board import Board

Ask = Callable[[Any, Board], Iterable[int]]


def total_errors(kind: str, counter: str) -> Ask:
    """Return a question for the errors of the whole board."""

    def ask(nvml: Any, board: Board) -> tuple[int]:
        codes = getattr(nvml, kind), getattr(nvml, counter)
        return (nvml.nvmlDeviceGetTotalEccErrors(board.handle, *codes),)

    return ask


def errors_in(location: str, kind: str, counter: str) -> Ask:
    """Return a question for the errors of one kind of memory."""

    def ask(nvml: Any, board: Board) -> tuple[int]:
        codes = (getattr(nvml, name) for name in (kind, counter, location))
        return (nvml.nvmlDeviceGetMemoryErrorCounter(board.handle, *codes),)

    return ask


def sram(nvml: Any, board: Board) -> tuple[int, ...]:
    """Return the threshold flag, then counts: corrected, parity, SEC-DED, and by place."""
    status = nvml.c_nvmlEccSramErrorStatus_v1_t()
    nvml.nvmlDeviceGetSramEccErrorStatus(board.handle, ctypes.byref(status))
    return (
        status.bThresholdExceeded,
        status.volatileCor,
        status.aggregateUncParity,
        status.aggregateUncSecDed,
        status.aggregateUncBucketL2,
        status.aggregateUncBucketSm,
        status.aggregateUncBucketPcie,
        status.aggregateUncBucketMcu,
        status.aggregateUncBucketOther,
    )


def remap_banks(nvml: Any, board: Board) -> tuple[int, ...]:
    """Return banks by the spare rows that they have left: all, most, some, few, none."""
    banks = nvml.nvmlDeviceGetRowRemapperHistogram(board.handle)
    return banks.max, banks.high, banks.partial, banks.low, banks.none


def retired_pages(nvml: Any, board: Board) -> tuple[int, int]:
    """Return all retired pages, and those of them with an error that could not be corrected."""
    single, double = (
        len(nvml.nvmlDeviceGetRetiredPages(board.handle, cause))
        for cause in (
            nvml.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS,
            nvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR,
        )
    )
    return single + double, double


def unrepairable(nvml: Any, board: Board) -> tuple[int]:
    """Return whether there is memory beyond repair.

    NOTE: nvml.h (13.5) gives the structure one word, the flag; the binding (13.615) puts a version
    before it and never looks at the first word, so over such a driver it always says no.
    """
    function = nvml._nvmlGetFunctionPointer("nvmlDeviceGetUnrepairableMemoryFlag_v1")  # noqa: SLF001
    status = nvml.c_nvmlUnrepairableMemory_v1_t()
    version = status.version
    nvml._nvmlCheckReturn(function(board.handle, ctypes.byref(status)))  # noqa: SLF001
    return (status.unrepairableMemory if status.version == version else status.version,)
