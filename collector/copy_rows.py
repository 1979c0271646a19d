"""Rows for PostgreSQL's binary COPY, made from numpy columns without an object a value.

A row of the binary format is a count of fields and, per field, a length and that many bytes, all
big-endian (https://www.postgresql.org/docs/current/sql-copy.html). Where nothing is missing, all
rows are of one length, so that a block of them is a matrix of bytes: lengths are filled in once,
and a column is one strided assignment. NULL is the length -1 without bytes; a block with NULLs is
filled in the same way, and then the bytes that must not be there are masked out.

Owns the format. Which columns go where is for `store.py`'s callers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from threading import get_ident
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
END = b"\xff\xff"
NULL_LENGTH = -1
# PostgreSQL counts microseconds from 2000.
EPOCH_OFFSET_US = 946_684_800_000_000
# A block of rows stays in the processor's cache while its columns are filled in one by one.
BLOCK_ROWS = 4096
BLOCK_BYTES = 1 << 20
_ELEMENT_OIDS = {2: 21, 4: 23, 8: 20}  # int2, int4, int8


@dataclass(frozen=True, slots=True)
class Column:
    """One column of R rows.

    Attributes:
        values: R numbers, or R x E for an array column; None where all rows are NULL.
        missing: the same shape, true where there is no value; None where all have one.
    """

    values: NDArray[Any] | None
    missing: NDArray[np.bool_] | None = None


def timestamps(times_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return microseconds since 1970 as PostgreSQL's timestamptz."""
    return times_us - EPOCH_OFFSET_US


def rows_of(columns: Sequence[Column], count: int) -> Iterator[bytes]:
    """Yield `count` rows in order, in blocks; SIGNATURE and END are for the caller to add."""
    forms = tuple(_form(column) for column in columns)
    for start in range(0, count, step := len(_template(forms, get_ident()))):
        part = slice(start, min(start + step, count))
        yield _block(columns, part, _template(forms, get_ident())[: part.stop - part.start])


def rows_of_all(parts: Iterable[tuple[Sequence[Column], int]]) -> Iterator[bytes]:
    """Yield the rows of several parts, one after the other."""
    for columns, count in parts:
        yield from rows_of(columns, count)


# The number type of a column, and how many elements an array of it has; None where all is NULL.
_Form = tuple[str, int | None] | None


def _form(column: Column) -> _Form:
    if column.values is None:
        return None
    number = f">{column.values.dtype.kind}{column.values.dtype.itemsize}"
    return number, None if column.values.ndim == 1 else column.values.shape[1]


@lru_cache(maxsize=16)
def _template(forms: tuple[_Form, ...], _thread: int) -> NDArray[np.void]:
    """Return a block of rows with everything in place but the values, which are filled in anew."""
    fields: list[tuple[str, Any]] = [("count", ">i2")]
    fields += [(f"f{at}", _field_dtype(form)) for at, form in enumerate(forms)]
    row = np.zeros(1, dtype=np.dtype(fields))
    row["count"] = len(forms)
    for at, form in enumerate(forms):
        field = row[f"f{at}"]
        if form is None:
            field["length"] = NULL_LENGTH
            continue
        field["length"] = field.dtype.itemsize - 4
        number, elements = form
        if elements is not None:
            width = np.dtype(number).itemsize
            field["dimensions"] = 1
            field["oid"] = _ELEMENT_OIDS[width]
            field["size"] = elements
            field["lower_bound"] = 1
            field["elements"]["length"] = width
    rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // row.dtype.itemsize))
    # As bytes without fields a row is copied as one piece of memory.
    return np.repeat(row.view(f"V{row.dtype.itemsize}"), rows).view(row.dtype)


def _field_dtype(form: _Form) -> np.dtype[Any]:
    if form is None:
        return np.dtype([("length", ">i4")])
    number, elements = form
    if elements is None:
        return np.dtype([("length", ">i4"), ("value", number)])
    head = [
        (name, ">i4") for name in ("length", "dimensions", "flags", "oid", "size", "lower_bound")
    ]
    element = [("length", ">i4"), ("value", number)]
    return np.dtype([*head, ("elements", element, (elements,))])


def _block(columns: Sequence[Column], part: slice, rows: NDArray[np.void]) -> bytes:
    incomplete = np.zeros(len(rows), dtype=np.bool_)
    for at, column in enumerate(columns):
        if column.values is None:
            continue
        field = rows[f"f{at}"]
        if column.values.ndim == 1:
            field["value"] = column.values[part]
        else:
            field["elements"]["value"] = column.values[part]
        if column.missing is not None:
            flags = column.missing[part]
            incomplete |= flags if flags.ndim == 1 else flags.any(axis=1)
    if not incomplete.any():
        return rows.tobytes()
    # As bytes without fields, rows are picked by copying memory and not field by field.
    plain = rows.view(f"V{rows.dtype.itemsize}")
    short, ends = _with_nulls(columns, part, plain[incomplete], incomplete, rows.dtype)
    return b"".join(_in_turn(plain, incomplete, short, ends))


def _in_turn(
    plain: NDArray[np.void], incomplete: NDArray[np.bool_], short: bytes, ends: NDArray[np.intp]
) -> Iterator[bytes]:
    """Yield runs of complete rows and of others as they follow each other.

    Args:
        plain: all rows of a block.
        incomplete: which of them hold a NULL.
        short: those, one after the other, each as short as it is.
        ends: where each of those ends in `short`.
    """
    bounds = [0, *(np.flatnonzero(incomplete[1:] != incomplete[:-1]) + 1).tolist(), len(plain)]
    taken = shown = 0
    for start, stop in pairwise(bounds):
        if not incomplete[start]:
            yield plain[start:stop].tobytes()
            continue
        shown += stop - start
        yield short[taken : ends[shown - 1]]
        taken = int(ends[shown - 1])


def _with_nulls(
    columns: Sequence[Column],
    part: slice,
    plain: NDArray[np.void],
    which: NDArray[np.bool_],
    dtype: np.dtype[Any],
) -> tuple[bytes, NDArray[np.intp]]:
    """Return the rows that hold a NULL, each as short as its NULLs make it, and where each ends.

    `plain` is a copy of just these rows, whose lengths are changed here.
    """
    rows = plain.view(dtype)
    there = np.ones((len(rows), rows.dtype.itemsize), dtype=np.bool_)
    fields: Mapping[str, Any] = rows.dtype.fields or {}
    for at, column in enumerate(columns):
        if column.values is None or column.missing is None:
            continue
        absent = column.missing[part][which]
        field, (inner, offset) = rows[f"f{at}"], fields[f"f{at}"][:2]
        if absent.ndim == 1:
            field["length"][absent] = NULL_LENGTH
            there[absent, offset + 4 : offset + inner.itemsize] = False
            continue
        width = column.values.dtype.itemsize
        field["flags"] = absent.any(axis=1)
        field["length"] -= width * absent.sum(axis=1)
        elements = field["elements"]
        elements["length"][absent] = NULL_LENGTH
        first = offset + inner.itemsize - elements.dtype.itemsize * absent.shape[1] + 4
        for element in range(absent.shape[1]):
            start = first + element * (4 + width)
            there[absent[:, element], start : start + width] = False
    ends = np.cumsum(there.sum(axis=1, dtype=np.intp))
    return rows.view(np.uint8).reshape(there.shape)[there].tobytes(), ends
