"""Batches of a columnstore: every value comes back, by a reader that shares no code with us."""

import struct

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from collector.column_batches import BATCH_ROWS, DELTA_DELTA, NULL, batches_of
from collector.copy_rows import Column

WIDTHS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 10, 10: 12, 11: 16, 12: 21, 13: 32}


def numbers(data: bytes) -> tuple[list[int], bytes]:
    """Read one run of Simple-8b number by number; return it and what follows."""
    count, blocks = struct.unpack_from(">ii", data)
    slots = -(-blocks // 16)
    words = struct.unpack_from(f">{slots + blocks}Q", data, 8)
    found: list[int] = []
    for at in range(blocks):
        selector = words[at // 16] >> 4 * (at % 16) & 15
        word = words[slots + at]
        if selector == 15:
            found += [word & (1 << 36) - 1] * (word >> 36)
        elif selector == 14:
            found.append(word)
        else:
            width = WIDTHS[selector]
            found += [word >> width * place & (1 << width) - 1 for place in range(64 // width)]
    left = len(found) - count
    assert 0 <= left < 64, "only the last block may have room left"
    return found[:count], data[8 + 8 * len(words) :]


def signed(number: int) -> int:
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def read(field: bytes, rows: int) -> list[int | None]:
    """Read a field of COPY's binary format as TimescaleDB would."""
    if field == NULL:
        return [None] * rows
    length, algorithm, has_nulls, last_value, last_delta = struct.unpack_from(">iBBqq", field)
    assert (length, algorithm) == (len(field) - 4, DELTA_DELTA)
    folded, rest = numbers(field[22:])
    absent = numbers(rest)[0] if has_nulls else [0] * rows
    assert len(absent) == rows
    value = delta = 0
    known = []
    for number in folded:
        delta = signed(delta + ((number >> 1) ^ -(number & 1)))
        value = signed(value + delta)
        known.append(value)
    assert (value, delta) == (last_value, last_delta)
    values = iter(known)
    return [None if missing else next(values) for missing in absent]


def there_and_back(column: Column, count: int) -> list[int | None]:
    fields = batches_of(column, count)
    assert len(fields) == -(-count // BATCH_ROWS)
    found: list[int | None] = []
    for at, field in enumerate(fields):
        found += read(field, min(BATCH_ROWS, count - at * BATCH_ROWS))
    return found


@st.composite
def columns(draw: st.DrawFn) -> Column:
    """Any numbers, those that differ little, steps and constants; a few missing, or most."""
    dtype = np.dtype(draw(st.sampled_from(["i2", "i4", "i8"])))
    count = draw(st.sampled_from([1, 2, 3, 66, 999, 1000, 1001, 2500]))
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    bits = draw(st.integers(1, dtype.itemsize * 8))
    base = draw(arrays.from_dtype(dtype))
    noise = chance.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1, count, endpoint=True)
    held = draw(st.sampled_from([1, 10, 5000]))
    values = (np.int64(base) ^ np.repeat(noise, held)[:count]).astype(dtype)
    share = draw(st.sampled_from([None, 0.001, 0.5, 0.999, 1.0]))
    return Column(values, None if share is None else chance.random(count) < share)


@settings(max_examples=150, deadline=None)
@given(columns())
def test_every_value_and_every_hole_comes_back(column: Column) -> None:
    assert column.values is not None
    missing = column.missing if column.missing is not None else np.zeros(len(column.values), bool)
    sent = [
        None if hole else int(value) for value, hole in zip(column.values, missing, strict=True)
    ]
    assert there_and_back(column, len(sent)) == sent


def test_a_metric_that_no_message_has_is_null_in_every_batch() -> None:
    assert batches_of(Column(None), 2001) == [NULL] * 3


def test_what_is_constant_takes_no_room() -> None:
    (field,) = batches_of(Column(np.full(1000, 700, dtype=np.int32)), 1000)
    assert len(field) < 64
