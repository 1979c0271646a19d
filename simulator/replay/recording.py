"""A recording, whatever layout it came in: hosts, and what they and their queues said when.

Owns the records between the layouts and the player, and the strict reading of CSV tables.
"""

import csv
import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TextIO, cast

from telemetry.errors import ConfigError
from telemetry.packing import Reading
from telemetry.records import NAME_PATTERN, Accelerator, QueueSnapshot

SOURCE = "replay"
PROBLEMS_KEPT = 10
NAME_CHARS_MAX = 100
_TIME_US_MAX = 7_258_118_400_000_000
_NAME = re.compile(NAME_PATTERN)


class RowError(ValueError):
    """A row that cannot be used; the text says why."""


class Step(NamedTuple):
    """Everything that the recording says about one moment.

    Attributes:
        time_s: in the recording's own time.
        readings: per host number, one reading per accelerator; hosts that said nothing are absent.
        queues: snapshots; their `time_us` is set by the player.
    """

    time_s: float
    readings: Mapping[int, Sequence[Reading]]
    queues: Sequence[QueueSnapshot]


@dataclass(frozen=True, slots=True)
class RecordedHost:
    """One host of the recording."""

    name: str
    accelerators: tuple[Accelerator, ...]


@dataclass(slots=True)
class Problems:
    """Rows that were left out: how many, and the first few as `file:line: reason`."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, path: Path, line: int, reason: object) -> None:
        """Note a row."""
        self.count += 1
        if len(self.first) < PROBLEMS_KEPT:
            self.first.append(f"{path}:{line}: {reason}")


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole recording.

    Attributes:
        layout: its name.
        metrics: catalogue names that its readings hold, besides the reader's status.
        steps: in order of time; at least one.
        points: values read from the files.
    """

    layout: str
    hosts: tuple[RecordedHost, ...]
    metrics: tuple[str, ...]
    steps: tuple[Step, ...]
    points: int
    problems: Problems

    @property
    def first_s(self) -> float:
        """Time of the first step."""
        return self.steps[0].time_s

    @property
    def last_s(self) -> float:
        """Time of the last step."""
        return self.steps[-1].time_s


def find_table(folder: Path, name: str) -> Path | None:
    """Return the path of a table, plain or compressed; None where there is none."""
    for suffix in (".csv", ".csv.gz"):
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return path
    return None


def read_table(
    path: Path, columns: Sequence[str], problems: Problems
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, the fields of `columns`, in their order) for each row.

    A row of another length is a problem. More columns than asked for are allowed.

    Raises:
        ConfigError: the file cannot be read, or its heading lacks a column.
    """
    try:
        with _open(path) as text:
            rows = csv.reader(text, strict=True)
            heading = next(rows, [])
            missing = [column for column in columns if column not in heading]
            if missing:
                raise ConfigError([f"{path}:1: the heading lacks {', '.join(missing)}"])
            places = [heading.index(column) for column in columns]
            for row in rows:
                if len(row) == len(heading):
                    yield rows.line_num, [row[place] for place in places]
                else:
                    reason = f"{len(row)} fields, the heading has {len(heading)}"
                    problems.add(path, rows.line_num, reason)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError([f"{path}: {error}"]) from error


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8", newline=""))
    return path.open(encoding="utf-8", newline="")


def parse_time_s(text: str) -> int:
    """Return whole seconds of a plausible time.

    Raises:
        RowError: it is not one.
    """
    if not (text.isascii() and text.isdigit()) or int(text) * 1_000_000 > _TIME_US_MAX:
        raise RowError(f"{text[:40]!r} is not a time in whole seconds")
    return int(text)


@lru_cache(maxsize=4096)
def parse_name(text: str) -> str:
    """Return a name that is harmless everywhere, or the empty one.

    Raises:
        RowError: it is not one.
    """
    if text and (len(text) > NAME_CHARS_MAX or not _NAME.fullmatch(text)):
        raise RowError(f"{text[:40]!r} is not a name")
    return text


def parse_count(text: str, maximum: int) -> int:
    """Return a whole number from 0 to `maximum`.

    Raises:
        RowError: it is not one.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) > maximum:
        raise RowError(f"{text[:40]!r} is not a count of at most {maximum}")
    return int(text)
