"""What the simulated driver itself costs, apart from the agent: the same calls without it.

A real driver answers from C and from the board; the simulated one computes physics in Python, in
the agent's own process. Owns measuring that share: the agent's reader makes the same calls at the
same cadence, and every library function notes the processor time that passes inside it. Run as a
program of its own, so that nothing else is in the process; prints one JSON object.
"""

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent.accelerators.nvidia import NvidiaReader
from simulator.nvml.host import make_driver
from simulator.nvml.install import binding_for
from simulator.nvml.library import SimulatedLibrary
from telemetry.clock import SystemClock
from telemetry.metrics import Group

TICK_S = 1.0
EVENT_WAIT_S = 1.0

# Library functions by what they are about; the first that fits counts.
FAMILIES = (
    ("gpm", ("nvmlGpm",)),
    ("fields", ("nvmlDeviceGetFieldValues",)),
    ("events", ("nvmlEventSet", "nvmlDeviceRegisterEvents", "nvmlDeviceGetSupportedEventTypes")),
    ("links", ("nvmlDeviceGetNvLink", "nvmlDeviceGetPcie", "nvmlDeviceGetGpuFabric")),
    ("memory_health", ("nvmlDeviceGetTotalEcc", "nvmlDeviceGetRemapped", "nvmlDeviceGetRetired",
                       "nvmlDeviceGetMemoryError", "nvmlDeviceGetSram")),
    ("readings", ("nvmlDevice",)),
    ("host", ("nvml",)),
)  # fmt: skip


@dataclass(slots=True)
class Cost:
    """Calls of one family and the time inside them."""

    calls: int = 0
    cpu_s: float = 0.0


@dataclass(slots=True)
class Ledger:
    """Costs by family; library functions are called from several threads."""

    costs: dict[str, Cost] = field(default_factory=lambda: defaultdict(Cost))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, family: str, cpu_s: float) -> None:
        """Add one call."""
        with self.lock:
            cost = self.costs[family]
            cost.calls += 1
            cost.cpu_s += cpu_s

    def clear(self) -> None:
        """Forget what was before."""
        with self.lock:
            self.costs.clear()

    @property
    def cpu_s(self) -> float:
        """Processor seconds inside the library."""
        return sum(cost.cpu_s for cost in self.costs.values())


class CountingLibrary(SimulatedLibrary):
    """The simulated library, with a stopwatch in every function."""

    ledger: Ledger

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return the function of that name, timed."""
        inner = super().__getattr__(name)
        family, ledger = family_of(name), self.ledger

        def function(*arguments: Any) -> Any:
            started_s = time.thread_time()
            try:
                return inner(*arguments)
            finally:
                ledger.add(family, time.thread_time() - started_s)

        setattr(self, name, function)
        return function


def family_of(name: str) -> str:
    """Return what a library function is about."""
    return next(f for f, starts in FAMILIES if name.startswith(starts))


def measure(boards: str, seconds: float) -> dict[str, Any]:
    """Read at the agent's cadence for a while and return what that cost."""
    clock, ledger = SystemClock(), Ledger()
    driver = make_driver(boards, clock, host="simulated")
    binding = binding_for(driver)
    library = CountingLibrary(driver)
    library.ledger = ledger
    binding.__dict__["nvmlLib"] = library
    reader = NvidiaReader(clock, binding)
    count = len(reader.open().accelerators)
    ending = threading.Event()
    waiter = threading.Thread(target=_wait_events, args=(reader, ending), daemon=True)
    waiter.start()
    _read_all(reader, count, Group.SLOW)  # so that slow readings stand in the ledger's units
    slow_ms = _timed_ms(lambda: _read_all(reader, count, Group.SLOW))
    ledger.clear()
    fast_ms: list[float] = []
    started_s, cpu_before_s = time.monotonic(), time.process_time()
    for tick in range(1, max(2, round(seconds / TICK_S)) + 1):
        time.sleep(max(0.0, started_s + tick * TICK_S - time.monotonic()))
        fast_ms.append(_timed_ms(lambda: _read_all(reader, count, Group.FAST)))
    elapsed_s = time.monotonic() - started_s
    result = {
        "driver_cpu_percent_of_core": 100 * ledger.cpu_s / elapsed_s,
        "reading_cpu_percent_of_core": 100 * (time.process_time() - cpu_before_s) / elapsed_s,
        "fast_reading_ms": sorted(fast_ms)[len(fast_ms) // 2],
        "slow_reading_ms": slow_ms,
        "calls_per_tick": sum(c.calls for c in ledger.costs.values()) / len(fast_ms),
        "driver_ms_per_tick_by_family": {
            family: 1000 * cost.cpu_s / len(fast_ms)
            for family, cost in sorted(ledger.costs.items())
        },
    }
    ending.set()
    waiter.join(2 * EVENT_WAIT_S)
    reader.close()
    return result


def _wait_events(reader: NvidiaReader, ending: threading.Event) -> None:
    while not ending.is_set():
        reader.wait_events(EVENT_WAIT_S)


def _read_all(reader: NvidiaReader, count: int, group: Group) -> None:
    for position in range(count):
        reader.read(position, group)


def _timed_ms(action: Callable[[], None]) -> float:
    started_s = time.monotonic()
    action()
    return 1000 * (time.monotonic() - started_s)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(sys.argv[1], float(sys.argv[2]))) + "\n")
