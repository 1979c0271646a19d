"""CPU, memory, pressure and uptime out of /proc. Pure parsers, and the one that counts processes.

Owns the formats of proc(5). A line that is not as expected is left out, since kernels differ; no
parser raises for what it reads.
"""

import os
from pathlib import Path

PROCESSES_MAX = 50_000
STAT_BYTES = 512
MEBIBYTE_IN_KIBIBYTES = 1024


def parse_cpu(text: str, ticks_per_second: int) -> dict[str, int]:
    """Return busy, waiting and total CPU time since boot from /proc/stat, all cores together."""
    words = next((line.split() for line in text.splitlines() if line.startswith("cpu ")), [])
    ticks = [int(word) for word in words[1:] if word.isdecimal()]
    if len(ticks) < 8:
        return {}
    # user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user already.
    total, idle, waiting = sum(ticks[:8]), ticks[3], ticks[4]
    scale = 1000 / ticks_per_second
    return {
        "cpu_total_milliseconds": round(total * scale),
        "cpu_busy_milliseconds": round((total - idle - waiting) * scale),
        "cpu_io_wait_milliseconds": round(waiting * scale),
        "cpu_steal_milliseconds": round(ticks[7] * scale),
    }


def parse_memory(text: str) -> dict[str, int]:
    """Return memory and swap from /proc/meminfo."""
    kibibytes: dict[str, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        number = rest.removesuffix("kB").strip()
        if number.isdecimal():
            kibibytes[name] = int(number)
    names = {
        "memory_total_mebibytes": "MemTotal",
        "memory_available_mebibytes": "MemAvailable",
        "swap_total_mebibytes": "SwapTotal",
        "swap_free_mebibytes": "SwapFree",
    }
    return {
        name: kibibytes[key] // MEBIBYTE_IN_KIBIBYTES
        for name, key in names.items()
        if key in kibibytes
    }


def parse_out_of_memory(text: str) -> dict[str, int]:
    """Return how many processes the kernel ended for want of memory, from /proc/vmstat."""
    for line in text.splitlines():
        name, _, number = line.partition(" ")
        if name == "oom_kill" and number.strip().isdecimal():
            return {"out_of_memory_kills_count": int(number)}
    return {}


def parse_load(text: str) -> dict[str, int]:
    """Return the load of the last minute, in thousandths, from /proc/loadavg."""
    first = text.split(" ", 1)[0]
    whole, dot, part = first.partition(".")
    if not (dot and whole.isdecimal() and part.isdecimal()):
        return {}
    return {"load_1_minute_thousandths": int(whole) * 1000 + int(part[:3].ljust(3, "0"))}


def parse_uptime(text: str) -> dict[str, int]:
    """Return seconds since boot from /proc/uptime."""
    seconds = text.partition(".")[0]
    return {"uptime_seconds": int(seconds)} if seconds.isdecimal() else {}


def parse_state(raw: bytes) -> str:
    """Return a process's state letter from /proc/<pid>/stat, or nothing.

    The name before it stands in brackets and may hold anything, brackets included.
    """
    rest = raw.rpartition(b")")[2].split()
    return rest[0].decode("ascii", "replace") if rest else ""


def count_stuck_processes(proc: Path) -> dict[str, int]:
    """Return how many processes there are, and how many wait where no signal reaches them.

    A driver that hangs shows as processes in state D that stay there.
    """
    total = stuck = 0
    with os.scandir(proc) as entries:
        for entry in entries:
            if not entry.name.isdecimal():
                continue
            total += 1
            if total > PROCESSES_MAX:
                break
            stuck += parse_state(_head(f"{entry.path}/stat")) == "D"
    return {"processes_count": total, "processes_uninterruptible_count": stuck}


def _head(path: str) -> bytes:
    """Return a file's start; nothing where the process has ended in between.

    Plain descriptors, because a host may have thousands of processes.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, STAT_BYTES)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
