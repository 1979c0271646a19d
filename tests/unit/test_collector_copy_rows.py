"""Binary COPY rows: every value and every NULL in its place, read back by the format."""

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from collector.copy_rows import BLOCK_ROWS, Column, rows_of, timestamps

Cell = int | None | list[int | None]


def read_rows(data: bytes) -> list[tuple[bytes | None, ...]]:
    """Read the tuple part of a binary COPY stream, as PostgreSQL would."""
    rows, at = [], 0
    while at < len(data):
        (fields,) = struct.unpack_from(">h", data, at)
        at += 2
        row = []
        for _ in range(fields):
            (length,) = struct.unpack_from(">i", data, at)
            at += 4
            row.append(None if length < 0 else data[at : at + length])
            at += max(length, 0)
        rows.append(tuple(row))
    return rows


def number(data: bytes | None) -> int | None:
    return None if data is None else int.from_bytes(data, "big", signed=True)


def array(data: bytes | None) -> list[int | None] | None:
    if data is None:
        return None
    dimensions, flags, oid, size, lower = struct.unpack_from(">iiiii", data)
    assert (dimensions, lower) == (1, 1)
    elements: list[int | None] = []
    at = 20
    for _ in range(size):
        (length,) = struct.unpack_from(">i", data, at)
        elements.append(None if length < 0 else number(data[at + 4 : at + 4 + length]))
        at += 4 + max(length, 0)
    assert at == len(data)
    assert flags == (1 if None in elements else 0)
    assert oid in (20, 21, 23)
    return elements


def column_of(cells: NDArray[np.int64], width: int, missing: NDArray[np.bool_] | None) -> Column:
    return Column(cells.astype(f"i{width}"), missing)


@given(st.data())
def test_what_goes_in_comes_out(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 9))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    widths = data.draw(st.lists(st.sampled_from([2, 4, 8]), min_size=1, max_size=6))
    columns, expected = [], []
    for width in widths:
        is_array = data.draw(st.booleans())
        shape = (count, data.draw(st.integers(1, 4))) if is_array else (count,)
        values = rng.integers(-(2**15), 2**15, shape)
        share = data.draw(st.sampled_from([0.0, 0.3, 1.0]))
        missing = rng.random(shape) < share if share else None
        columns.append(column_of(values, width, missing))
        cells = values.astype(object)
        if missing is not None:
            cells[missing] = None
        expected.append([list(cell) if is_array else cell for cell in cells])
    columns.append(Column(None))
    got = []
    for row in read_rows(b"".join(rows_of(columns, count))):
        assert row[-1] is None
        got.append(
            [
                array(cell)
                if column.values is not None and column.values.ndim == 2
                else number(cell)
                for cell, column in zip(row, columns[:-1], strict=False)
            ]
        )
    assert got == [list(row) for row in zip(*expected, strict=True)]


def test_blocks_join_to_all_rows_in_order() -> None:
    count = 2 * BLOCK_ROWS + 17
    column = Column(np.arange(count, dtype=np.int32))
    blocks = list(rows_of([column], count))
    assert len(blocks) == 3
    assert [number(cell) for (cell,) in read_rows(b"".join(blocks))] == list(range(count))


def test_nulls_of_one_block_leave_no_trace_in_the_next() -> None:
    count = BLOCK_ROWS + 5
    missing = np.zeros(count, dtype=np.bool_)
    missing[:BLOCK_ROWS] = True
    column = Column(np.ones((count, 2), dtype=np.int16), np.stack([missing, missing], axis=1))
    rows = read_rows(b"".join(rows_of([column], count)))
    assert [array(cell) for (cell,) in rows[-5:]] == [[1, 1]] * 5
    assert [array(cell) for (cell,) in rows[:5]] == [[None, None]] * 5


def test_timestamps_count_from_2000() -> None:
    assert timestamps(np.array([946_684_800_000_001]))[0] == 1
