"""Many numbers in one trip to the driver: `nvmlDeviceGetFieldValues`.

Owns the batch of a group: which fields are asked, for the board or for each of its links, and the
sorting of entries that each have a verdict of their own.
"""

import ctypes
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from agent.accelerators.nvidia_board import Board, Collected
from agent.accelerators.nvidia_sources import FIELDS, LINK_FIELDS
from agent.accelerators.nvidia_verdict import Verdict, verdict
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group

# By nvmlValueType_t: how the number lies in the eight bytes of the union.
VALUES = tuple(struct.Struct(f"@{code}") for code in "dILQqiH")
# `nvmlFieldValue_t`: field, scope, time and latency (skipped), type, NVML's code, the union.
ENTRY = struct.Struct("@24xII8s")
# A trip for many more than this would hold the driver's lock for long.
ENTRIES_PER_CALL_MAX = 128


class Question(NamedTuple):
    """One entry of the batch: the metric that it is for, the field, and the link or 0."""

    name: str
    field: int
    scope: int


# One entry of the batch as it came back: type of the value, NVML's code, the union.
Answer = tuple[int, int, bytes]


class FieldBatch:
    """The fields of one group that a board has not yet said no to. Used by one thread at a time."""

    def __init__(self, nvml: Any, board: Board, group: Group) -> None:
        self._nvml = nvml
        self._board = board
        self._group = group
        self._handle: Any = None
        self._refused = -1
        self._trips: list[_Trip] = []

    def collect(self, collected: Collected) -> None:
        """Ask for all of them.

        A lost board answers with success: some fields say "lost" and the others are stale, so one
        such verdict makes all of them worthless.
        """
        if self._refused != len(self._board.unsupported) or self._handle is not self._board.handle:
            self._compile()
        sound: dict[str, list[Answer]] = {}
        for trip in self._trips:
            # Anew each time: what the driver does not fill must not be the answer before.
            trip.buffer[:] = trip.asked
            if code := trip.call(*trip.given):
                names = tuple(dict.fromkeys(trip.names))
                collected.refuse(names, self._nvml.NVMLError(code))
                continue
            if trip.ranges and _take_all(trip, collected):
                continue
            for name, answer in zip(trip.names, ENTRY.iter_unpack(trip.buffer), strict=True):
                if name in sound:
                    sound[name].append(answer)
                else:
                    sound[name] = [answer]
        # All refusals first: a lost board must not leave values behind.
        told = [
            (name, _told(self._nvml, name, entries, collected)) for name, entries in sound.items()
        ]
        for name, values in told:
            if values and name not in collected.failed:
                fold = LINK_FIELDS[name].fold if name in LINK_FIELDS else sum
                collected.accept(name, fold(values))

    def _compile(self) -> None:
        board = self._board
        questions = list(_questions(board, self._group))
        self._trips = [
            _trip(self._nvml, board.handle, questions[start : start + ENTRIES_PER_CALL_MAX])
            for start in range(0, len(questions), ENTRIES_PER_CALL_MAX)
        ]
        self._handle, self._refused = board.handle, len(board.unsupported)


class _Trip(NamedTuple):
    """One call for some of the questions, its answers and what they are about.

    Attributes:
        ranges: least and most of each metric, where each has one entry; empty where links have.
    """

    call: Callable[..., int]
    given: tuple[Any, ...]
    buffer: memoryview
    asked: bytes
    names: list[str]
    ranges: list[tuple[int, int]]


def _trip(nvml: Any, handle: Any, questions: list[Question]) -> _Trip:
    entries = (nvml.c_nvmlFieldValue_t * len(questions))()
    for entry, question in zip(entries, questions, strict=True):
        entry.fieldId, entry.scopeId = question.field, question.scope
    try:
        # The binding's own call allocates and fills all entries anew each time.
        call = nvml._nvmlGetFunctionPointer("nvmlDeviceGetFieldValues")  # noqa: SLF001
    except nvml.NVMLError as error:
        code = int(error.value)
        call = lambda *_: code  # noqa: E731 - a driver without the function refuses each time
    given = (handle, ctypes.c_int32(len(questions)), ctypes.byref(entries))
    names = [question.name for question in questions]
    buffer = memoryview(entries).cast("B")
    metrics = [CATALOGUE.by_name[name] for name in names]
    single = LINK_FIELDS.keys().isdisjoint(names)
    ranges = [(metric.minimum, metric.maximum) for metric in metrics] if single else []
    return _Trip(call, given, buffer, bytes(buffer), names, ranges)


def _take_all(trip: _Trip, collected: Collected) -> bool:
    """Take the answers of every second, in which nothing is wrong; False, and none, else."""
    values: dict[str, int] = {}
    answers = ENTRY.iter_unpack(trip.buffer)
    for name, (least, most), (kind, code, union) in zip(
        trip.names, trip.ranges, answers, strict=True
    ):
        if code or kind >= len(VALUES):
            return False
        value = int(VALUES[kind].unpack_from(union)[0])
        if not least <= value <= most:
            return False
        values[name] = value
    collected.values |= values
    return True


def _questions(board: Board, group: Group) -> Iterator[Question]:
    for name, field in FIELDS[group].items():
        if name not in board.unsupported:
            yield Question(name, field, 0)
    for name, (field, _) in LINK_FIELDS.items():
        if CATALOGUE.by_name[name].group is group and name not in board.unsupported:
            for link in range(board.nvlinks):
                yield Question(name, field, link)


def _told(nvml: Any, name: str, entries: list[Answer], collected: Collected) -> list[int]:
    """Return the numbers of one metric. A link that does not offer it is left out of the others."""
    values: list[int] = []
    silent = None
    for kind, code, union in entries:
        if not code and kind < len(VALUES):
            values.append(int(VALUES[kind].unpack_from(union)[0]))
        elif not code:
            collected.failed[name] = f"value of unknown type {kind}"
        elif verdict(code) is Verdict.UNSUPPORTED:
            silent = nvml.NVMLError(code)
        else:
            collected.refuse((name,), nvml.NVMLError(code))
    if silent is not None and not values and name not in collected.failed:
        collected.refuse((name,), silent)
    return values
