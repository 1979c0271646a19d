"""The work of a facility: jobs arrive through the day, wait for boards, run and leave.

Owns the scheduler of one simulated facility. Queue snapshots and the ranks that load the boards
come from the same jobs, so backlog and utilisation tell one story. Pure: times are passed in.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.demand import RANK_OF_WORK, Floats
from telemetry.records import QueueSnapshot

BACKFILL_MAX = 200
# A job that has waited this many times the mean duration is hardly overtaken any more.
PATIENCE = 1.5
WARM_UP_JOBS = 3.0
JOB_NUMBERS = 10_000_000
SOURCE = "simulated"
# Who they are is invented, as all of it is.
USERS = ("amara", "bjorn", "chiara", "dmitri", "esra", "femi", "greta", "hiro")

# (queue, boards asked for, share of all jobs). Larger sizes are whole hosts; a gang gets whole
# racks where there are any. Most jobs are small, most boards are in large jobs, as in the cluster
# traces of Hu et al., NSDI '24.
_SMALL = (("interactive", 1, 0.22), ("interactive", 2, 0.12), ("batch", 4, 0.16))
_HOSTS = (("batch", 1, 0.24), ("training", 2, 0.12), ("training", 4, 0.10), ("training", 0, 0.04))
QUEUES = ("training", "batch", "interactive")


@dataclass(frozen=True, slots=True)
class Work:
    """How much work a facility gets.

    Attributes:
        pressure: boards asked for, over boards there are, averaged over a day.
        swing: how far the rate of arrivals goes up and down around its mean in a day.
        day_s: length of a day.
        job_mean_s: mean duration of a job.
    """

    pressure: float = 0.85
    swing: float = 0.25
    day_s: float = 86_400.0
    job_mean_s: float = 1800.0


@dataclass(slots=True)
class Job:
    """One job; it either waits or holds its boards."""

    number: int
    queue: str
    boards: int
    duration_s: float
    arrived_s: float
    rank: float
    phase: float
    slots: NDArray[np.int64] | None = None
    started_s: float = 0.0
    ends_s: float = 0.0

    @property
    def user(self) -> str:
        """Who handed it in: drawn from its number, so that nothing else is drawn differently."""
        return USERS[self.number * 2_654_435_761 % 2**32 // 2**16 % len(USERS)]


class Scheduler:
    """Jobs of one facility. Boards are numbered host by host, hosts rack by rack."""

    def __init__(
        self, hosts: int, gpus: int, hosts_per_rack: int, work: Work, random: np.random.Generator
    ) -> None:
        self._gpus, self._work, self._random = gpus, work, random
        self._taken = np.zeros((hosts, gpus), np.bool_)
        self._sizes = _sizes(hosts, gpus, hosts_per_rack)
        mean_boards = sum(boards * share for _, boards, share in self._sizes)
        self._rate = work.pressure * hosts * gpus / mean_boards / work.job_mean_s
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._now_s = 0.0
        self._last_number = 0
        self._touched: set[int] = set()
        self._arrived = dict.fromkeys(QUEUES, 0)
        self._completed = dict.fromkeys(QUEUES, 0)
        self._counted_since_s = 0.0
        self.ranks: Floats = np.zeros(hosts * gpus)
        """Rank of the job on each board; 0 where there is none."""
        self.phases: Floats = np.zeros(hosts * gpus)
        """Where each board's job is in its step."""

    def start(self, now_s: float) -> None:
        """Begin with the jobs that would be there, had the facility always been running."""
        past_s = WARM_UP_JOBS * self._work.job_mean_s
        self._now_s = now_s - past_s
        # As much later as a facility is started again, so much higher are its jobs' numbers.
        self._last_number = int(self._now_s) % JOB_NUMBERS
        step_s = past_s / 60
        for number in range(1, 61):
            self.advance(now_s - past_s + number * step_s)
        self._start_counting(now_s)

    def advance(self, now_s: float) -> None:
        """Let jobs arrive, end and start up to that time."""
        self._finish(now_s)
        self._arrive(now_s)
        self._place(now_s)
        self._now_s = now_s

    def held(self, host: int) -> list[tuple[int, Job]]:
        """Return the boards of a host that a job holds, each with its job."""
        first, last = host * self._gpus, (host + 1) * self._gpus
        return sorted(
            (
                (int(slot) - first, job)
                for job in self._running
                if job.slots is not None
                for slot in job.slots
                if first <= slot < last
            ),
            key=lambda pair: pair[0],
        )

    def take_touched(self) -> set[int]:
        """Return the hosts on which a job has begun or ended since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    def snapshots(self, now_s: float, time_us: int) -> list[QueueSnapshot]:
        """Return one snapshot a queue; rates are those since the last call."""
        seconds = max(1e-3, now_s - self._counted_since_s)
        made = [self._snapshot(queue, now_s, time_us, seconds) for queue in QUEUES]
        self._start_counting(now_s)
        return made

    def _snapshot(self, queue: str, now_s: float, time_us: int, seconds: float) -> QueueSnapshot:
        waiting = [job for job in self._waiting if job.queue == queue]
        running = [job for job in self._running if job.queue == queue]
        oldest = min((job.arrived_s for job in waiting), default=None)
        return QueueSnapshot(
            time_us=time_us,
            source=SOURCE,
            queue=queue,
            unit="jobs",
            waiting=float(len(waiting)),
            running=float(len(running)),
            gpus_waiting=float(sum(job.boards for job in waiting)),
            gpus_running=float(sum(job.boards for job in running)),
            gpu_seconds_waiting=float(sum(job.boards * job.duration_s for job in waiting)),
            oldest_wait_seconds=None if oldest is None else now_s - oldest,
            arrivals_per_second=self._arrived[queue] / seconds,
            completions_per_second=self._completed[queue] / seconds,
        )

    def _start_counting(self, now_s: float) -> None:
        self._arrived = dict.fromkeys(QUEUES, 0)
        self._completed = dict.fromkeys(QUEUES, 0)
        self._counted_since_s = now_s

    def _finish(self, now_s: float) -> None:
        for job in self._running:
            if job.ends_s <= now_s and job.slots is not None:
                self._completed[job.queue] += 1
                self._taken.reshape(-1)[job.slots] = False
                self.ranks[job.slots] = 0.0
                self._touched |= self._hosts_of(job.slots)
        self._running = [job for job in self._running if job.ends_s > now_s]

    def _arrive(self, now_s: float) -> None:
        middle_s = (self._now_s + now_s) / 2
        tide = 1 + self._work.swing * math.sin(2 * math.pi * (middle_s / self._work.day_s - 0.375))
        count = int(self._random.poisson(self._rate * tide * max(0.0, now_s - self._now_s)))
        shares = np.array([share for _, _, share in self._sizes])
        for kind in self._random.choice(len(self._sizes), count, p=shares / shares.sum()):
            queue, boards, _ = self._sizes[kind]
            self._arrived[queue] += 1
            self._last_number += 1
            self._waiting.append(
                Job(
                    number=self._last_number,
                    queue=queue,
                    boards=boards,
                    duration_s=self._draw_duration_s(),
                    arrived_s=float(self._random.uniform(self._now_s, now_s)),
                    rank=float(self._random.uniform(RANK_OF_WORK, 1.0)),
                    phase=float(self._random.random()),
                )
            )

    def _draw_duration_s(self) -> float:
        """Log-normal: many short jobs, a long tail, cut at ten times the mean."""
        mean_s, sigma = self._work.job_mean_s, 0.9
        drawn = self._random.lognormal(math.log(mean_s) - sigma**2 / 2, sigma)
        return float(np.clip(drawn, 0.02 * mean_s, 10 * mean_s))

    def _place(self, now_s: float) -> None:
        """First come, first served, with backfill.

        Once a job has lost its patience, only those overtake it that will have ended when enough
        boards are free for it.
        """
        passed: list[Job] = []
        until_s = math.inf
        while self._waiting and len(passed) < BACKFILL_MAX:
            job = self._waiting.popleft()
            slots = self._find(job.boards) if now_s + job.duration_s <= until_s else None
            if slots is not None:
                self._run(job, slots, now_s)
                continue
            passed.append(job)
            impatient = now_s - job.arrived_s > PATIENCE * self._work.job_mean_s
            if impatient and math.isinf(until_s):
                until_s = self._free_at_s(job.boards)
        self._waiting.extendleft(reversed(passed))

    def _free_at_s(self, boards: int) -> float:
        """Return when so many boards will be free, if nothing more starts until then."""
        free = self._taken.size - int(np.count_nonzero(self._taken))
        for job in sorted(self._running, key=lambda job: job.ends_s):
            free += job.boards
            if free >= boards:
                return job.ends_s
        return math.inf

    def _run(self, job: Job, slots: NDArray[np.int64], now_s: float) -> None:
        job.slots, job.started_s, job.ends_s = slots, now_s, now_s + job.duration_s
        self._touched |= self._hosts_of(slots)
        self._taken.reshape(-1)[slots] = True
        self.ranks[slots] = job.rank
        self.phases[slots] = job.phase
        self._running.append(job)

    def _hosts_of(self, slots: NDArray[np.int64]) -> set[int]:
        return set((slots // self._gpus).tolist())

    def _find(self, boards: int) -> NDArray[np.int64] | None:
        """Return free slots: part of the fullest host that fits, or the first whole hosts."""
        free = self._gpus - self._taken.sum(axis=1)
        if boards < self._gpus:
            fits = np.flatnonzero(free >= boards)
            if not len(fits):
                return None
            host = int(fits[np.argmin(free[fits])])
            part: NDArray[np.int64] = np.flatnonzero(~self._taken[host])[:boards]
            return part + host * self._gpus
        hosts = np.flatnonzero(free == self._gpus)[: boards // self._gpus]
        if len(hosts) * self._gpus < boards:
            return None
        slots: NDArray[np.int64] = hosts[:, None] * self._gpus + np.arange(self._gpus)
        return slots.reshape(-1)


def _sizes(hosts: int, gpus: int, hosts_per_rack: int) -> list[tuple[str, int, float]]:
    """Return the job sizes that this facility can hold, in boards; a rack's gang for size 0."""
    rack = min(hosts, hosts_per_rack * max(1, hosts // hosts_per_rack // 8))
    sizes = [(queue, boards, share) for queue, boards, share in _SMALL if boards < gpus]
    sizes += [(queue, (n or rack) * gpus, share) for queue, n, share in _HOSTS if n <= hosts]
    return sizes
