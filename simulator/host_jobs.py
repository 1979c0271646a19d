"""The processes of a real host's jobs: in the simulated driver, and in a /proc of its own.

Owns what the agent reads of the jobs that the facility's scheduler has put on one host: a process
number a board from the driver, and that process's cgroup and start in a folder that stands for
/proc. The agent's own reading of both is what makes workloads of it.
"""

import os
import shutil
from pathlib import Path

from simulator.fleet.facility import SimulatedFacility
from simulator.nvml.device import Process
from simulator.nvml.driver import SimulatedDriver

# Beyond the kernel's largest, so that none of them is a process of this machine.
PIDS_FROM = 1 << 23
CGROUP = "0::/system.slice/slurmstepd.scope/job_{job}/step_0/user/task_0\n"


class HostJobs:
    """The jobs on one host, as its agent sees them."""

    def __init__(
        self, facility: SimulatedFacility, host: int, driver: SimulatedDriver, proc: Path
    ) -> None:
        self._facility, self._host, self._driver, self._proc = facility, host, driver, proc
        self._pids: dict[tuple[int, int], int] = {}
        self._last_pid = PIDS_FROM
        proc.mkdir(parents=True, exist_ok=True)
        # The machine "was booted" in 1970, so that any start can be told in ticks since then.
        (proc / "stat").write_text("btime 1\n", encoding="ascii")

    def renew(self) -> None:
        """Begin the processes of jobs that are new here, and end those of jobs that are over."""
        held = self._facility.scheduler.held(self._host)
        pids = {}
        for board, job in held:
            key = (board, job.number)
            pids[key] = self._pids.get(key) or self._begin(job.number, job.started_s)
        for board, gpu in enumerate(self._driver.gpus):
            gpu.processes = [
                Process(pid, "python3", 1.0) for (at, _), pid in pids.items() if at == board
            ]
        for key in self._pids.keys() - pids.keys():
            shutil.rmtree(self._proc / str(self._pids[key]), ignore_errors=True)
        self._pids = pids

    def _begin(self, job: int, started_s: float) -> int:
        self._last_pid += 1
        folder = self._proc / str(self._last_pid)
        folder.mkdir()
        (folder / "cgroup").write_text(CGROUP.format(job=job), encoding="ascii")
        ticks = round((started_s - 1) * os.sysconf("SC_CLK_TCK"))
        # proc_pid_stat(5): the start is the twentieth word after the name.
        (folder / "stat").write_text(
            f"{self._last_pid} (python3) R {'0 ' * 18}{ticks} 0\n", encoding="ascii"
        )
        return self._last_pid
