"""Samples as rows of their table: one row an accelerator and tick, in the order that pays.

Owns the order. A columnstore keeps an accelerator's ticks together, and a server that compresses
rows as they are copied takes the client's word for it; elsewhere rows stay as they came.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector.copy_rows import Column, timestamps
from collector.sample_columns import SampleColumns
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group


def column_names(group: Group) -> list[str]:
    """Return the columns of the sample table of a group, in its order."""
    return ["time", "gpu_id", *(metric.name for metric in CATALOGUE.group(group))]


def sample_rows(part: SampleColumns, *, by_accelerator: bool = False) -> list[Column]:
    """Return the columns of the sample table of a group, in its order.

    Rows go host by host, and an accelerator's ticks one after the other; or in the order of
    accelerator and time, whatever the messages' order and clocks were.
    """
    messages, ticks = part.times_us.shape
    accelerators = part.senders.gpu_ids.shape[1]
    shape = (messages, accelerators, ticks)
    times = np.broadcast_to(timestamps(part.times_us)[:, None, :], shape)
    gpu_ids = np.broadcast_to(part.senders.gpu_ids[:, :, None], shape)
    order = _by_accelerator(times, gpu_ids) if by_accelerator else _as_they_came
    columns = [Column(order(times)), Column(order(gpu_ids))]
    for metric in CATALOGUE.group(part.group):
        values, missing = part.values.get(metric.name), part.missing.get(metric.name)
        columns.append(
            Column(
                None if values is None else order(values),
                None if missing is None else order(missing),
            )
        )
    return columns


def _as_they_came(cells: NDArray[Any]) -> NDArray[Any]:
    return cells.reshape(-1)


def _by_accelerator(
    times: NDArray[np.int64], gpu_ids: NDArray[np.int32]
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return what brings cells (messages, accelerators, ticks) into order, as one dimension."""
    ticks = times.shape[2]
    lanes = np.lexsort((times[:, :, 0].reshape(-1), gpu_ids[:, :, 0].reshape(-1)))
    in_order = bool(np.all(lanes[1:] > lanes[:-1]))

    def by_lane(cells: NDArray[Any]) -> NDArray[Any]:
        # An accelerator's ticks in one message stay together: ten times fewer moves than by row.
        return cells.reshape(-1) if in_order else cells.reshape(-1, ticks)[lanes].reshape(-1)

    time, gpu_id = by_lane(times), by_lane(gpu_ids)
    if np.all((gpu_id[1:] != gpu_id[:-1]) | (time[1:] >= time[:-1])):
        return by_lane
    rows = np.lexsort((times.reshape(-1), gpu_ids.reshape(-1)))
    return lambda cells: cells.reshape(-1)[rows]
