"""Which work holds which accelerator, told when that changes.

Owns the look-up of processes in /proc, and the comparison with what was told last. Each telling is
the whole of a host, so one that is lost is made good by the next, and the collector can end what is
no longer in it. Used by one thread.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from agent.accelerators import AcceleratorReading
from agent.workloads.cgroup import Workload, parse_cgroup
from telemetry.records import HOLDERS_PER_HOST_MAX, Holder, ReaderStatus, Workloads

OFF, JOBS, USERS = "off", "jobs", "users"
READ_BYTES_MAX = 64 * 1024
PROCESSES_MAX = 1024
TELL_AGAIN_S = 3600.0
START_TIME_FIELD = 19  # of proc_pid_stat(5), counted from the one after the name
_ANSWERED = (ReaderStatus.WHOLE, ReaderStatus.PARTIAL)


@dataclass(frozen=True, kw_only=True)
class WorkloadSettings:
    """What may be told about the work on a host."""

    workloads: Annotated[
        str,
        Meta(
            pattern="^(off|jobs|users)$",
            description="what is told of the work that holds an accelerator: off, jobs (Slurm job, "
            "pod, container, unit) or users (its user as well)",
        ),
    ] = JOBS


class WorkloadWatch:
    """The work on one host's accelerators.

    Args:
        told: `jobs`, or `users` to name the user too.
        users_file: names of the users that this host itself knows; no directory is asked, since
            one that does not answer would hold up the readings.
    """

    def __init__(self, proc: Path, told: str, users_file: Path = Path("/etc/passwd")) -> None:
        self._proc = proc
        self._with_users = told == USERS
        self._users_file = users_file
        self._holding: dict[bytes, dict[Workload, _Share]] = {}
        self._last_keys: frozenset[tuple[bytes, Workload]] | None = None
        self._told_s = float("-inf")

    def note(
        self, readings: Sequence[AcceleratorReading], time_us: int, now_s: float
    ) -> Workloads | None:
        """Take what a slow reading says; return what is to be told, if it changed or is due.

        An accelerator that did not answer keeps what it held.
        """
        boot_us = self._boot_us()
        here = {reading.uuid for reading in readings}
        self._holding = {uuid: held for uuid, held in self._holding.items() if uuid in here}
        for reading in readings:
            if reading.status in _ANSWERED and "processes_count" not in reading.failed:
                self._holding[reading.uuid] = self._shares(reading, boot_us)
        keys = frozenset((uuid, work) for uuid, held in self._holding.items() for work in held)
        if keys == self._last_keys and now_s - self._told_s < TELL_AGAIN_S:
            return None
        self._last_keys, self._told_s = keys, now_s
        holders = [
            _holder(uuid, work, share)
            for uuid, held in self._holding.items()
            for work, share in held.items()
        ]
        return Workloads(time_us=time_us, holders=tuple(holders[:HOLDERS_PER_HOST_MAX]))

    def _shares(self, reading: AcceleratorReading, boot_us: int) -> "dict[Workload, _Share]":
        found: dict[Workload, _Share] = {}
        for process in reading.processes[:PROCESSES_MAX]:
            folder = self._proc / str(process.pid)
            work = parse_cgroup(_text(folder / "cgroup"))
            if work is None:
                continue
            share = found.setdefault(work, _Share(user=self._user_of(folder)))
            share.processes += 1
            share.memory_mebibytes += process.memory_mebibytes or 0
            since_us = _started_us(_text(folder / "stat"), boot_us)
            share.since_us = min(share.since_us or since_us, since_us)
        return found

    def _user_of(self, folder: Path) -> str:
        if not self._with_users:
            return ""
        try:
            number = folder.stat().st_uid
        except OSError:
            return ""
        for line in _text(self._users_file).splitlines():
            name, _, rest = line.partition(":")
            if rest.split(":")[1:2] == [str(number)]:
                return name[:128]
        return str(number)

    def _boot_us(self) -> int:
        for line in _text(self._proc / "stat").splitlines():
            if line.startswith("btime ") and line[6:].strip().isdecimal():
                return int(line[6:]) * 1_000_000
        return 0


@dataclass(slots=True)
class _Share:
    """What one piece of work has of one accelerator."""

    user: str
    processes: int = 0
    memory_mebibytes: int = 0
    since_us: int = 0


def _holder(uuid: bytes, work: Workload, share: _Share) -> Holder:
    return Holder(
        accelerator=uuid,
        source=work.source,
        job=work.job,
        step=work.step,
        user=share.user,
        since_us=share.since_us or None,
        processes=share.processes,
        memory_mebibytes=share.memory_mebibytes,
    )


def _started_us(stat: str, boot_us: int) -> int:
    """Return when a process began, or 0 where its line does not say."""
    words = stat.rpartition(")")[2].split()
    if not boot_us or len(words) <= START_TIME_FIELD or not words[START_TIME_FIELD].isdecimal():
        return 0
    return boot_us + int(words[START_TIME_FIELD]) * 1_000_000 // os.sysconf("SC_CLK_TCK")


def _text(path: Path) -> str:
    """Return a file's text; nothing where the process has ended in between."""
    try:
        with path.open("rb") as file:
            return file.read(READ_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return ""
