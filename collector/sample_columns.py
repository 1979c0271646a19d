"""Samples messages of one shape as numpy columns, checked and ready to be stored.

Owns the values of a batch: which are missing, which are out of range. Nothing here runs per value.
What is done with the columns is in `copy_rows.py` (rows), `rollup.py` (sums) and `live.py` (state).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collector.intake import Samples, Window
from telemetry.catalogue import CATALOGUE
from telemetry.columns import Shape, missing_cells, read_bodies
from telemetry.metrics import Group, Metric

Integers = NDArray[np.signedinteger]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Senders:
    """Who sent N messages, one element a message; `gpu_ids` is N x G.

    Attributes:
        instances: N x G, which of them are MIG instances; None where none is.
    """

    host_ids: NDArray[np.int32]
    facility_ids: NDArray[np.int32]
    rack_ids: NDArray[np.int32]
    gpu_ids: NDArray[np.int32]
    boot_epochs: NDArray[np.int64]
    seqs: NDArray[np.int64]
    instances: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class SampleColumns:
    """N messages of T ticks and G accelerators each.

    Attributes:
        group: which table they go to.
        senders: one element a message.
        times_us: N x T, microseconds since 1970.
        values: by metric name, N x G x T, which is the order of the rows; what is under a missing
            cell means nothing.
        missing: by metric name, N x G x T, only for metrics with a missing cell.
        out_of_range: values that were outside of their metric's range and are now missing.
    """

    group: Group
    senders: Senders
    times_us: NDArray[np.int64]
    values: dict[str, Integers]
    missing: dict[str, Flags]
    out_of_range: int

    @property
    def rows(self) -> int:
        """Rows that these messages become."""
        return int(self.times_us.size) * int(self.senders.gpu_ids.shape[1])


class PackedSamples:
    """Messages of one shape whose bodies were joined, before it is known which are kept."""

    def __init__(self, shape: Shape, group: Group, messages: Sequence[Samples]) -> None:
        self.shape = shape
        self.group = group
        self.messages = messages
        self._records = read_bodies(shape, [message.body for message in messages])

    def times_outside(self, window: Window) -> dict[int, int]:
        """Return, by position, a tick time outside the window for each message that has one."""
        times = self._records["time"]
        if times.min() >= window.oldest_us and times.max() <= window.newest_us:
            return {}
        outside = (times < window.oldest_us) | (times > window.newest_us)
        return {
            int(position): int(times[position][outside[position]][0])
            for position in np.flatnonzero(outside.any(axis=1))
        }

    def columns(self, keep: NDArray[np.intp], senders: Senders) -> SampleColumns:
        """Return the kept messages as columns; `senders` has one element each."""
        records = self._records
        if len(keep) < len(records):
            records = records[keep]
        cells = missing_cells(self.shape, records)
        values: dict[str, Integers] = {}
        missing: dict[str, Flags] = {}
        out_of_range = 0
        for position, number in enumerate(self.shape.metric_ids):
            metric = CATALOGUE.by_id.get(number)
            if metric is None:
                continue  # of a newer catalogue than ours
            column = np.ascontiguousarray(records[f"m{number}"].transpose(0, 2, 1))
            absent = None if cells is None else cells[:, position].transpose(0, 2, 1)
            if absent is not None and not absent.any():
                absent = None
            absent, wrong = check_range(metric, column, absent)
            out_of_range += wrong
            values[metric.name] = column
            if absent is not None:
                missing[metric.name] = absent
        return SampleColumns(
            self.group,
            senders,
            np.ascontiguousarray(records["time"]),
            values,
            missing,
            out_of_range,
        )


def check_range(metric: Metric, column: Integers, absent: Flags | None) -> tuple[Flags | None, int]:
    """Return the missing cells, with values out of range among them, and how many those were."""
    if column.min() >= metric.minimum and column.max() <= metric.maximum:
        return absent, 0
    wrong = (column < metric.minimum) | (column > metric.maximum)
    if absent is not None:
        wrong &= ~absent
    count = int(np.count_nonzero(wrong))
    if count == 0:
        return absent, 0
    return (wrong if absent is None else absent | wrong), count
