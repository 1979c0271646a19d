"""What the GPUs are asked to do: the load that drives the physics.

Owns the load of one GPU at one moment, the interface by which replayed data or a scenario
supplies it, and two sources: a constant one and jobs drawn from a real cluster's distribution.
"""

import random
from bisect import bisect_right
from typing import NamedTuple, Protocol


class Load(NamedTuple):
    """Demand on one GPU. Every figure is a fraction from 0 to 1 unless said otherwise."""

    activity: float
    """Share of time in which a kernel runs: what the driver calls GPU utilisation."""
    intensity: float
    """Power asked for, from idle (0) to the default limit (1); above 1 the power cap acts."""
    memory_activity: float
    """Share of time in which memory is read or written."""
    memory_used: float
    """Share of the memory that is free when idle."""
    link: float = 0.0
    """Share of NVLink bandwidth, each way."""
    pcie: float = 0.0
    """Share of PCIe bandwidth, each way."""


IDLE = Load(activity=0.0, intensity=0.0, memory_activity=0.0, memory_used=0.0)


class LoadSource(Protocol):
    """Where demand comes from. Replayed data and scenarios implement this."""

    def load(self, gpu: int, monotonic_s: float) -> Load:
        """Return the demand on GPU number `gpu` of the host at that time."""


class ConstantLoad:
    """The same demand on each GPU for ever, until it is set anew."""

    def __init__(self, load: Load = IDLE) -> None:
        self.everywhere = load
        self.of_gpu: dict[int, Load] = {}

    def load(self, gpu: int, monotonic_s: float) -> Load:  # noqa: ARG002 - it never changes
        """Return what was set for that GPU, or for all."""
        return self.of_gpu.get(gpu, self.everywhere)


# GPU utilisation (percent) and board power (watts, A100 SXM4 of 400 W) of the Kalos cluster at each
# fifth percentile, zeroth first: AcmeTrace, Hu et al., NSDI '24. Both rise with the rank, so one
# number draws both. The last point's 599.7 W is a millisecond's overshoot; the 99th percentile
# stands in for it.
CLUSTER_UTILIZATION_PERCENT = (
    *(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 15.3, 82.0, 95.0, 97.0),
    *(98.0, 99.0, 99.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0),
)
CLUSTER_POWER_WATTS = (
    *(55.7, 61.89, 63.0, 63.9, 64.98, 66.4, 72.94, 90.36, 93.96, 96.86, 101.4),
    *(119.78, 148.66, 236.4, 325.32, 371.82, 388.72, 396.71, 403.61, 413.01, 439.72),
)
CLUSTER_IDLE_WATTS = 61.0
CLUSTER_LIMIT_WATTS = 400.0


def at_rank(rank: float, points: tuple[float, ...]) -> float:
    """Return the quantile function through equally spaced points, linear between them."""
    place = min(max(rank, 0.0), 1.0) * (len(points) - 1)
    below = min(int(place), len(points) - 2)
    return points[below] + (points[below + 1] - points[below]) * (place - below)


def load_at_rank(rank: float) -> Load:
    """Return the load of a GPU whose job is busier than that share of the cluster's."""
    activity = at_rank(rank, CLUSTER_UTILIZATION_PERCENT) / 100
    watts = at_rank(rank, CLUSTER_POWER_WATTS)
    intensity = max(0.0, (watts - CLUSTER_IDLE_WATTS) / (CLUSTER_LIMIT_WATTS - CLUSTER_IDLE_WATTS))
    working = min(1.0, intensity)
    return Load(  # In order: names cost as much as the arithmetic, once a second and board.
        activity,
        intensity,
        0.55 * working,
        0.0 if activity == 0 else 0.35 + 0.6 * working,
        0.4 * activity * working,
        0.05 * activity,
    )


class ClusterLoad:
    """Jobs that come and go on a whole host, as busy as those of a real training cluster.

    A job gives all GPUs of the host one rank in the cluster's distribution; each GPU wobbles
    around it, reflected at both ends. A reflected step keeps a uniform rank uniform, so over a
    long time each GPU shows the cluster's own quantiles.
    """

    WOBBLE = 0.03

    def __init__(self, seed: int | str, job_mean_s: float = 1800.0) -> None:
        self._random = random.Random(seed)
        self._job_mean_s = job_mean_s
        self._ends_s: list[float] = []
        self._ranks: list[float] = []

    def load(self, gpu: int, monotonic_s: float) -> Load:
        """Return the demand of the job that runs at that time; earlier jobs are forgotten."""
        job = bisect_right(self._ends_s, monotonic_s)
        while job == len(self._ends_s):
            last_s = self._ends_s[-1] if self._ends_s else monotonic_s
            self._ends_s.append(last_s + self._random.expovariate(1 / self._job_mean_s))
            self._ranks.append(self._random.random())
            job = bisect_right(self._ends_s, monotonic_s)
        rank = self._ranks[job]
        if job:
            del self._ends_s[:job], self._ranks[:job]
        wobble = self._random.uniform(-self.WOBBLE, self.WOBBLE)
        shifted = abs(rank + wobble + 0.001 * gpu)
        return load_at_rank(2 - shifted if shifted > 1 else shifted)
