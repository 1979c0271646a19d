"""The machine that figures are of: what it is, and how busy it was while they were taken."""

import os
from pathlib import Path
from typing import Any

import psutil


class Machine:
    """This machine, from now until it is described."""

    def __init__(self) -> None:
        self._load_average = [round(load, 2) for load in os.getloadavg()]
        self._before = psutil.cpu_times()

    def description(self) -> dict[str, Any]:
        """Return what a figure depends on: cores, memory, processor, and who else wanted them.

        `busy_percent` is of all cores, whoever used them; `stolen_percent` is what a hypervisor has
        given to others while somebody here waited for it, which no load average shows.
        """
        spent = _spent(self._before, psutil.cpu_times())
        return _facts() | {
            "load_average_at_start": self._load_average,
            "busy_percent": round(100 - spent["idle"] - spent["iowait"] - spent["steal"], 1),
            "stolen_percent": round(spent["steal"], 1),
        }


def _facts() -> dict[str, Any]:
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": pages >> 20,
        "cpu": names[0] if names else "unknown",
        "kernel": os.uname().release,
    }


def _spent(before: Any, after: Any) -> dict[str, float]:
    """Return how the processor's time was divided between two looks, in percent."""
    # Guests' time is in `user` and `nice` already.
    names = [name for name in before._fields if not name.startswith("guest")]
    taken = {name: max(0.0, getattr(after, name) - getattr(before, name)) for name in names}
    whole = sum(taken.values()) or 1.0
    return {name: 100 * seconds / whole for name, seconds in taken.items()}
