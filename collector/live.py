"""The newest tick of each host of a batch: what `host_state` is updated with.

Owns the choice of the newest message and its columns. Which of two batches is newer is decided in
the database (`merge_fast_state`, `merge_slow_state`), by boot epoch and sequence number.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from collector.copy_rows import Column, timestamps
from collector.sample_columns import SampleColumns
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group


def newest_rows(parts: Sequence[SampleColumns], group: Group) -> Iterator[tuple[list[Column], int]]:
    """Yield columns of the staging table of a group, and how many rows they hold; a host once."""
    chosen = [part for part in parts if part.group is group]
    if not chosen:
        return
    newest = _newest(
        [part.senders.host_ids for part in chosen],
        [part.senders.boot_epochs for part in chosen],
        [part.senders.seqs for part in chosen],
    )
    start = 0
    for part in chosen:
        stop = start + len(part.senders.host_ids)
        picked = newest[(newest >= start) & (newest < stop)] - start
        start = stop
        if len(picked):
            yield _columns(part, group, picked), len(picked)


def _newest(
    hosts: Sequence[NDArray[np.int32]],
    epochs: Sequence[NDArray[np.int64]],
    seqs: Sequence[NDArray[np.int64]],
) -> NDArray[np.intp]:
    """Return the positions, over all parts, of each host's newest message."""
    host = np.concatenate(hosts)
    order = np.lexsort((np.concatenate(seqs), np.concatenate(epochs), host))
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = host[order][1:] != host[order][:-1]
    return np.sort(order[last])


def _columns(part: SampleColumns, group: Group, picked: NDArray[np.intp]) -> list[Column]:
    senders = part.senders
    columns = [
        Column(senders.host_ids[picked]),
        Column(timestamps(part.times_us[picked, -1])),
        Column(senders.boot_epochs[picked]),
        Column(senders.seqs[picked]),
        Column(senders.gpu_ids[picked]),
    ]
    for metric in CATALOGUE.live():
        if metric.group is group:
            values, missing = part.values.get(metric.name), part.missing.get(metric.name)
            columns.append(
                Column(
                    None if values is None else values[picked, :, -1],
                    None if missing is None else missing[picked, :, -1],
                )
            )
    return columns
