"""What each message comes to, accelerator by accelerator: the rows of `gpu_rollup_parts`.

Owns the reduction along the ticks. A row is a host and a minute; nothing here depends on what was
stored before, so the rows are only ever added, and moved to minutes and hours later
(`compaction.py`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector.copy_rows import Column, timestamps
from collector.rollup import NONE_HIGH, NONE_LOW, RACK_PERIOD_US, REASONS, THROTTLED_BITS
from collector.sample_columns import SampleColumns
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Metric

_STATUS = "reader_status_code"


def part_rows(columns: SampleColumns) -> tuple[list[Column], int]:
    """Return the columns of `gpu_rollup_parts` in its order, and how many rows they hold.

    A row starts with each message, and where its ticks pass into another minute.
    """
    messages, ticks = columns.times_us.shape
    accelerators = columns.senders.gpu_ids.shape[1]
    minutes = columns.times_us // RACK_PERIOD_US
    new = np.ones((messages, ticks), dtype=np.bool_)
    new[:, 1:] = minutes[:, 1:] != minutes[:, :-1]
    starts = np.flatnonzero(new)
    of_message = starts // ticks
    runs = _Runs(columns, starts, np.diff(starts, append=messages * ticks), accelerators)
    cells = [
        Column(timestamps(columns.times_us.reshape(-1)[starts])),
        Column(columns.senders.host_ids[of_message]),
        Column(columns.senders.gpu_ids[of_message]),
        Column(runs.lengths().astype(np.int16)),
        Column(runs.throttled().astype(np.int16)),
        _without_missing(runs.reduced(np.bitwise_or, REASONS, 0), "i4"),
        _without_missing(runs.reduced(np.maximum, _STATUS, 0), "i2"),
    ]
    for metric in CATALOGUE.rollup():
        cells += runs.sums(metric)
    return cells, len(starts)


class _Runs:
    """Stretches of ticks of one message and minute; reduced, R stretches x G accelerators."""

    def __init__(
        self,
        columns: SampleColumns,
        starts: NDArray[np.intp],
        counts: NDArray[np.intp],
        accelerators: int,
    ) -> None:
        self._columns = columns
        self._starts = starts
        self._counts = counts
        self._shape = (len(starts), accelerators)

    def lengths(self) -> NDArray[np.int64]:
        """Ticks of each stretch, for each accelerator."""
        return np.broadcast_to(self._counts[:, None], self._shape).astype(np.int64)

    def throttled(self) -> NDArray[np.int64]:
        """Ticks with a slowdown."""
        values, missing = self._of(REASONS)
        if values is None:
            return np.zeros(self._shape, dtype=np.int64)
        slow = (values & THROTTLED_BITS) != 0
        if missing is not None:
            slow &= ~missing
        return np.add.reduceat(slow, self._starts, axis=0, dtype=np.int64)

    def reduced(
        self, by: np.ufunc, name: str, nothing: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
        """Reduce a metric; where it was missing throughout, the second is true."""
        values, missing = self._of(name)
        if values is None:
            return np.zeros(self._shape, dtype=np.int64), np.ones(self._shape, dtype=np.bool_)
        if missing is None:
            return by.reduceat(values, self._starts, axis=0), None
        found = by.reduceat(
            np.where(missing, nothing, values.astype(np.int64)), self._starts, axis=0
        )
        return found, np.logical_and.reduceat(missing, self._starts, axis=0)

    def sums(self, metric: Metric) -> list[Column]:
        """Return sum, count, minimum and maximum of a metric."""
        values, missing = self._of(metric.name)
        if values is None:
            nothing = np.zeros(self._shape, dtype=np.int64)
            count, total = nothing, nothing
        elif missing is None:
            count = self.lengths()
            total = np.add.reduceat(values, self._starts, axis=0, dtype=np.int64)
        else:
            count = np.add.reduceat(~missing, self._starts, axis=0, dtype=np.int64)
            known = np.where(missing, 0, values)
            total = np.add.reduceat(known, self._starts, axis=0, dtype=np.int64)
        return [
            Column(total.astype(np.int32 if metric.storage == "i2" else np.int64)),
            Column(count.astype(np.int16)),
            _without_missing(self.reduced(np.minimum, metric.name, NONE_LOW), metric.storage),
            _without_missing(self.reduced(np.maximum, metric.name, NONE_HIGH), metric.storage),
        ]

    def _of(self, name: str) -> tuple[NDArray[Any] | None, NDArray[np.bool_] | None]:
        values, missing = self._columns.values.get(name), self._columns.missing.get(name)
        if values is None:
            return None, None
        return _ticks_first(values), None if missing is None else _ticks_first(missing)


def _ticks_first(cells: NDArray[Any]) -> NDArray[Any]:
    """Return N x G x T as (N x T) x G, so that a stretch is a block of rows."""
    return np.ascontiguousarray(cells.transpose(0, 2, 1)).reshape(-1, cells.shape[1])


def _without_missing(
    found: tuple[NDArray[np.int64], NDArray[np.bool_] | None], storage: str
) -> Column:
    values, missing = found
    if missing is None or not missing.any():
        return Column(values.astype(storage))
    return Column(np.where(missing, 0, values).astype(storage), missing)
