"""Accelerator readers: one module a vendor, behind one contract.

Owns the contract and the table of readers. Adding a vendor is a module here, a line in `READERS`
and its library in an extra of its own. A reader is imported only when it is configured, so a host
without NVIDIA boards needs no NVIDIA library.

A reader asks the driver and says what it heard. When to ask, on which thread, with what deadline,
and what to do with the answer is the sampler's business.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

import msgspec

from telemetry.metrics import Group
from telemetry.records import Accelerator, Event, ReaderStatus

READERS = {
    "nvidia": "agent.accelerators.nvidia:NvidiaReader",
}


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the driver says about itself and its boards.

    Attributes:
        accelerators: those that answered, in the driver's order, each followed by what it is cut
            into; each lists the metrics that it does not offer, as far as known by then.
        missing: positions in the driver's order that are counted but do not answer.
    """

    driver_version: str
    library_version: str
    accelerators: tuple[Accelerator, ...]
    missing: tuple[int, ...] = ()


class RunningProcess(msgspec.Struct, frozen=True):
    """A process that holds an accelerator; memory is None where the driver does not say."""

    pid: int
    memory_mebibytes: int | None = None


class AcceleratorReading(msgspec.Struct, frozen=True):
    """One accelerator at one moment. A metric is in exactly one of three places, or not asked.

    Attributes:
        uuid: as in the inventory.
        values: catalogue name to value, valid by the catalogue's range.
        unsupported: names that this board does not offer.
        failed: names that could not be read or were out of range, each with the reason.
        processes: those that hold the accelerator, in a slow reading.
        outdated: the host holds other accelerators than the last inspection said: open anew.
    """

    uuid: bytes
    status: ReaderStatus
    values: dict[str, int] = {}
    unsupported: frozenset[str] = frozenset()
    failed: dict[str, str] = {}
    outdated: bool = False
    processes: tuple[RunningProcess, ...] = ()


class AcceleratorReader(Protocol):
    """One vendor's driver on this host.

    A call into a driver may hang for ever, so whoever calls sets the deadline. `read` may run for
    several accelerators at once on as many threads, but never twice for one; `wait_events` has a
    thread of its own; `open` and `close` run while none of these does, or only hung ones do.
    """

    def open(self) -> Inspection:
        """Start talking to the driver, or start anew, and return what is there.

        Raises:
            RetryableError: no driver yet, or it is busy; try again later.
            PermanentError: the driver changed under this process; only a new process helps.
        """

    def read(self, position: int, group: Group) -> AcceleratorReading:
        """Read one group of metrics of the accelerator at that position of the inspection.

        Nothing is raised for a bad accelerator: it has a reading with its own status.
        """

    def wait_events(self, timeout_s: float) -> list[Event]:
        """Return events as soon as there are any, or nothing when the time is over.

        The loss of an accelerator is not among them: `read` tells it by the status.

        Raises:
            ReadError: the driver reports no events now; ask again later, not at once.
            PermanentError: as `open`.
        """

    def close(self) -> None:
        """Let go of the driver. Nothing is raised; a second call does nothing."""


def load_reader(name: str) -> type[AcceleratorReader]:
    """Return the class of a configured reader; KeyError when there is none of that name."""
    module, _, attribute = READERS[name].partition(":")
    return cast("type[AcceleratorReader]", getattr(import_module(module), attribute))
