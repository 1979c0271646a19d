r"""Prometheus' text format, as far as queues need it: samples with name, labels and value.

Owns the parser. It is small because it takes only what an endpoint must send and refuses the
rest: comments are skipped, timestamps dropped, and a line that is none is an error that names it.
The whole text is refused with it, since half a scrape would look like an emptier queue.

    metric_name{label="value \"quoted\"",other=""} 1.5e3 1700000000000
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from math import isfinite
from typing import NamedTuple

from telemetry.errors import ReadError

SAMPLES_MAX = 100_000

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|(?=\}))')
# What follows: value, then perhaps a timestamp, then perhaps an OpenMetrics exemplar.
_VALUE = re.compile(r"\s+([^\s#]+)(?:\s+-?[0-9.]+)?\s*(?:#.*)?$")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "\\": "\\", '"': '"'}


class Sample(NamedTuple):
    """One line."""

    name: str
    labels: dict[str, str]
    value: float


def parse(text: str, wanted: frozenset[str] | None = None) -> Iterator[Sample]:
    """Yield the samples of a text whose values are numbers; NaN says that there is none.

    Args:
        text: what the endpoint sent.
        wanted: names to take; the lines of others are not looked into. None takes all.

    Raises:
        ReadError: a line is not of the format, or there are too many.
    """
    count = 0
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip(" \t\r")  # noqa: PLW2901 - the same line without its edges
        if not line or line.startswith("#"):
            continue
        name = _NAME.match(line)
        if name is None:
            raise ReadError(f"line {number} has no metric name: {line[:80]!r}")
        if wanted is not None and name[0] not in wanted:
            continue
        count += 1
        if count > SAMPLES_MAX:
            raise ReadError(f"more than {SAMPLES_MAX} samples")
        labels, end = _labels(line, name.end(), number)
        value = _value(line, end, number)
        if isfinite(value):
            yield Sample(name[0], labels, value)


def _labels(line: str, start: int, number: int) -> tuple[dict[str, str], int]:
    """Return the labels and where they end."""
    labels: dict[str, str] = {}
    at = start
    if line[at : at + 1] != "{":
        return labels, at
    at += 1
    while (label := _LABEL.match(line, at)) is not None:
        if label[1] in labels:
            raise ReadError(f"line {number} has the label {label[1]} twice")
        labels[label[1]] = _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[0]), label[2])
        at = label.end()
    closing = re.compile(r"\s*\}").match(line, at)
    if closing is None:
        raise ReadError(f"line {number} has labels that cannot be read: {line[:80]!r}")
    return labels, closing.end()


def _value(line: str, start: int, number: int) -> float:
    # A name without labels is followed by a blank; labels may be followed by the value at once.
    found = _VALUE.match(f" {line[start:]}" if line[start - 1] == "}" else line[start:])
    # float() would take 1_000, which the format does not know.
    if found is not None and "_" not in found[1]:
        with suppress(ValueError):
            return float(found[1])
    raise ReadError(f"line {number} has no value: {line[:80]!r}")
