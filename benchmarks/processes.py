"""What processes cost: processor time and memory of one and all its descendants.

Owns reading it from /proc. Memory is PSS: a page that several processes share counts to each by
its share, so the sum is what would be free without them.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Memory:
    """Mebibytes of a process and its descendants: shared pages by share, in full, not at all."""

    pss_mib: float
    rss_mib: float
    uss_mib: float


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants; none when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and its descendants have used, ended ones too."""
    total = 0.0
    for member in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            # What ended and was waited for stands with its parent.
            total += times.user + times.system + times.children_user + times.children_system
    return total


def cpu_seconds_of(pids: Iterable[int | None]) -> float:
    """Return the same for several processes; one that is not there counts nothing."""
    return sum(cpu_seconds(pid) for pid in pids if pid is not None)


def listener(port: int) -> int | None:
    """Return the process of this machine that listens at a TCP port; None if it is elsewhere."""
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,):
            return connection.pid
    return None


def memory(pid: int) -> Memory:
    """Return the memory of a process and its descendants."""
    pss = rss = uss = 0
    for member in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            full = member.memory_full_info()
            pss, rss, uss = pss + full.pss, rss + full.rss, uss + full.uss
    mebibyte = 1 << 20
    return Memory(pss / mebibyte, rss / mebibyte, uss / mebibyte)


def threads(pid: int) -> list[tuple[str, float]]:
    """Return name and processor seconds of each thread of a process, the busiest first."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for thread in psutil.Process(pid).threads():
            seconds = thread.user_time + thread.system_time
            found.append((_thread_name(pid, thread.id), seconds))
    return sorted(found, key=lambda entry: -entry[1])


def _thread_name(pid: int, thread: int) -> str:
    try:
        with open(f"/proc/{pid}/task/{thread}/comm", encoding="utf-8") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError:
        return "ended"
