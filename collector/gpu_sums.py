"""What each message comes to, accelerator by accelerator: the rows of `gpu_rollup_parts`.

Owns the reduction along the ticks. A row is a host and a minute; nothing here depends on what was
stored before, so the rows are only ever added, and moved to minutes and hours later
(`compaction.py`).
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector.copy_rows import Column, timestamps
from collector.rollup import (
    NONE_HIGH,
    NONE_LOW,
    RACK_PERIOD_US,
    REASONS,
    THROTTLED_BITS,
    reduced,
)
from collector.sample_columns import SampleColumns
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Metric

_STATUS = "reader_status_code"


def part_rows(columns: SampleColumns) -> Iterator[tuple[list[Column], int]]:
    """Yield columns of `gpu_rollup_parts` in its order, and how many rows they hold.

    A row starts with each message, and where its ticks pass into another minute. Messages are taken
    together that pass at the same tick, so that a stretch is a slice of all of them.
    """
    minutes = columns.times_us // RACK_PERIOD_US
    passes = minutes[:, 1:] != minutes[:, :-1]
    one_minute = ~passes.any(axis=1)
    if one_minute.all():
        yield _rows(_Stretch(columns, None, slice(None)))
        return
    forms, form_of = np.unique(passes, axis=0, return_inverse=True)
    for number, form in enumerate(forms):
        messages = np.flatnonzero(form_of.reshape(-1) == number)
        starts = [0, *(np.flatnonzero(form) + 1).tolist(), columns.times_us.shape[1]]
        for start, stop in pairwise(starts):
            yield _rows(_Stretch(columns, messages, slice(start, stop)))


def _rows(stretch: "_Stretch") -> tuple[list[Column], int]:
    cells = [
        Column(timestamps(stretch.times_us)),
        Column(stretch.picked(stretch.columns.senders.host_ids)),
        Column(stretch.picked(stretch.columns.senders.gpu_ids)),
        Column(stretch.lengths().astype(np.int16)),
        Column(stretch.throttled().astype(np.int16)),
        _without_missing(stretch.reduced(np.bitwise_or, REASONS, 0), "i4"),
        _without_missing(stretch.reduced(np.maximum, _STATUS, 0), "i2"),
    ]
    for metric in CATALOGUE.rollup():
        cells += stretch.sums(metric)
    return cells, len(stretch.times_us)


class _Stretch:
    """The same ticks of some messages (None: of all); reduced, R messages x G accelerators."""

    def __init__(
        self, columns: SampleColumns, messages: NDArray[np.intp] | None, ticks: slice
    ) -> None:
        self.columns = columns
        self._messages = messages
        self._ticks = ticks
        self.times_us: NDArray[np.int64] = self.picked(columns.times_us)[:, ticks][:, 0]
        self._shape = (len(self.times_us), columns.senders.gpu_ids.shape[1])
        self._length = len(range(*ticks.indices(columns.times_us.shape[1])))

    def picked(self, each: NDArray[Any]) -> NDArray[Any]:
        """Return what belongs to these messages, of an array with one element a message."""
        return each if self._messages is None else each[self._messages]

    def lengths(self) -> NDArray[np.int64]:
        """Ticks of each stretch, for each accelerator."""
        return np.full(self._shape, self._length, dtype=np.int64)

    def throttled(self) -> NDArray[np.int64]:
        """Ticks with a slowdown."""
        values, missing = self._of(REASONS)
        if values is None:
            return np.zeros(self._shape, dtype=np.int64)
        slow = (values & THROTTLED_BITS) != 0
        if missing is not None:
            slow &= ~missing
        return _over_ticks(np.add, slow, np.int64)

    def reduced(
        self, by: np.ufunc, name: str, nothing: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
        """Reduce a metric; where it was missing throughout, the second is true."""
        values, missing = self._of(name)
        if values is None:
            return np.zeros(self._shape, dtype=np.int64), np.ones(self._shape, dtype=np.bool_)
        if missing is None:
            return _over_ticks(by, values), None
        found = _over_ticks(by, np.where(missing, nothing, values.astype(np.int64)))
        return found, _over_ticks(np.logical_and, missing)

    def sums(self, metric: Metric) -> list[Column]:
        """Return sum, count, minimum and maximum of a metric."""
        values, missing = self._of(metric.name)
        if values is None:
            nothing = np.zeros(self._shape, dtype=np.int64)
            count, total = nothing, nothing
        elif missing is None:
            count = self.lengths()
            total = _over_ticks(np.add, values, np.int64)
        else:
            count = _over_ticks(np.add, ~missing, np.int64)
            total = _over_ticks(np.add, np.where(missing, 0, values), np.int64)
        return [
            Column(total.astype(np.int32 if metric.storage == "i2" else np.int64)),
            Column(count.astype(np.int16)),
            _without_missing(self.reduced(np.minimum, metric.name, NONE_LOW), metric.storage),
            _without_missing(self.reduced(np.maximum, metric.name, NONE_HIGH), metric.storage),
        ]

    def _of(self, name: str) -> tuple[NDArray[Any] | None, NDArray[np.bool_] | None]:
        values, missing = self.columns.values.get(name), self.columns.missing.get(name)
        if values is None:
            return None, None
        absent = None if missing is None else self.picked(missing)[:, :, self._ticks]
        return self.picked(values)[:, :, self._ticks], absent


def _over_ticks(
    by: np.ufunc, cells: NDArray[Any], dtype: type[np.generic] | None = None
) -> NDArray[Any]:
    """Reduce R x G x T to R x G."""
    return reduced(by, [cells[:, :, at] for at in range(cells.shape[2])], dtype)


def _without_missing(
    found: tuple[NDArray[np.int64], NDArray[np.bool_] | None], storage: str
) -> Column:
    values, missing = found
    if missing is None or not missing.any():
        return Column(values.astype(storage))
    return Column(np.where(missing, 0, values).astype(storage), missing)
