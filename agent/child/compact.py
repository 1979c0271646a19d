"""Readings on their way from the child: names once, then numbers.

Owns both sides of it. Which metrics a board answers, and which it does not offer, is the same from
second to second, so it is told when it is new and meant by its number from then on.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.accelerators import AcceleratorReading, RunningProcess
from telemetry.errors import DecodeError
from telemetry.records import ReaderStatus

# A board whose answers are ever others makes the child begin anew, and not grow.
SHAPES_MAX = 64


class Shape(msgspec.Struct, frozen=True, array_like=True):
    """What readings have in common: names of their values in order, and what is not offered."""

    names: tuple[str, ...]
    unsupported: frozenset[str]


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One reading; the fields that are not here are the shape's."""

    uuid: bytes
    status: ReaderStatus
    shape: Annotated[int, Meta(ge=0)]
    values: list[int]
    failed: dict[str, str] = {}
    outdated: bool = False
    processes: tuple[RunningProcess, ...] = ()


class Readings(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """From the child: one row a position that was asked for; None where none came in time.

    Attributes:
        number: of the question.
        first: number of the first new shape; 0 forgets those that were there.
        shapes: that are new.
    """

    number: int
    rows: list[Row | None]
    first: Annotated[int, Meta(ge=0)] = 0
    shapes: list[Shape] = []


class Folder:
    """The child's side: remembers what it has told."""

    def __init__(self) -> None:
        self._told: dict[tuple[tuple[str, ...], frozenset[str]], int] = {}

    def fold(self, number: int, readings: Sequence[AcceleratorReading | None]) -> Readings:
        """Return the answer to a question."""
        if len(self._told) + len(readings) > SHAPES_MAX:
            self._told.clear()
        first = len(self._told)
        rows = [None if reading is None else self._row(reading) for reading in readings]
        shapes = [Shape(*told) for told in list(self._told)[first:]]
        return Readings(number, rows, first, shapes)

    def _row(self, reading: AcceleratorReading) -> Row:
        told = self._told
        return Row(
            reading.uuid,
            reading.status,
            told.setdefault((tuple(reading.values), reading.unsupported), len(told)),
            list(reading.values.values()),
            reading.failed,
            reading.outdated,
            reading.processes,
        )


class Unfolder:
    """The parent's side: remembers what it was told. It must see every answer, wanted or not."""

    def __init__(self) -> None:
        self._shapes: list[Shape] = []

    def unfold(self, answer: Readings) -> list[AcceleratorReading | None]:
        """Return the readings of an answer.

        Raises:
            DecodeError: the child does not keep to what it has told.
        """
        if answer.shapes or answer.first == 0:
            if answer.first > len(self._shapes) or answer.first + len(answer.shapes) > SHAPES_MAX:
                raise DecodeError("malformed", "a reading of no known shape")
            self._shapes[answer.first :] = answer.shapes
        return [None if row is None else self._reading(row) for row in answer.rows]

    def _reading(self, row: Row) -> AcceleratorReading:
        try:
            shape = self._shapes[row.shape]
            values = dict(zip(shape.names, row.values, strict=True))
        except (IndexError, ValueError) as error:
            raise DecodeError("malformed", "a reading of no known shape") from error
        return AcceleratorReading(
            row.uuid, row.status, values, shape.unsupported, row.failed, row.outdated, row.processes
        )
