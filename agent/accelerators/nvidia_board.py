"""One NVIDIA board as the reader knows it, and the collecting of one reading of it.

Owns what is remembered between two readings, and the sorting of answers into values, failures and
metrics that are not offered. Which question gives which metric stands in `nvidia_sources`.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agent.accelerators import AcceleratorReading, RunningProcess
from agent.accelerators.nvidia_verdict import Verdict, translate, verdict
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from telemetry.records import ReaderStatus

NAMES = {group: frozenset(metric.name for metric in CATALOGUE.group(group)) for group in Group}


class Instance(NamedTuple):
    """What a MIG instance is cut from, and how NVML counts it there."""

    parent: "Board"
    gpu_instance: int
    compute_instance: int


@dataclass(slots=True)
class Board:
    """A board, or a MIG instance of one, and what is known of it.

    Attributes:
        uuid_text: as the driver writes it, `GPU-…` or `MIG-…`.
        handle: NVML's; got anew after the board was lost.
        nvlinks: links that the board has, up or down.
        unsupported: metrics whose first source is not offered; asked again after the next `open`.
        exhausted: those of them whose second source is not offered either.
        lost: whether the last reading found it lost.
        hourly: answers that are kept, each with when it was asked.
        processes: those that held it when they were last asked for.
        instance: for a MIG instance, of what; None for a board.
        cut_into: for a board, the UUIDs of its instances; None where MIG is off.
    """

    uuid: bytes
    uuid_text: str
    handle: Any
    nvlinks: int
    unsupported: set[str] = field(default_factory=set)
    exhausted: set[str] = field(default_factory=set)
    lost: bool = False
    hourly: dict[tuple[str, ...], tuple[float, dict[str, int]]] = field(default_factory=dict)
    processes: tuple[RunningProcess, ...] = ()
    instance: Instance | None = None
    cut_into: frozenset[str] | None = None
    _absent: dict[Group, tuple[int, frozenset[str]]] = field(default_factory=dict)

    def absent(self, group: Group) -> frozenset[str]:
        """Return what of a group is in `unsupported`, which only ever grows."""
        kept = self._absent.get(group)
        if kept is None or kept[0] != len(self.unsupported):
            kept = len(self.unsupported), frozenset(self.unsupported & NAMES[group])
            self._absent[group] = kept
        return kept[1]


class Collected:
    """One reading of one board, while it is being made."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.values: dict[str, int] = {}
        self.failed: dict[str, str] = {}

    def accept(self, name: str, value: int) -> None:
        """Take a value, unless the catalogue says that it cannot be."""
        if CATALOGUE.by_name[name].holds(value):
            self.values[name] = value
        else:
            self.failed[name] = f"{value} is out of range"

    def refuse(self, names: tuple[str, ...], error: Any) -> None:
        """Take an `NVMLError` for these metrics.

        Raises:
            DeviceLost: the board is lost, so nothing else about it can be trusted.
            PermanentError: the driver was replaced.
        """
        found = verdict(error.value)
        if found is Verdict.UNSUPPORTED:
            self.board.unsupported.update(names)
        elif found is Verdict.FAILED:
            self.failed.update(dict.fromkeys(names, str(error)))
        else:
            raise translate(error) from error

    def reading(self, group: Group, *, outdated: bool = False) -> AcceleratorReading:
        """Return what was collected, and whether the inventory is not true any more."""
        absent = self.board.absent(group)
        # Nearly always they are apart; a second source has a value for what the first has not.
        if not (absent.isdisjoint(self.values) and absent.isdisjoint(self.failed)):
            absent = absent - self.values.keys() - self.failed.keys()
        return AcceleratorReading(
            uuid=self.board.uuid,
            status=ReaderStatus.PARTIAL if self.failed else ReaderStatus.WHOLE,
            values=self.values,
            unsupported=absent,
            failed=self.failed,
            outdated=outdated,
            processes=self.board.processes if "processes_count" in self.values else (),
        )
