"""The newest ticks of many hosts, as the database sends them: whole columns of packed arrays.

Owns turning a column of PostgreSQL's binary arrays, joined into one value, into one matrix: an
array a host, an element an accelerator. A fleet of 220,000 changes 22,000 rows of 16 values a
second; made into Python's numbers one by one they would take most of a core.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# An array in binary: dimensions, whether it holds NULLs, type of its elements, then for each
# dimension its length and lower bound; then for each element its length, -1 for NULL, and its
# bytes. https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c
HEADER = struct.Struct(">iiiii")
EMPTY_BYTES = 12
NULL = b"\xff\xff\xff\xff"
WIDTHS = {20: 8, 21: 2, 23: 4}  # int8, int2, int4, by the number of the type


@dataclass(frozen=True, slots=True)
class Ticks:
    """Newest ticks of hosts that have equally many accelerators.

    Attributes:
        host_ids: number in the database, by host.
        time_s: time of the tick, by host; NaN where there was none.
        interval_s: time between two ticks, by host; 0 where it is not known.
        gpu_ids: number in the database; hosts x accelerators.
        readings: value by catalogue name, NaN where missing; hosts x accelerators.
    """

    host_ids: NDArray[np.int64]
    time_s: NDArray[np.float64]
    interval_s: NDArray[np.float64]
    gpu_ids: NDArray[np.int64]
    readings: dict[str, Floats]

    @classmethod
    def of(cls, row: Any, names: Sequence[str]) -> "Ticks":
        """Return the ticks of a row of the query `readings`: hosts of one size."""
        host_ids = np.array(row.host_ids, np.int64)
        shape = (len(host_ids), row.accelerators)
        return cls(
            host_ids,
            np.array(row.time_s, np.float64),
            np.array(row.interval_s, np.float64),
            matrix(row.gpu_ids, *shape).astype(np.int64),
            {name: matrix(getattr(row, name), *shape).astype(np.float32) for name in names},
        )


def matrix(packed: bytes, rows: int, columns: int) -> NDArray[np.float64]:
    """Return joined arrays as rows x columns, NaN where an element or a whole array is missing.

    Args:
        packed: one binary array of integers after the other, each of `columns` elements or none.
        rows: how many arrays there are.
        columns: how many elements an array has that has any.

    Raises:
        ValueError: these bytes are something else.
    """
    found = np.full((rows, columns), np.nan)
    if not rows or not columns:
        return found
    width = _width(packed)
    if width and len(packed) == rows * _size(columns, width):
        found[:] = _whole(packed, rows, columns, width)
        return found
    start = 0
    for row in range(rows):
        start = _read_one(packed, start, found[row])
    if start != len(packed):
        raise ValueError(f"{len(packed) - start} bytes after the last of {rows} arrays")
    return found


def _size(columns: int, width: int) -> int:
    return HEADER.size + columns * (4 + width)


def _width(packed: bytes) -> int:
    """Return the bytes of an element of the first array, 0 where it has none."""
    dimensions, _, kind = struct.unpack_from(">iii", packed)
    if kind not in WIDTHS or dimensions not in (0, 1):
        raise ValueError(f"an array of {dimensions} dimensions and type {kind}")
    return WIDTHS[kind] if dimensions else 0


def _whole(packed: bytes, rows: int, columns: int, width: int) -> NDArray[np.int64]:
    """Read arrays without a NULL: all are equally long, which only such arrays can be."""
    layout = np.dtype(
        [
            ("header", f"V{HEADER.size}"),
            ("elements", [("length", ">i4"), ("value", f">i{width}")], (columns,)),
        ]
    )
    values: NDArray[np.int64] = np.frombuffer(packed, layout, rows)["elements"]["value"]
    return values


def _read_one(packed: bytes, start: int, into: NDArray[np.float64]) -> int:
    """Read the array at `start` into a row; return where the next one begins."""
    dimensions, holds_null, kind = struct.unpack_from(">iii", packed, start)
    if dimensions == 0:
        return start + EMPTY_BYTES
    length: int = HEADER.unpack_from(packed, start)[3]
    if dimensions != 1 or length != len(into) or kind not in WIDTHS:
        raise ValueError(f"an array of {dimensions} dimensions, {length} long, type {kind}")
    width = WIDTHS[kind]
    at = start + HEADER.size
    if not holds_null:
        end = start + _size(length, width)
        into[:] = _whole(packed[start:end], 1, length, width)[0]
        return end
    end = at + 4 * length
    if packed[at:end] == NULL * length:
        return end
    for n in range(length):
        if packed[at : at + 4] == NULL:
            at += 4
        else:
            into[n] = int.from_bytes(packed[at + 4 : at + 4 + width], "big", signed=True)
            at += 4 + width
    return at
