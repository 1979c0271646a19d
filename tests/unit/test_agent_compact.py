"""Readings on their way from the child: names once, then numbers, and nonsense is noticed."""

import msgspec
import pytest

from agent.accelerators import AcceleratorReading, RunningProcess
from agent.child.compact import SHAPES_MAX, Folder, Readings, Row, Shape, Unfolder
from telemetry.errors import DecodeError
from telemetry.records import ReaderStatus

UUID = b"u" * 16
WHOLE = AcceleratorReading(
    UUID,
    ReaderStatus.PARTIAL,
    {"a": 1, "b": -2},
    frozenset({"c"}),
    {"d": "why"},
    outdated=True,
    processes=(RunningProcess(7, None),),
)
LOST = AcceleratorReading(UUID, ReaderStatus.LOST)


def over_the_wire(answer: Readings) -> Readings:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=Readings)


def test_readings_come_out_as_they_went_in_and_names_travel_once() -> None:
    folder, unfolder = Folder(), Unfolder()
    first = over_the_wire(folder.fold(1, [WHOLE, None, LOST]))
    assert unfolder.unfold(first) == [WHOLE, None, LOST]
    assert len(first.shapes) == 2
    again = over_the_wire(folder.fold(2, [WHOLE, LOST]))
    assert again.shapes == []
    assert unfolder.unfold(again) == [WHOLE, LOST]


def test_a_board_whose_answers_are_ever_others_does_not_make_either_side_grow() -> None:
    folder, unfolder = Folder(), Unfolder()
    for number in range(5 * SHAPES_MAX):
        reading = AcceleratorReading(UUID, ReaderStatus.WHOLE, {f"m{number}": number})
        assert unfolder.unfold(over_the_wire(folder.fold(number, [reading, LOST]))) == [
            reading, LOST,
        ]  # fmt: skip
    assert len(unfolder._shapes) <= SHAPES_MAX


@pytest.mark.parametrize(
    "answer",
    [
        Readings(1, [Row(UUID, ReaderStatus.WHOLE, 0, [1])], first=1),
        Readings(1, [], first=1, shapes=[Shape((), frozenset())]),
        Readings(1, [], shapes=[Shape((), frozenset())] * (SHAPES_MAX + 1)),
        Readings(1, [Row(UUID, ReaderStatus.WHOLE, 0, [])], shapes=[Shape(("a",), frozenset())]),
    ],
)
def test_a_child_that_does_not_keep_to_what_it_told_is_malformed(answer: Readings) -> None:
    with pytest.raises(DecodeError):
        Unfolder().unfold(answer)
