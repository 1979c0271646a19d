"""Rows as TimescaleDB keeps them in columns: batches of a thousand, one compressed value a column.

Owns the binary form of a compressed value: second differences of whole numbers (`delta-delta`),
packed by `simple8b.py`, with a bit a row for missing ones. A server takes it as it is
(`compressed_data_recv`), so that it neither parses rows nor compresses them.
"""

from collections.abc import Iterator
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


def _fields(values: NDArray[np.signedinteger], absent: NDArray[np.bool_] | None) -> list[bytes]:
    """Return the fields of batches of one length (B x N)."""
    fields = [NULL] * len(values)
    holes = np.zeros(len(values), dtype=np.bool_) if absent is None else absent.any(axis=1)
    whole = np.flatnonzero(~holes)
    for at, field in _packed(values if len(whole) == len(values) else values[whole]):
        fields[whole[at]] = field
    if absent is not None:
        for at in np.flatnonzero(holes).tolist():
            fields[at] = _with_nulls(values[at], absent[at])
    return fields


def _packed(values: NDArray[np.signedinteger], nulls: bytes = b"") -> Iterator[tuple[int, bytes]]:
    """Yield batches without missing values, by position; `nulls` goes behind the only one."""
    narrow = values.dtype.itemsize == 2
    step = NARROW_AT_ONCE if narrow else WIDE_AT_ONCE
    for start in range(0, len(values), step):
        # Second differences of two-byte numbers fit into four bytes; others wrap, as theirs do.
        wide: NDArray[Any] = values[start : start + step].astype(np.int32 if narrow else np.int64)
        for at, field in _second_differences(wide, nulls):
            yield start + at, field


def _second_differences(wide: NDArray[Any], nulls: bytes) -> Iterator[tuple[int, bytes]]:
    delta = wide.copy()
    delta[:, 1:] -= wide[:, :-1]
    second = delta.copy()
    second[:, 1:] -= delta[:, :-1]
    bits = second.dtype.itemsize * 8
    folded = ((second << 1) ^ (second >> (bits - 1))).view(f"u{second.dtype.itemsize}")
    for packed in simple8b.pack(folded):
        slots = packed.slots.shape[1]
        rows = np.zeros(len(packed.which), dtype=[*_HEADER, ("slots", ">u8", (slots,))])
        rows["length"] = rows.itemsize - 4 + len(nulls)
        rows["algorithm"] = DELTA_DELTA
        rows["has_nulls"] = bool(nulls)
        rows["last_value"] = wide[packed.which, -1]
        rows["last_delta"] = delta[packed.which, -1]
        rows["elements"] = wide.shape[1]
        rows["blocks"] = packed.blocks
        rows["slots"] = packed.slots
        plain, size = rows.tobytes(), rows.itemsize
        for at, which in enumerate(packed.which.tolist()):
            yield which, plain[at * size : (at + 1) * size] + nulls


def _with_nulls(values: NDArray[np.signedinteger], absent: NDArray[np.bool_]) -> bytes:
    """Return a batch with missing values: the others, and a bit a row."""
    known = values[~absent]
    if not len(known):
        return NULL
    bits = np.packbits(absent, bitorder="little")
    blocks = -(-len(absent) // 64)
    words = np.zeros(blocks, dtype=np.uint64)
    words.view(np.uint8)[: len(bits)] = bits
    selectors = simple8b.slots_of([1] * blocks)
    nulls = np.array([len(absent), blocks], dtype=">i4").tobytes()
    nulls += np.concatenate([selectors, words]).astype(">u8").tobytes()
    return next(_packed(known[None, :], nulls))[1]
