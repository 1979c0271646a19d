"""What NVML says about the links of a board: NVLink, link by link, and the fabric.

Owns the fields that are asked once a link, how the answers of all links become one number, and the
older calls that step in where a board or a driver does not offer the fields.
"""

import ctypes
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from agent.accelerators.nvidia_board import Board

# nvml.h, NVML_NVLINK_STATE_*: a link that sleeps is up; one that may carry no traffic is not.
STATES_UP = frozenset({1, 2})
# nvml.h, NVML_NVLINK_BER_*: a rate is mantissa x 10^-exponent.
BER_MANTISSA_SHIFT, BER_MANTISSA_BITS, BER_EXPONENT_BITS = 8, 0xF, 0xFF
BER_NONE = 100 * BER_EXPONENT_BITS
FIELD_RAW_BER_OLDER = 218


class LinkField(NamedTuple):
    """A field with a value a link, and what makes one number of them."""

    field: int
    fold: Callable[[list[int]], int]


def count_up(states: list[int]) -> int:
    """Return how many links are up."""
    return sum(state in STATES_UP for state in states)


def worst_exponent(rates: list[int]) -> int:
    """Return the highest bit error rate, as a hundredfold negative exponent of ten."""
    return min(_exponent(rate) for rate in rates)


def _exponent(rate: int) -> int:
    mantissa = rate >> BER_MANTISSA_SHIFT & BER_MANTISSA_BITS
    if not mantissa:
        return BER_NONE
    return max(0, round(100 * ((rate & BER_EXPONENT_BITS) - math.log10(mantissa))))


LINK_FIELDS: dict[str, LinkField] = {
    "nvlink_active_links_count": LinkField(165, count_up),
    "nvlink_crc_errors_count": LinkField(163, sum),
    "nvlink_replay_errors_count": LinkField(161, sum),
    "nvlink_recovery_errors_count": LinkField(162, sum),
    "nvlink_receive_errors_count": LinkField(208, sum),
    "nvlink_recovery_events_count": LinkField(215, sum),
    "nvlink_recovery_failures_count": LinkField(214, sum),
    "nvlink_symbol_errors_count": LinkField(221, sum),
    "nvlink_raw_ber_exponent_hundredths": LinkField(293, worst_exponent),
    "nvlink_effective_ber_exponent_hundredths": LinkField(220, worst_exponent),
    "nvlink_symbol_ber_exponent_hundredths": LinkField(222, worst_exponent),
}


def links_up(nvml: Any, board: Board) -> tuple[int]:
    """Return how many links are up, asked one by one."""
    states = (nvml.nvmlDeviceGetNvLinkState(board.handle, link) for link in range(board.nvlinks))
    return (sum(bool(state) for state in states),)


def link_errors(*kinds: str) -> Callable[[Any, Board], Iterable[int]]:
    """Return the sum over all links; one link that cannot be read spoils it, and says so."""

    def ask(nvml: Any, board: Board) -> tuple[int]:
        codes = [getattr(nvml, kind) for kind in kinds]
        return (
            sum(
                nvml.nvmlDeviceGetNvLinkErrorCounter(board.handle, link, code)
                for link in range(board.nvlinks)
                for code in codes
            ),
        )

    return ask


def older_raw_ber(nvml: Any, board: Board) -> tuple[int]:
    """Return the raw rate from the field that the second version has replaced."""
    asked = [(FIELD_RAW_BER_OLDER, link) for link in range(board.nvlinks)]
    entries = nvml.nvmlDeviceGetFieldValues(board.handle, asked)
    told = [int(entry.value.ullVal) for entry in entries if not entry.nvmlReturn]
    if not told:
        raise nvml.NVMLError(entries[0].nvmlReturn)
    return (worst_exponent(told),)


def fabric(nvml: Any, board: Board) -> tuple[int, int, int]:
    """Return state, health mask and status of the board in its fabric."""
    info = nvml.c_nvmlGpuFabricInfo_v2_t()
    nvml.nvmlDeviceGetGpuFabricInfoV(board.handle, ctypes.byref(info))
    return info.state, info.healthMask, info.status


def fabric_health(nvml: Any, board: Board) -> tuple[int]:
    """Return the sum of its health, which drivers before the third version do not tell."""
    info = nvml.c_nvmlGpuFabricInfo_v3_t()
    nvml.nvmlDeviceGetGpuFabricInfoV(board.handle, ctypes.byref(info))
    return (info.healthSummary,)
