"""Whole numbers as the 64-bit blocks of Simple-8b with run lengths, many series at once.

Owns the layout of TimescaleDB's variant: a block holds as many numbers of one width as fit, which
width is a selector of four bits, and selectors come before the blocks. A series is laid out as two
numbers of their own (differences start with the value itself), and the rest at the width of its
largest number, or as one run where all are equal. Nothing here runs per number.

Anh, Moffat: Index compression using 64-bit words. Software: Practice and Experience 40 (2010).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# By selector: 0 is none, 15 a run.
WIDTHS_BITS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 21, 32, 64)
RUN = 15
RUN_VALUE_BITS = 36
SELECTORS_A_SLOT = 16
# The least number that is too large for each selector but the widest.
_LIMITS = np.array([0, *(1 << width for width in WIDTHS_BITS[1:-1])], dtype=np.uint64)
_WIDEST = len(WIDTHS_BITS) - 1
_PAIR = 13
_HEAD = 2


@dataclass(frozen=True, slots=True)
class Packed:
    """Series that are laid out alike.

    Attributes:
        which: their positions, n.
        blocks: how many blocks each has.
        slots: n x S, selectors and then blocks.
    """

    which: NDArray[np.intp]
    blocks: int
    slots: NDArray[np.uint64]


def pack(series: NDArray[np.unsignedinteger]) -> Iterator[Packed]:
    """Yield B series of N numbers each (B x N), grouped by layout."""
    head, rest = series[:, :_HEAD], series[:, _HEAD:]
    wide = _selectors(head.max(axis=1)) > _PAIR
    if rest.shape[1]:
        highest = rest.max(axis=1)
        width = _selectors(highest)
        width[(highest == rest.min(axis=1)) & (highest >> RUN_VALUE_BITS == 0)] = RUN
    else:
        width = np.zeros(len(series), dtype=np.intp)
    layout = width * 2 + wide
    for each in np.unique(layout).tolist():
        which = np.flatnonzero(layout == each)
        all_alike = len(which) == len(series)
        chosen = series if all_alike else series[which]
        selectors, blocks = _laid_out(chosen, int(each) // 2, wide=bool(each % 2))
        yield Packed(which, len(selectors), _joined(selectors, blocks))


def _selectors(highest: NDArray[np.unsignedinteger]) -> NDArray[np.intp]:
    """Return the narrowest selector for each number."""
    return np.maximum(np.searchsorted(_LIMITS, highest.astype(np.uint64), side="right"), 1)


def _laid_out(
    series: NDArray[np.unsignedinteger], selector: int, *, wide: bool
) -> tuple[list[int], list[NDArray[np.uint64]]]:
    head, rest = series[:, :_HEAD], series[:, _HEAD:]
    count = rest.shape[1]
    first = _WIDEST if wide or head.shape[1] < _HEAD else _PAIR
    blocks = [_filled(head, first)]
    selectors = [first] * blocks[0].shape[1]
    if selector == RUN:
        run = rest[:, :1].astype(np.uint64) | np.uint64(count << RUN_VALUE_BITS)
        return [*selectors, RUN], [*blocks, run]
    if count:
        blocks.append(_filled(rest, selector))
        selectors += [selector] * blocks[1].shape[1]
    return selectors, blocks


def _filled(numbers: NDArray[np.unsignedinteger], selector: int) -> NDArray[np.uint64]:
    """Return numbers (n x N) as blocks of one width, the last one filled up with zeros."""
    width = WIDTHS_BITS[selector]
    each = 64 // width
    if each == 1:
        return numbers.astype(np.uint64)
    count, length = numbers.shape
    blocks = -(-length // each)
    padded = np.zeros((count, blocks * each), dtype=numbers.dtype)
    padded[:, :length] = numbers
    found = padded[:, ::each].astype(np.uint64)
    for place in range(1, each):
        found |= padded[:, place::each].astype(np.uint64) << np.uint64(width * place)
    return found


def slots_of(selectors: list[int]) -> NDArray[np.uint64]:
    """Return selectors as slots, sixteen a slot from the lowest bits on."""
    padded = selectors + [0] * (-len(selectors) % SELECTORS_A_SLOT)
    nibbles = np.array(padded, dtype=np.uint64).reshape(-1, SELECTORS_A_SLOT)
    shifts = np.arange(0, 64, 4, dtype=np.uint64)
    slots: NDArray[np.uint64] = np.bitwise_or.reduce(nibbles << shifts, axis=1)
    return slots


def _joined(selectors: list[int], blocks: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    slots = slots_of(selectors)
    return np.hstack([np.broadcast_to(slots, (len(blocks[0]), len(slots))), *blocks])
