"""The backlog of a recorded scheduler: what waited and what ran, at each moment.

Owns the sweep over the pods' times. A pod waits from its creation until it is scheduled; one that
never was waits until its deletion, or for ever. It runs from then until its deletion. Moments of
change count as after the change. Fractions of a GPU count as such.

Snapshots are taken at a fixed cadence of recorded time, where something changed since the last
one, and at least every hour; all queues each time, so that their sum is the facility's backlog.
None is taken after the last change: a trace often ends all that runs at its own end.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from simulator.replay.recording import SOURCE
from telemetry.records import QueueSnapshot

CADENCE_S = 60
SILENCE_MAX_S = 3600


class Pod(NamedTuple):
    """One recorded job. Times in seconds; None where it never came to that."""

    queue: str
    gpus_milli: int
    created_s: int
    scheduled_s: int | None
    deleted_s: int | None

    @property
    def gpu_milliseconds(self) -> int | None:
        """Thousandths of a GPU times seconds that it will run; None where that is not known."""
        if self.scheduled_s is None or self.deleted_s is None:
            return None
        return self.gpus_milli * (self.deleted_s - self.scheduled_s)


@dataclass(slots=True)
class Totals:
    """What waits and what runs in one queue. GPUs in thousandths, to stay exact."""

    waiting: int = 0
    running: int = 0
    gpus_waiting_milli: int = 0
    gpus_running_milli: int = 0
    known: int = 0
    """Waiting pods whose duration is known."""
    gpu_milliseconds_waiting: int = 0

    def wait(self, pod: Pod, sign: int) -> None:
        """A pod begins (+1) or ends (-1) to wait."""
        self.waiting += sign
        self.gpus_waiting_milli += sign * pod.gpus_milli
        if pod.gpu_milliseconds is not None:
            self.known += sign
            self.gpu_milliseconds_waiting += sign * pod.gpu_milliseconds

    def run(self, pod: Pod, sign: int) -> None:
        """A pod begins (+1) or ends (-1) to run."""
        self.running += sign
        self.gpus_running_milli += sign * pod.gpus_milli


def sweep(pods: Iterable[Pod]) -> Iterator[tuple[float, list[QueueSnapshot]]]:
    """Yield (time, one snapshot a queue), in order of time; `time_us` of the snapshots is 0."""
    changes = sorted(_changes(pods), key=lambda change: change.time_s)
    queues = sorted({change.pod.queue for change in changes})
    totals = {queue: Totals() for queue in queues}
    waiting_since: dict[str, list[int]] = {queue: [] for queue in queues}
    at = 0
    for time_s in _moments([change.time_s for change in changes]):
        while at < len(changes) and changes[at].time_s <= time_s:
            _apply(changes[at], totals, waiting_since)
            at += 1
        yield (
            float(time_s),
            [_snapshot(q, totals[q], waiting_since[q], time_s) for q in queues],
        )


class _Change(NamedTuple):
    time_s: int
    pod: Pod
    what: str


def _changes(pods: Iterable[Pod]) -> Iterator[_Change]:
    for pod in pods:
        yield _Change(pod.created_s, pod, "created")
        if pod.scheduled_s is not None:
            yield _Change(pod.scheduled_s, pod, "scheduled")
        if pod.deleted_s is not None:
            yield _Change(pod.deleted_s, pod, "deleted")


def _apply(change: _Change, totals: dict[str, Totals], waiting_since: dict[str, list[int]]) -> None:
    pod = change.pod
    queue, since = totals[pod.queue], waiting_since[pod.queue]
    if change.what == "created":
        queue.wait(pod, 1)
        insort(since, pod.created_s)
        return
    if change.what == "scheduled" or pod.scheduled_s is None:
        queue.wait(pod, -1)
        del since[bisect_left(since, pod.created_s)]
    if change.what == "scheduled":
        queue.run(pod, 1)
    elif pod.scheduled_s is not None:
        queue.run(pod, -1)


def _moments(change_times_s: list[int]) -> Iterator[int]:
    """Yield multiples of the cadence: the first after each change, and each full hour between."""
    last_s: int | None = None
    for changed_s in change_times_s:
        moment_s = math.ceil(changed_s / CADENCE_S) * CADENCE_S
        end_s = min(moment_s, change_times_s[-1])
        if last_s is not None:
            first_silent_s = (last_s // SILENCE_MAX_S + 1) * SILENCE_MAX_S
            yield from range(first_silent_s, end_s, SILENCE_MAX_S)
        if moment_s > end_s:
            return
        if moment_s != last_s:
            yield moment_s
        last_s = moment_s


def _snapshot(queue: str, totals: Totals, since: list[int], time_s: int) -> QueueSnapshot:
    hopeless = totals.waiting > 0 and totals.known == 0
    return QueueSnapshot(
        time_us=0,
        source=SOURCE,
        queue=queue,
        unit="jobs",
        waiting=float(totals.waiting),
        running=float(totals.running),
        gpus_waiting=totals.gpus_waiting_milli / 1000,
        gpus_running=totals.gpus_running_milli / 1000,
        gpu_seconds_waiting=None if hopeless else totals.gpu_milliseconds_waiting / 1000,
        oldest_wait_seconds=float(time_s - since[0]) if since else None,
    )
