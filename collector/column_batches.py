"""Rows as TimescaleDB keeps them in columns: batches of a thousand, one compressed value a column.

Owns the binary form of a compressed value: second differences of whole numbers (`delta-delta`),
packed by `simple8b.py`, with a bit a row for missing ones. A server takes it as it is
(`compressed_data_recv`), so that it neither parses rows nor compresses them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector import simple8b
from collector.copy_rows import Column

BATCH_ROWS = 1000
DELTA_DELTA = 4
# So many batches stay in the processor's cache from one step to the next, of two bytes a number and
# of more: it halves the time.
NARROW_AT_ONCE, WIDE_AT_ONCE = 256, 64
NULL = b"\xff\xff\xff\xff"
_HEADER = (
    ("length", ">i4"),
    ("algorithm", "u1"),
    ("has_nulls", "u1"),
    ("last_value", ">i8"),
    ("last_delta", ">i8"),
    ("elements", ">i4"),
    ("blocks", ">i4"),
)


def batches_of(column: Column, count: int) -> list[bytes]:
    """Return one field of COPY's binary format a batch of `count` rows."""
    if column.values is None:
        return [NULL] * -(-count // BATCH_ROWS)
    full = count // BATCH_ROWS
    ends = [full * BATCH_ROWS, count] if count % BATCH_ROWS else [full * BATCH_ROWS]
    fields: list[bytes] = []
    start = 0
    for end in ends:
        part, shape = slice(start, end), (-1, min(BATCH_ROWS, end - start or BATCH_ROWS))
        start = end
        values = column.values[part].reshape(shape)
        if not len(values):
            continue
        absent = None if column.missing is None else column.missing[part].reshape(shape)
        fields += _fields(values, absent)
    return fields


def hole_counts(columns: Iterable[Column], count: int) -> int:
    """Return how many different numbers of missing values batches have, over all columns.

    Each takes a turn of its own: a few cost little, hundreds more than a server that compresses.
    """
    starts = np.arange(0, count, BATCH_ROWS)
    found = 0
    for column in columns:
        if column.values is not None and column.missing is not None:
            holes = np.add.reduceat(column.missing, starts, dtype=np.intp)
            found += len(np.unique(holes[(holes > 0) & (holes < BATCH_ROWS)]))
    return found


def _fields(values: NDArray[np.signedinteger], absent: NDArray[np.bool_] | None) -> list[bytes]:
    """Return the fields of batches of one length (B x N)."""
    fields = [NULL] * len(values)
    if absent is None:
        for at, field in _packed(values):
            fields[at] = field
        return fields
    holes = absent.sum(axis=1)
    for number in np.unique(holes[holes < values.shape[1]]).tolist():
        which = np.flatnonzero(holes == number)
        known = values[which]
        nulls: list[bytes] = []
        if number:
            known = known[~absent[which]].reshape(len(which), -1)
            nulls = _bitmaps(absent[which])
        for at, field in _packed(known, nulls):
            fields[which[at]] = field
    return fields


def _packed(
    values: NDArray[np.signedinteger], nulls: Sequence[bytes] = ()
) -> Iterator[tuple[int, bytes]]:
    """Yield batches of known values (B x N) by position; where given, `nulls` go behind each."""
    narrow = values.dtype.itemsize == 2
    step = NARROW_AT_ONCE if narrow else WIDE_AT_ONCE
    for start in range(0, len(values), step):
        # Second differences of two-byte numbers fit into four bytes; others wrap, as theirs do.
        wide: NDArray[Any] = values[start : start + step].astype(np.int32 if narrow else np.int64)
        behind = len(nulls[0]) if nulls else 0
        for at, field in _second_differences(wide, behind):
            yield start + at, field + nulls[start + at] if nulls else field


def _second_differences(wide: NDArray[Any], behind: int) -> Iterator[tuple[int, bytes]]:
    """Yield batches by position, to be followed by so many bytes about missing values."""
    delta = wide.copy()
    delta[:, 1:] -= wide[:, :-1]
    second = delta.copy()
    second[:, 1:] -= delta[:, :-1]
    bits = second.dtype.itemsize * 8
    folded = ((second << 1) ^ (second >> (bits - 1))).view(f"u{second.dtype.itemsize}")
    for packed in simple8b.pack(folded):
        slots = packed.slots.shape[1]
        rows = np.zeros(len(packed.which), dtype=[*_HEADER, ("slots", ">u8", (slots,))])
        rows["length"] = rows.itemsize - 4 + behind
        rows["algorithm"] = DELTA_DELTA
        rows["has_nulls"] = behind > 0
        rows["last_value"] = wide[packed.which, -1]
        rows["last_delta"] = delta[packed.which, -1]
        rows["elements"] = wide.shape[1]
        rows["blocks"] = packed.blocks
        rows["slots"] = packed.slots
        plain, size = rows.tobytes(), rows.itemsize
        for at, which in enumerate(packed.which.tolist()):
            yield which, plain[at * size : (at + 1) * size]


def _bitmaps(absent: NDArray[np.bool_]) -> list[bytes]:
    """Return a bit a row (B x N), in blocks of 64."""
    count, length = absent.shape
    blocks = -(-length // 64)
    words = np.zeros((count, blocks), dtype=np.uint64)
    bits = np.packbits(absent, axis=1, bitorder="little")
    words.view(np.uint8).reshape(count, -1)[:, : bits.shape[1]] = bits
    head = np.array([length, blocks], dtype=">i4").tobytes()
    head += simple8b.slots_of([1] * blocks).astype(">u8").tobytes()
    return [head + row.tobytes() for row in words.astype(">u8")]
