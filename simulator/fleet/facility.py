"""One simulated facility: time comes in, messages of its hosts come out.

Owns when each host speaks. Physics, jobs, faults and packing are in the files beside it; sending
is `simulator.sender`. The hosts are packed ones, without an agent: they speak as an agent does
(`simulator.voice`) but hold no spool.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.boards import Boards
from simulator.fleet.damage import Damage
from simulator.fleet.demand import Demand, demand_at
from simulator.fleet.jobs import Scheduler, Work
from simulator.fleet.layout import Plan, describe_boards
from simulator.fleet.readings import read_fast, read_slow, supported, unsupported_of
from simulator.fleet.ring import Ring
from simulator.fleet.scenario import Change, Scenario, Schedule
from simulator.nvml.profile import Profile
from simulator.voice import Outgoing, Voice
from telemetry.metrics import Group
from telemetry.records import Event, Holder, ReaderStatus, Workloads

WARM_UP_STEPS = 60
WARM_UP_STEP_S = 5.0

# All that a lost board still has.
_ANSWERED_FAST = {"reader_status_code": int(ReaderStatus.LOST), "read_failures_count": 0}


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often a host does what."""

    tick_s: float = 1.0
    ticks_per_message: int = 10
    slow_s: float = 60.0
    heartbeat_s: float = 10.0
    queues_s: float = 5.0
    inventory_s: float = 3600.0

    def ticks(self, seconds: float) -> int:
        """Return how many ticks that is; at least one."""
        return max(1, round(seconds / self.tick_s))


class SimulatedFacility:
    """All packed hosts of one facility.

    Jobs, heat and faults cover every host of the plan; messages come from `first_host` onwards,
    because real agents may stand for the hosts before it.
    """

    def __init__(
        self,
        plan: Plan,
        profile: Profile,
        *,
        seed: int,
        boot_epoch: int,
        scenario: Scenario,
        work: Work,
        cadence: Cadence,
        provider: str = "",
        first_host: int = 0,
    ) -> None:
        self._plan, self._profile, self._cadence = plan, profile, cadence
        self._provider, self._first_host = provider, first_host
        self.hosts = plan.make_hosts()
        self.voices = [
            Voice(plan.tenant, plan.facility, host.name, boot_epoch, b"".join(host.uuids))
            for host in self.hosts
        ]
        self._random = np.random.default_rng(seed)
        self.boards = Boards(profile, plan.hosts * plan.gpus, self._random)
        self.damage = Damage(self.hosts, plan.gpus, self.boards)
        self.scheduler = Scheduler(plan.hosts, plan.gpus, plan.hosts_per_rack, work, self._random)
        self._schedule = Schedule(scenario, plan.hosts, plan.gpus, self._random)
        fast, slow = (supported(profile, group) for group in (Group.FAST, Group.SLOW))
        self._fast = Ring(fast, cadence.ticks_per_message, plan.hosts, plan.gpus)
        self._slow = Ring(slow, 1, plan.hosts, plan.gpus)
        self._unsent = np.zeros(plan.hosts, np.int64)
        self._ticks = 0
        self.demand: Demand | None = None
        """What is asked of each board in the latest tick."""
        self.on_change: Callable[[Change], None] = lambda _change: None
        """Told of each fault that begins or is mended, for hosts that are not packed ones."""
        self.on_work: Callable[[int], None] = lambda _host: None
        """Told of each host on which a job begins or ends."""

    def start(self, now_us: int) -> Iterator[Outgoing]:
        """Settle jobs and heat, and let each host say hello."""
        now_s = now_us / 1e6
        self.scheduler.start(now_s)
        for step in range(WARM_UP_STEPS, 0, -1):
            self._advance(now_s - step * WARM_UP_STEP_S, WARM_UP_STEP_S)
        self.scheduler.take_touched()
        for host in range(self._plan.hosts):
            self.on_work(host)
        for host in range(self._first_host, self._plan.hosts):
            yield self._hello(host, now_us)

    def tick(self, now_us: int) -> Iterator[Outgoing]:
        """Let one tick pass and yield the messages that are due."""
        now_s = now_us / 1e6
        was_silent = self.damage.silent.copy()
        events = self._damage(now_us)
        self.scheduler.advance(now_s)
        demand = self._advance(now_s, self._cadence.tick_s)
        self._fast.record(now_us, read_fast(self.boards, demand), self.damage.lost)
        self._unsent = np.minimum(self._unsent + 1, self._cadence.ticks_per_message)
        self._unsent[self.damage.silent] = 0
        for host in self._speaking(was_silent):
            yield self._hello(host, now_us)
        for host, records in events.items():
            if self._may_speak(host):
                yield self.voices[host].events(records, now_us)
        for host in sorted(self.scheduler.take_touched()):
            self.on_work(host)
            if self._may_speak(host):
                yield self.voices[host].events([self._workloads(host, now_us)], now_us)
        yield from self._due_samples(now_us, demand)
        for host in self._due(self._cadence.heartbeat_s):
            yield self.voices[host].heartbeat(now_us, self._interval_ms)
        yield from self._due_queues(now_us)
        for host in self._due(self._cadence.inventory_s) if self._ticks else ():
            yield self._hello(host, now_us, started=False)
        self._ticks += 1

    def stop(self, now_us: int) -> Iterator[Outgoing]:
        """Let each host say what it has gathered, and that it stops."""
        yield from self._say_unsent(np.array(self._speaking(), np.int64), now_us)
        for host in self._speaking():
            yield self.voices[host].goodbye(now_us, self._interval_ms)

    @property
    def _interval_ms(self) -> int:
        return round(self._cadence.tick_s * 1000)

    def _damage(self, now_us: int) -> dict[int, list[Event]]:
        events: dict[int, list[Event]] = {}
        for change in self._schedule.due(self._ticks * self._cadence.tick_s):
            self.on_change(change)
            for host, event in self.damage.apply(change, now_us):
                events.setdefault(host, []).append(event)
        return events

    def _advance(self, now_s: float, seconds: float) -> Demand:
        ranks = np.where(self.damage.lost, 0.0, self.scheduler.ranks)
        demand = demand_at(ranks, self.scheduler.phases, now_s, self._random)
        self.boards.advance(seconds, demand)
        self.demand = demand
        return demand

    def _may_speak(self, host: int) -> bool:
        return host >= self._first_host and not self.damage.silent[host]

    def _speaking(self, among: NDArray[np.bool_] | None = None) -> list[int]:
        """Return the hosts that are heard, or those of them for which `among` is true."""
        return [
            host
            for host in range(self._first_host, self._plan.hosts)
            if self._may_speak(host) and (among is None or among[host])
        ]

    def _due(self, every_s: float) -> list[int]:
        """Return the hosts whose turn it is, spread as agents started at different times are.

        In the first tick it is everyone's turn, so that a facility is seen whole at once.
        """
        every = self._cadence.ticks(every_s)
        return [n for n in self._speaking() if not self._ticks or not (self._ticks + n) % every]

    def _due_samples(self, now_us: int, demand: Demand) -> Iterator[Outgoing]:
        due = self._due(self._cadence.ticks_per_message * self._cadence.tick_s)
        yield from self._say_unsent(np.array(due, np.int64), now_us)
        slow = self._due(self._cadence.slow_s)
        if slow:
            self._slow.record(now_us, read_slow(self.boards, demand), self.damage.lost)
            yield from self._say(self._slow, slow, 1, {}, now_us)

    def _say_unsent(self, due: NDArray[np.int64], now_us: int) -> Iterator[Outgoing]:
        """Say the fast ticks of each host since its last message."""
        for ticks in sorted(set(self._unsent[due].tolist()) - {0}):
            hosts = due[self._unsent[due] == ticks]
            yield from self._say(self._fast, hosts.tolist(), ticks, _ANSWERED_FAST, now_us)
        self._unsent[due] = 0

    def _say(
        self, ring: Ring, hosts: list[int], ticks: int, answered: Mapping[str, int], now_us: int
    ) -> Iterator[Outgoing]:
        bodies = ring.bodies(np.array(hosts, np.int64), ticks, answered)
        for host, body in zip(hosts, bodies, strict=True):
            yield self.voices[host].samples(ticks, ring.layout, body, now_us)

    def _due_queues(self, now_us: int) -> Iterator[Outgoing]:
        """One host sees the scheduler; where it falls silent, the next one takes over."""
        if self._ticks % self._cadence.ticks(self._cadence.queues_s):
            return
        for speaker in self._speaking()[:1]:
            snapshots = self.scheduler.snapshots(now_us / 1e6, now_us)
            yield self.voices[speaker].queues(snapshots, now_us)

    def _hello(self, number: int, now_us: int, *, started: bool = True) -> Outgoing:
        host = self.hosts[number]
        boards = describe_boards(self._profile, host.uuids, unsupported_of(self._profile))
        return self.voices[number].hello(
            boards,
            host.place,
            now_us,
            provider=self._provider,
            driver_version=self._profile.driver_version,
            started=started,
            workloads=self._workloads(number, now_us),
        )

    def _workloads(self, host: int, now_us: int) -> Workloads:
        """Return which jobs hold the boards of a host, as an agent would tell it."""
        uuids = self.hosts[host].uuids
        return Workloads(
            time_us=now_us,
            holders=tuple(
                Holder(
                    accelerator=uuids[board],
                    source="slurm",
                    job=str(job.number),
                    step="0",
                    user=job.user,
                    since_us=min(now_us, round(job.started_s * 1e6)),
                    processes=1,
                )
                for board, job in self.scheduler.held(host)
            ),
        )
