"""Sums by facility and by rack, made from the columns of a batch as they pass.

Owns the reductions. The database adds them to what is there (`collector_sums.sql`) in the
transaction that stores the rows, which happens exactly once; so late and shuffled data end up where
a recomputation would put them. Missing values are left out and shown by the counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector.copy_rows import Column, timestamps
from collector.sample_columns import SampleColumns
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Metric

FACILITY_PERIOD_US = 10_000_000
RACK_PERIOD_US = 60_000_000

# Hardware slowdown, software and hardware thermal slowdown, power brake:
# https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html
THROTTLED_BITS = 0x08 | 0x20 | 0x40 | 0x80
REASONS = "clock_event_reasons_bitmask"


@dataclass(frozen=True, slots=True)
class Sums:
    """One metric, reduced; one element a tick of a message, or a bucket."""

    total: NDArray[np.int64]
    count: NDArray[np.int64]
    lowest: NDArray[np.int64]
    highest: NDArray[np.int64]


# What a minimum or maximum over nothing is; it never reaches the database.
NONE_LOW = np.iinfo(np.int64).max
NONE_HIGH = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class TickSums:
    """Messages reduced over their accelerators: one element a message and tick."""

    times_us: NDArray[np.int64]
    facility_ids: NDArray[np.int32]
    rack_ids: NDArray[np.int32]
    rows: NDArray[np.int64]
    throttled: NDArray[np.int64]
    metrics: dict[str, Sums]


def tick_sums(columns: SampleColumns) -> TickSums:
    """Reduce messages over their accelerators; a MIG instance is a part of one, and counts not."""
    ticks = columns.times_us.shape[1]
    accelerators = np.full(len(columns.times_us), columns.senders.gpu_ids.shape[1], dtype=np.int64)
    if columns.senders.instances is not None:
        accelerators -= columns.senders.instances.sum(axis=1)
        columns = _without(columns, columns.senders.instances)
    return TickSums(
        columns.times_us.reshape(-1),
        np.repeat(columns.senders.facility_ids, ticks),
        np.repeat(columns.senders.rack_ids, ticks),
        np.repeat(accelerators, ticks),
        _throttled(columns),
        {metric.name: _reduce(metric, columns) for metric in CATALOGUE.rollup()},
    )


def _without(columns: SampleColumns, instances: NDArray[np.bool_]) -> SampleColumns:
    """Return the columns with all that these accelerators tell missing."""
    wide = np.broadcast_to(instances[:, :, None], (*instances.shape, columns.times_us.shape[1]))
    missing = {name: columns.missing.get(name, False) | wide for name in columns.values}
    return replace(columns, missing=missing)


def facility_rows(parts: Sequence[TickSums]) -> tuple[list[Column], int]:
    """Return the columns of `facility_rollup_10s` in its order, and how many rows they hold."""
    return _bucket(parts, [part.facility_ids for part in parts], FACILITY_PERIOD_US)


def rack_rows(parts: Sequence[TickSums]) -> tuple[list[Column], int]:
    """Return the columns of `rack_rollup_1m` in its order, and how many rows they hold."""
    return _bucket(parts, [part.rack_ids for part in parts], RACK_PERIOD_US)


def _reduce(metric: Metric, columns: SampleColumns) -> Sums:
    values = columns.values.get(metric.name)
    ticks = columns.times_us.size
    if values is None:
        nothing = np.zeros(ticks, dtype=np.int64)
        return Sums(nothing, nothing, np.full(ticks, NONE_LOW), np.full(ticks, NONE_HIGH))
    missing = columns.missing.get(metric.name)
    if missing is None:
        return Sums(
            over_accelerators(np.add, values, np.int64),
            np.full(ticks, values.shape[1], dtype=np.int64),
            over_accelerators(np.minimum, values).astype(np.int64),
            over_accelerators(np.maximum, values).astype(np.int64),
        )
    wide = values.astype(np.int64)
    return Sums(
        over_accelerators(np.add, np.where(missing, 0, wide)),
        over_accelerators(np.add, ~missing, np.int64),
        over_accelerators(np.minimum, np.where(missing, NONE_LOW, wide)),
        over_accelerators(np.maximum, np.where(missing, NONE_HIGH, wide)),
    )


def _throttled(columns: SampleColumns) -> NDArray[np.int64]:
    reasons = columns.values.get(REASONS)
    if reasons is None:
        return np.zeros(columns.times_us.size, dtype=np.int64)
    slow = (reasons & THROTTLED_BITS) != 0
    missing = columns.missing.get(REASONS)
    if missing is not None:
        slow &= ~missing
    return over_accelerators(np.add, slow, np.int64)


def over_accelerators(
    by: np.ufunc, cells: NDArray[Any], dtype: type[np.generic] | None = None
) -> NDArray[Any]:
    """Reduce N x G x T to N x T, as one dimension."""
    return reduced(by, [cells[:, at] for at in range(cells.shape[1])], dtype).reshape(-1)


def reduced(
    by: np.ufunc, parts: Sequence[NDArray[Any]], dtype: type[np.generic] | None = None
) -> NDArray[Any]:
    """Reduce a few arrays to one, which for so few takes half the time of an axis of an array."""
    found = parts[0].astype(dtype or parts[0].dtype)
    for part in parts[1:]:
        by(found, part, out=found)
    return found


def _bucket(
    parts: Sequence[TickSums], ids: Sequence[NDArray[np.int32]], period_us: int
) -> tuple[list[Column], int]:
    """Reduce ticks to buckets, in order of id and time."""
    id_of = np.concatenate(ids)
    bucket_of = np.concatenate([part.times_us for part in parts]) // period_us
    order = np.lexsort((bucket_of, id_of))
    id_of, bucket_of = id_of[order], bucket_of[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (id_of[1:] != id_of[:-1]) | (bucket_of[1:] != bucket_of[:-1])
    starts = np.flatnonzero(new)

    def added(arrays: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        sums: NDArray[np.int64] = np.add.reduceat(np.concatenate(arrays)[order], starts)
        return sums

    columns = [
        Column(timestamps(bucket_of[starts] * period_us)),
        Column(id_of[starts]),
        Column(added([part.rows for part in parts])),
        Column(added([part.throttled for part in parts])),
    ]
    for metric in CATALOGUE.rollup():
        sums = [part.metrics[metric.name] for part in parts]
        count = added([entry.count for entry in sums])
        lowest = np.minimum.reduceat(np.concatenate([e.lowest for e in sums])[order], starts)
        highest = np.maximum.reduceat(np.concatenate([e.highest for e in sums])[order], starts)
        number = np.dtype(metric.storage)
        empty = count == 0
        columns += [
            Column(added([entry.total for entry in sums])),
            Column(count.astype(np.int32)),
            Column(np.where(empty, 0, lowest).astype(number), empty),
            Column(np.where(empty, 0, highest).astype(number), empty),
        ]
    return columns, len(starts)
