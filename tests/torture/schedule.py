"""What goes wrong when: a schedule of faults that follows from a seed and nothing else.

Pure. One target has at most one fault at a time, different ones may have theirs together; a fault
that needs the others in order (`alone`) waits until they are. How a fault is done is `stage.py`'s.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

LOCKED_TABLES = ("samples", "host_marks", "stream_offsets", "hosts", "host_state", "events")
CALM_FIRST_S = 3.0
ALONE_TAKES_S = 4.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: `<target>_<what>`, as in the log.
        target: `agent`, `collector`, `group` (whichever collector comes by first), `route` (a
            collector's way to the database), `database`, `broker` or `log`.
        weight: how often it is drawn, against the others.
        longest_s: it lasts between 0.1 s and this.
        alone: everything else is in order when it begins and while it lasts.
        keeps_log: it takes a broker whose log outlives its process.
    """

    name: str
    target: str
    weight: float
    longest_s: float = 0.1
    alone: bool = False
    keeps_log: bool = False

    @property
    def what(self) -> str:
        """What happens to the target."""
        return self.name.removeprefix(f"{self.target}_")


KINDS = (
    Kind("agent_kill", "agent", 3, 2),
    Kind("agent_restart", "agent", 1, 1),
    Kind("agent_freeze", "agent", 1, 6),
    Kind("collector_kill", "collector", 4, 2),
    Kind("collector_restart", "collector", 1, 1),
    Kind("collector_freeze", "collector", 3, 9),
    Kind("route_cut", "route", 1, 3),
    Kind("route_stall", "route", 1, 5),
    Kind("route_mute", "route", 1, 5),
    Kind("route_delay", "route", 1, 6),
    Kind("route_cut_before_commit", "route", 2),
    Kind("route_cut_after_commit", "route", 3),
    Kind("route_kill_at_commit", "route", 3),
    Kind("database_kill", "database", 3, 2),
    Kind("database_restart", "database", 1, 1),
    Kind("database_freeze", "database", 1, 6),
    Kind("database_lock", "database", 2, 6),
    Kind("database_read_only", "database", 1, 4),
    Kind("database_backup", "database", 1, alone=True),
    Kind("database_older", "database", 1.5, alone=True),
    Kind("broker_cut", "broker", 2, 3),
    Kind("broker_stall", "broker", 1, 5),
    Kind("broker_mute", "broker", 1, 5),
    Kind("broker_throttle", "broker", 1, 6),
    Kind("broker_freeze", "broker", 2, 7),
    Kind("broker_kill", "broker", 4, 2, keeps_log=True),
    Kind("offsets_back", "log", 2),
    Kind("log_again", "log", 1, alone=True),
)
# These let the product read again what it has read before, which makes good what a mistake lost.
REWINDS = ("offsets_back", "log_again", "database_backup", "database_older")
# Drawn first, so that the shortest run has them.
ALWAYS = ("agent_kill", "collector_kill", "database_kill", "broker_cut", "offsets_back")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a schedule.

    Attributes:
        number: which of several targets; 0 where there is one.
        draw: 0 … 999, for whatever else there is to choose.
    """

    at_s: float
    kind: Kind
    number: int
    for_s: float
    draw: int

    def __str__(self) -> str:
        target = f"{self.kind.name} {self.number}" if self.kind.target in _SEVERAL else ""
        return f"{self.at_s:7.1f} s  {target or self.kind.name}, {self.for_s:.1f} s ({self.draw})"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A run: what there is, and what happens to it.

    Attributes:
        scene: the name of one that was written by hand; empty where it follows from its seed.
        statement_timeout_s: of the collectors; None is what they have by themselves.
    """

    seed: int
    seconds: float
    agents: int
    collectors: int
    partitions: int
    commit_interval_ms: int
    faults: tuple[Fault, ...]
    scene: str = ""
    statement_timeout_s: int | None = None

    @property
    def holds(self) -> bool:
        """Whether a collector is to stand still at a moment of its own."""
        return any(fault.kind.target == "group" for fault in self.faults)

    def by_kind(self) -> dict[str, int]:
        """Return how many faults of each kind there are, in the order of names."""
        return dict(sorted(Counter(fault.kind.name for fault in self.faults).items()))

    def moments(self) -> list[tuple[float, bool, Fault]]:
        """Return the begins (True) and ends of all faults, in the order in which they happen."""
        begins = [(fault.at_s, True, fault) for fault in self.faults]
        ends = [(fault.at_s + fault.for_s, False, fault) for fault in self.faults]
        return sorted(begins + ends, key=lambda moment: (round(moment[0], 3), moment[1]))

    def without_rewinds(self) -> "Schedule":
        """Return the same without what would hide a loss from whoever looks for it at the end."""
        kept = tuple(fault for fault in self.faults if fault.kind.name not in REWINDS)
        return replace(self, faults=kept)

    def lines(self) -> Iterator[str]:
        """Yield the schedule for a person."""
        yield (
            f"{self.scene or f'seed {self.seed}'}: {self.seconds:.0f} s, {self.agents} agents, "
            f"{self.collectors} collectors, {self.partitions} partitions, "
            f"commit every {self.commit_interval_ms} ms"
        )
        yield from map(str, self.faults)


_SEVERAL = ("agent", "collector", "route")


def make(seed: int, seconds: float, *, keeps_log: bool) -> Schedule:
    """Return the schedule of a seed.

    Args:
        seed: any number.
        seconds: no fault begins later than this.
        keeps_log: whether the broker's log outlives its process.
    """
    chance = random.Random(seed)
    agents, collectors = 2, chance.choice((1, 2, 2, 3))
    counts = {"agent": agents, "collector": collectors, "route": collectors}
    kinds = [kind for kind in KINDS if keeps_log or not kind.keeps_log]
    first = [kind for kind in kinds if kind.name in ALWAYS]
    chance.shuffle(first)
    busy: dict[tuple[str, int], float] = {}
    faults: list[Fault] = []
    now_s = CALM_FIRST_S
    while True:
        kind = first.pop() if first else chance.choices(kinds, [k.weight for k in kinds])[0]
        number = chance.randrange(counts.get(kind.target, 1))
        fault_s = round(chance.uniform(0.1, max(0.1, kind.longest_s)), 2)
        if kind.alone:
            now_s, fault_s = max([now_s, *busy.values()]), ALONE_TAKES_S
        if now_s > seconds:
            break
        if busy.get((kind.target, number), 0.0) > now_s:
            now_s = round(now_s + 0.2, 2)
            continue
        faults.append(Fault(now_s, kind, number, fault_s, chance.randrange(1000)))
        busy[kind.target, number] = round(now_s + fault_s, 2)
        pause_s = fault_s if kind.alone else chance.uniform(0.2, 3.5)
        now_s = round(now_s + pause_s, 2)
    return Schedule(
        seed,
        seconds,
        agents,
        collectors,
        chance.choice((1, 2, 3)),
        chance.choice((0, 50, 200, 500)),
        tuple(faults),
    )
