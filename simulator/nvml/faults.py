"""Faults as data: what goes wrong on a host, and when.

Owns the record that scenario files hold and its translation into the driver's methods. A fault
with an end is mended then; faults of the same time happen in the order given.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from simulator.nvml.device import COUNTER_NAMES
from simulator.nvml.driver import SimulatedDriver

DRIVER_NOT_LOADED, LIBRARY_MISMATCH = 9, 18

Kind = Literal[
    "lost",
    "xid",
    "double_bit_error",
    "runaway",
    "power_brake",
    "hang",
    "unsupported",
    "failing",
    "garbage",
    "mismatch",
    "unloaded",
    "swap",
    "nvlink_down",
    "mig",
    "counter",
]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that goes wrong.

    Attributes:
        at_s: seconds after the schedule starts.
        until_s: when it is mended; None for never. See `END` for what can be.
        gpu: slot; None for the whole host, where that makes sense (`hang`), or the first board.
        value: Xid, NVML error, garbage number, link, amount, percent of the cooling left, or for
            `mig` how many instances the board is cut into.
        name: function or `field N` for `unsupported`, `failing` and `garbage`; function for `hang`,
            which without one is all of them; for `counter` one of `device.Counters`, such as
            `pcie_replays` or `remap_failed`.
    """

    at_s: Annotated[float, Meta(ge=0)]
    kind: Kind
    until_s: float | None = None
    gpu: Annotated[int, Meta(ge=0)] | None = None
    value: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse a fault without the name that its kind needs."""
        if self.kind in ("unsupported", "failing", "garbage") and not self.name:
            raise ValueError(f"{self.kind} needs the name of a function or field")
        if self.kind == "counter" and self.name not in COUNTER_NAMES:
            raise ValueError(f"no counter {self.name!r}; there are {sorted(COUNTER_NAMES)}")

    @property
    def slot(self) -> int:
        """The board it is about."""
        return self.gpu or 0


Action = Callable[[SimulatedDriver, Fault], None]


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


# How each kind begins. A board is `fault.gpu`, the first one where none is named.
BEGIN: dict[Kind, Action] = {
    "lost": lambda driver, fault: driver.lose(fault.slot, _or(fault.value, 79) or None),
    "xid": lambda driver, fault: driver.raise_xid(fault.slot, _or(fault.value, 0)),
    "double_bit_error": lambda driver, fault: driver.raise_double_bit_error(fault.slot),
    "runaway": lambda driver, fault: driver.set_cooling(fault.slot, _or(fault.value, 2) / 100),
    "power_brake": lambda driver, fault: driver.set_power_brake(fault.slot, on=True),
    "hang": lambda driver, fault: driver.hang(fault.gpu, fault.name),
    "unsupported": lambda driver, fault: driver.set_unsupported(fault.slot, fault.name),
    "failing": lambda driver, fault: driver.set_failing(
        fault.slot, fault.name, _or(fault.value, 999)
    ),
    "garbage": lambda driver, fault: driver.set_garbage(
        fault.slot, fault.name, _or(fault.value, 0xFFFFFFFF)
    ),
    "mismatch": lambda driver, _fault: driver.refuse_all(LIBRARY_MISMATCH),
    "unloaded": lambda driver, _fault: driver.refuse_all(DRIVER_NOT_LOADED),
    "mig": lambda driver, fault: driver.set_mig(fault.slot, on=True, instances=_or(fault.value, 0)),
    "counter": lambda driver, fault: driver.add_to_counter(
        fault.slot, fault.name, _or(fault.value, 1)
    ),
    "swap": lambda driver, fault: driver.swap(fault.slot),
    "nvlink_down": lambda driver, fault: driver.set_nvlink(
        fault.slot, _or(fault.value, 0), up=False
    ),
}
# How each kind is mended; an Xid, a swap and what was counted cannot be.
END: dict[Kind, Action] = {
    "lost": lambda driver, fault: driver.bring_back(fault.slot),
    "double_bit_error": lambda driver, fault: driver.bring_back(fault.slot),
    "runaway": lambda driver, fault: driver.set_cooling(fault.slot, 1.0),
    "power_brake": lambda driver, fault: driver.set_power_brake(fault.slot, on=False),
    "hang": lambda driver, _fault: driver.release(),
    "unsupported": lambda driver, fault: driver.set_supported(fault.slot, fault.name),
    "failing": lambda driver, fault: driver.set_failing(fault.slot, fault.name, 0),
    "garbage": lambda driver, fault: driver.set_garbage(fault.slot, fault.name, None),
    "mismatch": lambda driver, _fault: driver.refuse_all(0),
    "unloaded": lambda driver, _fault: driver.refuse_all(0),
    "mig": lambda driver, fault: driver.set_mig(fault.slot, on=False),
    "nvlink_down": lambda driver, fault: driver.set_nvlink(
        fault.slot, _or(fault.value, 0), up=True
    ),
}


def begin(driver: SimulatedDriver, fault: Fault) -> None:
    """Let it go wrong."""
    BEGIN[fault.kind](driver, fault)


def end(driver: SimulatedDriver, fault: Fault) -> None:
    """Mend it, if that can be."""
    if fault.kind in END:
        END[fault.kind](driver, fault)


def schedule(driver: SimulatedDriver, faults: list[Fault], since_s: float = 0.0) -> None:
    """Let these faults begin and end at their times, counted from `since_s` seconds ago."""
    for fault in faults:
        driver.at(fault.at_s - since_s, partial(begin, driver, fault))
        if fault.until_s is not None:
            driver.at(fault.until_s - since_s, partial(end, driver, fault))
