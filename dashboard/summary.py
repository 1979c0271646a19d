"""What a facility comes to: counts by state, spread of load, heat, power, freshness, backlog.

Owns the arithmetic from the picture to the figures of a page. Pure.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.picture import STALE_S_MIN, Picture
from dashboard.places import Facility
from dashboard.states import HEALTHY, TROUBLED, Codes, State

QUEUE_STALE_S = 180.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in a facility, by the unit that its sources tell; None where none tells it."""

    gpus: float | None = None
    gpu_hours: float | None = None
    entries: float | None = None
    unit: str = ""
    oldest_s: float | None = None
    time_s: float | None = None
    arrivals: float | None = None
    completions: float | None = None

    @property
    def size(self) -> float | None:
        """The number that stands for it: GPUs where told, else jobs or requests."""
        return self.entries if self.gpus is None else self.gpus

    @property
    def size_unit(self) -> str:
        """What `size` counts."""
        return self.unit if self.gpus is None else "GPUs"

    def is_stale(self, now_s: float) -> bool:
        """Whether no source has said anything for a while."""
        return self.time_s is None or now_s - self.time_s > QUEUE_STALE_S


@dataclass(frozen=True, slots=True)
class Summary:
    """A facility now. Percentages and temperatures are of accelerators that can be seen."""

    facility: Facility
    counts: NDArray[np.int64]
    hosts: int
    stale_hosts: int
    load: tuple[float, float, float, float]
    sm: float
    headroom_min: float
    headroom_p1: float
    hottest_celsius: float
    hottest_seat: int | None
    hottest_rack: str
    power_mw: float
    power_limit_mw: float
    time_s: float | None
    backlog: Backlog

    def count(self, *states: State) -> int:
        """Return how many are in one of the states."""
        return int(sum(self.counts[state] for state in states))

    @property
    def known(self) -> int:
        """Accelerators that were ever listed."""
        return int(self.counts.sum())

    @property
    def contracted(self) -> int:
        """Accelerators to expect: the contract's number, or where none is entered the known."""
        return int(self.facility.row.contracted_accelerators or self.known)

    @property
    def healthy(self) -> int:
        """Seen and nothing wrong."""
        return self.count(*HEALTHY)

    @property
    def seen(self) -> int:
        """Read within the last intervals."""
        return self.count(*HEALTHY, *TROUBLED) - self.count(State.LOST)

    @property
    def is_stale(self) -> bool:
        """Whether most of its hosts are silent."""
        return self.hosts > 0 and 2 * self.stale_hosts > self.hosts

    @property
    def queues_only(self) -> bool:
        """Whether it shows queues and no accelerators."""
        return self.known == 0


def summarise(picture: Picture, now_s: float) -> tuple[list[Summary], Codes]:
    """Return all facilities now, and the state of every accelerator, by seat."""
    states = picture.states(now_s)
    stale = picture.stale_hosts(now_s)
    headroom = picture.headroom_celsius()
    found = [_summarise(picture, f, states, stale, headroom) for f in picture.facilities]
    return found, states


def _summarise(
    picture: Picture,
    facility: Facility,
    states: Codes,
    stale: NDArray[np.bool_],
    headroom: NDArray[np.float32],
) -> Summary:
    seats = facility.seats
    own = states[seats]
    live = np.isin(own, (*HEALTHY, *TROUBLED)) & (own != State.LOST)
    hosts = np.flatnonzero(picture.sizes[facility.hosts]) + facility.hosts.start
    times = picture.time_s[hosts]
    power = picture.readings["power_milliwatts"][seats][live]
    limit = picture.readings["power_limit_milliwatts"][seats][live]
    spare = np.where(live, headroom[seats], np.nan)
    heat = np.where(live, picture.readings["temperature_gpu_celsius"][seats], np.nan)
    known = ~np.isnan(spare)
    coolest = int(np.nanargmin(spare)) if known.any() else None
    if coolest is None and not np.isnan(heat).all():
        coolest = int(np.nanargmax(heat))
    seat = None if coolest is None else coolest + seats.start
    host = None if seat is None else picture.hosts[int(picture.host_of[seat])]
    return Summary(
        facility=facility,
        counts=np.bincount(own, minlength=len(State)),
        hosts=len(hosts),
        stale_hosts=int((stale[hosts] | np.isnan(times)).sum()),
        load=_spread(picture.readings["utilization_gpu_percent"][seats][live]),
        sm=_mean(picture.readings["sm_active_permille"][seats][live]) / 10,
        headroom_min=float(np.nanmin(spare)) if known.any() else float("nan"),
        headroom_p1=percentile(np.sort(spare[known]), 1) if known.any() else float("nan"),
        hottest_celsius=float("nan") if coolest is None else float(heat[coolest]),
        hottest_seat=seat,
        hottest_rack="" if host is None else short_place(host.place),
        power_mw=float(np.nansum(power)) if (~np.isnan(power)).any() else float("nan"),
        power_limit_mw=float(np.nansum(limit)) if (~np.isnan(limit)).any() else float("nan"),
        time_s=float(np.nanmax(times)) if (~np.isnan(times)).any() else None,
        backlog=backlog([q for q in picture.queues if q.facility_id == facility.facility_id]),
    )


def backlog(queues: list[Any]) -> Backlog:
    """Add up the newest snapshots of some queues."""
    if not queues:
        return Backlog()
    units = {queue.unit for queue in queues}
    seconds = _sum([queue.gpu_seconds_waiting for queue in queues])
    return Backlog(
        gpus=_sum([queue.gpus_waiting for queue in queues]),
        gpu_hours=None if seconds is None else seconds / 3600,
        entries=_sum([queue.waiting for queue in queues]),
        unit=units.pop() if len(units) == 1 else "entries",
        oldest_s=max((q.oldest_wait_seconds or 0 for q in queues), default=None) or None,
        time_s=max(queue.time_s for queue in queues),
        arrivals=_sum([queue.arrivals_per_second for queue in queues]),
        completions=_sum([queue.completions_per_second for queue in queues]),
    )


def short_place(place: tuple[str, str, str]) -> str:
    """Return the shortest name of a rack that says where it is."""
    hall, _, rack = place
    if len(rack) > len(hall) and rack.startswith(hall):
        return rack
    return " / ".join(part for part in place if part)


def age_limit_s(summary: Summary) -> float:
    """Return the age above which a facility's newest data is too old."""
    return QUEUE_STALE_S if summary.queues_only else STALE_S_MIN


def _spread(values: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Mean, and the 10th, 50th and 90th percentile; NaN where nothing is known."""
    values = np.sort(values[~np.isnan(values)])
    if not len(values):
        return (float("nan"),) * 4
    low, middle, high = (percentile(values, percent) for percent in (10, 50, 90))
    return float(values.mean()), low, middle, high


def percentile(values: NDArray[np.float32], percent: float) -> float:
    """Return a percentile of sorted values, between two of them in proportion.

    As `numpy.percentile`, which looks for each place anew and takes twenty times as long.
    """
    place = (len(values) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return float(values[below] + (values[above] - values[below]) * (place - below))


def _mean(values: NDArray[np.float32]) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _sum(values: list[float | None]) -> float | None:
    told = [value for value in values if value is not None]
    return sum(told) if told else None
