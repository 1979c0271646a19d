"""Joined binary arrays become matrices; what is missing stays missing, what is odd is refused."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.ticks import WIDTHS, matrix

Array = list[int | None]


def packed(array: Array, kind: int) -> bytes:
    """What PostgreSQL's array_send makes of an array of integers."""
    if not array:
        return struct.pack(">iii", 0, 0, kind)
    parts = [struct.pack(">iiiii", 1, int(None in array), kind, len(array), 1)]
    for value in array:
        parts.append(struct.pack(">i", -1 if value is None else WIDTHS[kind]))
        if value is not None:
            parts.append(value.to_bytes(WIDTHS[kind], "big", signed=True))
    return b"".join(parts)


@st.composite
def columns(draw: st.DrawFn) -> tuple[int, int, list[Array]]:
    kind = draw(st.sampled_from(sorted(WIDTHS)))
    length = draw(st.integers(1, 5))
    limit = 2 ** (8 * WIDTHS[kind] - 1)
    value = st.integers(max(-limit, -(2**53)), min(limit - 1, 2**53))

    def filled(with_what: st.SearchStrategy[int | None]) -> st.SearchStrategy[Array]:
        return st.lists(with_what, min_size=length, max_size=length)

    array: st.SearchStrategy[Array] = st.one_of(
        st.builds(list[int | None]),
        filled(st.none()),
        filled(value),
        filled(st.one_of(value, st.none())),
    )
    return kind, length, draw(st.lists(array, min_size=1, max_size=6))


@given(columns())
def test_every_array_becomes_a_row(column: tuple[int, int, list[Array]]) -> None:
    kind, length, arrays = column
    found = matrix(b"".join(packed(array, kind) for array in arrays), len(arrays), length)
    for row, array in zip(found.tolist(), arrays, strict=True):
        wanted = array or [None] * length
        assert [None if np.isnan(value) else int(value) for value in row] == wanted


@given(columns(), st.data())
def test_bytes_that_are_cut_or_changed_never_become_more_than_was_asked_for(
    column: tuple[int, int, list[Array]], data: st.DataObject
) -> None:
    kind, length, arrays = column
    whole = bytearray(b"".join(packed(array, kind) for array in arrays))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        found = matrix(cut, len(arrays), length)
    except (ValueError, struct.error):
        return
    assert found.shape == (len(arrays), length)


@pytest.mark.parametrize(
    "odd",
    [
        packed([1, 2], 23) + b"\0",
        packed([1, 2, 3], 23),
        packed([1, 2], 23).replace(b"\0\0\0\x17", b"\0\0\0\x19"),  # text
        struct.pack(">iii", 2, 0, 23),
    ],
)
def test_what_is_not_such_an_array_is_refused(odd: bytes) -> None:
    with pytest.raises(ValueError, match="array"):
        matrix(odd, 1, 2)


def test_no_host_and_no_accelerator_are_empty() -> None:
    assert matrix(b"", 0, 8).shape == (0, 8)
    assert matrix(packed([], 23), 1, 0).shape == (1, 0)
