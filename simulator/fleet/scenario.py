"""What goes wrong in a simulated facility: faults as data, at set times and at random.

Owns the scenario files and the schedule made of one. What a fault does to boards and messages is
`facility`; what the same words do to a simulated NVML driver is `simulator.nvml.faults`.
"""

import heapq
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from telemetry.errors import ConfigError

SCENARIOS_FOLDER = Path(__file__).parent.parent / "scenarios"

Kind = Literal["xid", "lost", "runaway", "power_brake", "hot_rack", "silent"]
Seconds = Annotated[float, Meta(ge=0)]
Rate = Annotated[float, Meta(ge=0, le=1000)]
Number = Annotated[int, Meta(ge=0)]

# Xids that a random fault draws from: application errors are common, the rest is rare (the order
# of Meta's and NVIDIA's published counts).
RANDOM_XIDS = (13, 31, 31, 31, 43, 45, 63, 74, 94, 119)
RANDOM_REPAIR_S = 900.0


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that goes wrong.

    Attributes:
        at_s: seconds after the start.
        until_s: when it is mended; None for never.
        every_s: it comes again after this long, mended likewise.
        rack: which rack, counted from 0, for `hot_rack`.
        host: which host, counted from 0, for everything else.
        gpu: which board of the host, for `xid`, `lost`, `runaway` and `power_brake`.
        value: the Xid; or the degrees that a hot rack's inlet rises; or the percent of cooling
            that is left of a runaway.
    """

    kind: Kind
    at_s: Seconds
    until_s: Seconds | None = None
    every_s: Annotated[float, Meta(gt=0)] | None = None
    rack: Number = 0
    host: Number = 0
    gpu: Number = 0
    value: Number | None = None


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A scenario file: a title, rates of random faults, and faults at set times."""

    title: str
    xids_per_gpu_day: Rate = 0.0
    lost_per_gpu_day: Rate = 0.0
    silent_per_host_day: Rate = 0.0
    faults: Annotated[tuple[Fault, ...], Meta(max_length=10_000)] = ()


class Change(NamedTuple):
    """A fault that begins or is mended, in the order of their times."""

    at_s: float
    number: int
    fault: Fault
    begins: bool


def names() -> list[str]:
    """The scenarios that come with the product, sorted."""
    return sorted(path.stem for path in SCENARIOS_FOLDER.glob("*.toml"))


def load(name_or_path: str) -> Scenario:
    """Return a scenario by its name, or from a file.

    Raises:
        ConfigError: there is none, or it is not a valid one.
    """
    known = name_or_path in names()
    path = SCENARIOS_FOLDER / f"{name_or_path}.toml" if known else Path(name_or_path)
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Scenario)
    except OSError as error:
        reason = f"{error.strerror}; shipped scenarios are {', '.join(names())}"
        raise ConfigError([f"{path}:scenario: {reason}"]) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}:scenario: {error}"]) from error


class Schedule:
    """The changes of a scenario, set and random, as time goes by."""

    def __init__(
        self, scenario: Scenario, hosts: int, gpus: int, random: np.random.Generator
    ) -> None:
        self._scenario, self._hosts, self._gpus, self._random = scenario, hosts, gpus, random
        self._heap: list[Change] = []
        self._numbers = 0
        self._drawn_until_s = 0.0
        for fault in scenario.faults:
            self._add(fault)

    def due(self, now_s: float) -> list[Change]:
        """Return what begins or is mended up to that time, once."""
        self._draw(now_s)
        changes = []
        while self._heap and self._heap[0].at_s <= now_s:
            change = heapq.heappop(self._heap)
            changes.append(change)
            if change.begins and change.fault.every_s:
                self._add(_moved(change.fault, change.fault.every_s))
        return changes

    def _add(self, fault: Fault) -> None:
        self._push(fault.at_s, fault, begins=True)
        if fault.until_s is not None:
            self._push(fault.until_s, fault, begins=False)

    def _push(self, at_s: float, fault: Fault, *, begins: bool) -> None:
        self._numbers += 1
        heapq.heappush(self._heap, Change(at_s, self._numbers, fault, begins))

    def _draw(self, now_s: float) -> None:
        """Add the random faults of the time that has passed since the last call."""
        days = (now_s - self._drawn_until_s) / 86_400
        self._drawn_until_s = now_s
        gpus = self._hosts * self._gpus
        wanted: list[tuple[Kind, float]] = [
            ("xid", self._scenario.xids_per_gpu_day * gpus),
            ("lost", self._scenario.lost_per_gpu_day * gpus),
            ("silent", self._scenario.silent_per_host_day * self._hosts),
        ]
        for kind, per_day in wanted:
            for _ in range(int(self._random.poisson(per_day * max(0.0, days)))):
                self._add(
                    Fault(
                        kind=kind,
                        at_s=now_s,
                        until_s=now_s + RANDOM_REPAIR_S,
                        host=int(self._random.integers(self._hosts)),
                        gpu=int(self._random.integers(self._gpus)),
                        value=int(self._random.choice(RANDOM_XIDS)) if kind == "xid" else None,
                    )
                )


def _moved(fault: Fault, seconds: float) -> Fault:
    until_s = None if fault.until_s is None else fault.until_s + seconds
    return msgspec.structs.replace(fault, at_s=fault.at_s + seconds, until_s=until_s)
