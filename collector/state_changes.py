"""State changes of accelerators: what enters `state_intervals` with a batch.

Owns the subjects, how readings become states, and what is remembered so that only changes are
written. A message tells one state a subject: the worst of its ticks, from its first tick on. It is
late when it begins before the end of what is known of its host; then it tells of its own span only.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import sql
from collector.batch import Row
from collector.database import Connection
from collector.reach import Reach
from collector.registry import timestamp
from collector.rollup import REASONS
from collector.sample_columns import SampleColumns
from telemetry.metrics import Group
from telemetry.records import EventKind, ReaderStatus

_STATES = sql.queries("collector_states")

OK = 0
# The spacing of ticks where a message has but one.
TICK_US = {Group.FAST: 1_000_000, Group.SLOW: 30_000_000}
# A loss that no reading bears out is over after this.
LOSS_LASTS = timedelta(seconds=60)
# https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html
HARDWARE_BIT, BRAKE_BIT, HEAT_BITS = 0x08, 0x80, 0x20 | 0x40
# Recovery actions after which the accelerator does no more work until somebody acts.
RESET_ACTIONS = (1, 2, 4, 6, 7)

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Subject:
    """Something about an accelerator that is in one state at a time.

    Attributes:
        words: the states by code; the higher, the worse.
        judge: gives N messages x G accelerators their codes.
    """

    name: str
    group: Group
    words: tuple[str, ...]
    judge: Callable[[SampleColumns], Codes]


def _known(columns: SampleColumns, name: str) -> NDArray[np.int64]:
    """Return a metric, 0 where it is missing."""
    values = columns.values.get(name)
    if values is None:
        return np.zeros((*columns.senders.gpu_ids.shape, 1), dtype=np.int64)
    missing = columns.missing.get(name)
    wide = values.astype(np.int64)
    return wide if missing is None else np.where(missing, 0, wide)


def _reader(columns: SampleColumns) -> Codes:
    worst: Codes = _known(columns, "reader_status_code").max(axis=2)
    return np.minimum(worst, len(ReaderStatus) - 1)


def _slowdown(columns: SampleColumns) -> Codes:
    bits = np.bitwise_or.reduce(_known(columns, REASONS), axis=2)
    return np.select([(bits & HEAT_BITS) > 0, (bits & BRAKE_BIT) > 0, (bits & HARDWARE_BIT) > 0],
                     [3, 2, 1], OK)  # fmt: skip


def _health(columns: SampleColumns) -> Codes:
    action = _known(columns, "recovery_action_code")[:, :, -1]

    def worst(name: str) -> NDArray[np.int64]:
        highest: NDArray[np.int64] = _known(columns, name).max(axis=2)
        return highest

    return np.select(
        [
            np.isin(action, RESET_ACTIONS) | (worst("remap_failed_flag") > 0),
            worst("remap_pending_flag") > 0,
            (action > 0) | (worst("ecc_uncorrected_volatile_count") > 0),
        ],
        [3, 2, 1],
        OK,
    )


SUBJECTS = (
    Subject(
        "reader", Group.FAST, ("ok", *(str(s.name).lower() for s in ReaderStatus if s)), _reader
    ),
    Subject("slowdown", Group.FAST, ("ok", "hardware", "power_brake", "heat"), _slowdown),
    Subject("health", Group.SLOW, ("ok", "degraded", "predicted_failure", "failed"), _health),
)


class _Staged(NamedTuple):
    """What a subject's changes leave behind, once they are stored."""

    codes: dict[tuple[str, int], int]
    group: Group
    hosts: NDArray[np.int64]
    newest_us: NDArray[np.int64]


class StateBook:
    """The state of each accelerator at the end of what is stored, and how far that reaches."""

    def __init__(self) -> None:
        # Only what is not normal.
        self._codes: dict[tuple[str, int], int] = {}
        self._reach = {group: Reach() for group in Group}
        self._staged: list[_Staged] = []

    def forget(self) -> None:
        """Know nothing: others may have written, or nobody knows what is stored."""
        self._codes.clear()
        self._reach = {group: Reach() for group in Group}
        self._staged.clear()

    def committed(self) -> None:
        """What was written last is stored."""
        for staged in self._staged:
            self._codes |= staged.codes
            for key, code in staged.codes.items():
                if code == OK:
                    del self._codes[key]
            self._reach[staged.group].set(staged.hosts, staged.newest_us)
        self._staged.clear()

    def write(
        self, connection: Connection, samples: Sequence[SampleColumns], events: Sequence[Row]
    ) -> None:
        """Write what has changed, in the transaction that stores the samples."""
        self._staged.clear()
        self._learn(connection, samples)
        told: list[Row] = []
        for subject in SUBJECTS:
            parts = [part for part in samples if part.group is subject.group]
            told += self._changes(connection, subject, parts)
        told.sort(key=lambda row: (row["gpu_id"], row["subject"], row["from_at"]))
        cursor = connection.cursor()
        if told:
            cursor.executemany(_STATES["put_state"], told)
        if losses := list(_losses(events)):
            cursor.executemany(_STATES["put_event"], losses)

    def _learn(self, connection: Connection, samples: Sequence[SampleColumns]) -> None:
        if not samples:
            return
        hosts = np.unique(np.concatenate([part.senders.host_ids for part in samples]))
        unknown = self._reach[Group.FAST].unknown(hosts.astype(np.int64))
        if not len(unknown):
            return
        codes = {(s.name, word): code for s in SUBJECTS for code, word in enumerate(s.words)}
        wanted = {"host_ids": unknown.tolist()}
        for gpu_id, subject, state in connection.execute(_STATES["open_states"], wanted):
            self._codes[str(subject), int(str(gpu_id))] = codes[str(subject), str(state)]
        newest_us = {group: np.zeros(len(unknown), dtype=np.int64) for group in Group}
        for host_id, *times in connection.execute(_STATES["newest_ticks"], wanted):
            at = np.searchsorted(unknown, int(str(host_id)))
            for group, time in zip(Group, times, strict=True):
                if isinstance(time, datetime):
                    newest_us[group][at] = round(time.timestamp() * 1e6)
        for group in Group:
            self._reach[group].set(unknown, newest_us[group])

    def _changes(
        self, connection: Connection, subject: Subject, parts: Sequence[SampleColumns]
    ) -> list[Row]:
        if not parts:
            return []
        found = _Told.of(subject, parts)
        hosts, position = np.unique(found.hosts, return_inverse=True)
        newest = self._reach[subject.group].of(hosts)
        late = found.from_us <= newest[position]
        order = np.lexsort((found.from_us, found.gpus, ~late))
        gpus, codes, on_time = found.gpus[order], found.codes[order], ~late[order]
        before = np.roll(codes, 1)
        first = np.ones(len(gpus), dtype=np.bool_)
        first[1:] = (gpus[1:] != gpus[:-1]) | (on_time[1:] != on_time[:-1])
        before[first] = OK
        held = [gpu for (name, gpu), code in self._codes.items() if name == subject.name and code]
        for at in np.flatnonzero(first & np.isin(gpus, held)):
            before[at] = self._codes[subject.name, int(gpus[at])]
        corrects = _may_correct(connection, subject, found, late)[order]
        changed = np.flatnonzero(np.where(on_time, codes != before, corrects))
        stays = {(subject.name, int(gpus[at])): int(codes[at]) for at in changed if on_time[at]}
        np.maximum.at(newest, position, found.last_us)
        self._staged.append(_Staged(stays, subject.group, hosts, newest))
        return [found.row(subject, int(order[at]), late=not on_time[at]) for at in changed]


@dataclass(frozen=True, slots=True)
class _Told:
    """What messages tell of a subject, one element a message and accelerator."""

    hosts: NDArray[np.int64]
    gpus: NDArray[np.int64]
    codes: Codes
    from_us: NDArray[np.int64]
    last_us: NDArray[np.int64]
    spacing_us: NDArray[np.int64]

    @classmethod
    def of(cls, subject: Subject, parts: Sequence[SampleColumns]) -> "_Told":
        columns: list[tuple[NDArray[Any], ...]] = []
        for part in parts:
            accelerators = part.senders.gpu_ids.shape[1]
            ticks = part.times_us.shape[1]
            first, last = part.times_us.min(axis=1), part.times_us.max(axis=1)
            spacing = (last - first) // (ticks - 1) if ticks > 1 else np.zeros_like(first)
            spacing = np.where(spacing > 0, spacing, TICK_US[subject.group])
            each = [part.senders.host_ids, first, last, spacing]
            host, first, last, spacing = (np.repeat(column, accelerators) for column in each)
            columns.append(
                (host, part.senders.gpu_ids.reshape(-1), subject.judge(part).reshape(-1),
                 first, last, spacing)
            )  # fmt: skip
        return cls(*(np.concatenate(column) for column in zip(*columns, strict=True)))

    @property
    def until_us(self) -> NDArray[np.int64]:
        """Where what a late message tells ends, clocks being no better than half a tick."""
        return self.last_us + self.spacing_us + self.spacing_us // 2

    def row(self, subject: Subject, at: int, *, late: bool) -> Row:
        """Return the parameters of `put_state`."""
        until_us = int(self.last_us[at] + self.spacing_us[at])
        return {
            "host_id": int(self.hosts[at]),
            "gpu_id": int(self.gpus[at]),
            "subject": subject.name,
            "state": subject.words[int(self.codes[at])],
            "from_at": timestamp(int(self.from_us[at])),
            "until_at": timestamp(until_us) if late else None,
            "slack": timedelta(microseconds=int(self.spacing_us[at]) // 2),
        }


def _may_correct(
    connection: Connection, subject: Subject, found: _Told, late: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which late messages can change an interval; after an outage nearly none of them can.

    What was normal only takes from intervals: those that are stored, and those of this batch.
    """
    normal = late & (found.codes == OK)
    if not normal.any():
        return late
    span = {
        "host_ids": np.unique(found.hosts[normal]).tolist(),
        "subject": subject.name,
        "from_at": timestamp(int(found.from_us[normal].min())),
        "until_at": timestamp(int(found.until_us[normal].max())),
    }
    stored = [row[0] for row in connection.execute(_STATES["states_within"], span)]
    with_intervals = np.concatenate(
        [np.array(stored, dtype=np.int64), found.gpus[found.codes > OK]]
    )
    return late & ((found.codes > OK) | np.isin(found.gpus, with_intervals))


def _losses(events: Iterable[Row]) -> Iterable[Row]:
    for event in events:
        if event["gpu_id"] is None:
            continue
        if event["kind"] == EventKind.GPU_LOST:
            until = event["time"] + LOSS_LASTS
            yield {**event, "state": "lost", "from_at": event["time"], "until_at": until}
        elif event["kind"] == EventKind.GPU_BACK:
            yield {**event, "state": "ok", "from_at": event["time"], "until_at": None}
