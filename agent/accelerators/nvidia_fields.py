"""Many numbers in one trip to the driver: `nvmlDeviceGetFieldValues`.

Owns the batch of a group: which fields are asked, for the board or for each of its links, and the
sorting of entries that each have a verdict of their own.
"""

import struct
from collections.abc import Iterator
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


class Answer(NamedTuple):
    """One entry of the batch as it came back: type of the value, NVML's code, the union."""

    kind: int
    code: int
    union: bytes


def collect_fields(nvml: Any, board: Board, group: Group, collected: Collected) -> None:
    """Ask for all fields of a group that the board has not yet said no to.

    A lost board answers with success: some fields say "lost" and the others are stale, so one
    such verdict makes all of them worthless.
    """
    questions = list(_questions(board, group))
    answers: list[Answer | None] = []
    for start in range(0, len(questions), ENTRIES_PER_CALL_MAX):
        part = questions[start : start + ENTRIES_PER_CALL_MAX]
        asked = [(question.field, question.scope) for question in part]
        try:
            found = nvml.nvmlDeviceGetFieldValues(board.handle, asked)
        except nvml.NVMLError as error:
            collected.refuse(tuple({question.name for question in part}), error)
            answers += [None] * len(part)
        else:
            # Through the binding's own attributes each entry costs more than its question.
            answers += map(Answer._make, ENTRY.iter_unpack(memoryview(found).cast("B")))
    sound: dict[str, list[Answer]] = {}
    for question, answer in zip(questions, answers, strict=True):
        if answer is not None:
            sound.setdefault(question.name, []).append(answer)
    # All refusals first: a lost board must not leave values behind.
    told = {name: _told(nvml, name, entries, collected) for name, entries in sound.items()}
    for name, values in told.items():
        if values and name not in collected.failed:
            fold = LINK_FIELDS[name].fold if name in LINK_FIELDS else sum
            collected.accept(name, fold(values))


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
