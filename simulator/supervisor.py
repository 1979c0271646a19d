"""Keeping several programs running: started, watched, started again with patience, ended together.

Owns the demo's child programs. That none outlives the demo is `services.process`'s promise: each
child has a session of its own and dies with its parent, however that ends.
"""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from simulator.services.process import Command, ServiceProcess
from telemetry.errors import FleetgaugeError

BACK_OFF_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
STEADY_S = 60.0
STOP_TIMEOUT_S = 12.0
START_TIMEOUT_S = 5.0
LOG_BYTES_MAX = 8 << 20


class Startable(Protocol):
    """A process that can be asked for, and started again once it has ended."""

    name: str

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""

    def start(self) -> None:
        """Start it."""

    def stop(self, timeout_s: float = ..., /) -> None:
        """End it."""


class Program(ServiceProcess):
    """A `fleetgauge` subcommand as a child process, its output appended to a log file."""

    def __init__(
        self, name: str, words: Sequence[str], environment: dict[str, str], logs: Path
    ) -> None:
        super().__init__(name)
        self._words, self._environment = words, environment
        self.log_path = logs / f"{name}.log"

    def start(self) -> None:
        """Start it and return at once; a log that has grown large is set aside."""
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES_MAX:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        command = Command(
            argv=[sys.executable, "-m", "fleetgauge", *self._words],
            log_path=self.log_path,
            environment=self._environment,
        )
        self._launch(command, lambda _pid: True, START_TIMEOUT_S)


@dataclass(slots=True)
class _Watched:
    """One process under supervision."""

    process: Startable
    started_s: float
    ours: bool
    failures: int = 0
    again_s: float | None = None


@dataclass(slots=True)
class Supervisor:
    """Watches processes and starts those again that ended.

    Attributes:
        say: told of each end and each new start, one line each.
    """

    say: Callable[[str], None]
    _watched: list[_Watched] = field(default_factory=list)

    def start(self, process: Startable, now_s: float) -> None:
        """Start a process, watch it from now on, and end it in `stop`."""
        process.start()
        self._watched.append(_Watched(process, now_s, ours=True))

    def watch(self, process: Startable, now_s: float) -> None:
        """Watch a process that somebody else has started and will end."""
        self._watched.append(_Watched(process, now_s, ours=False))

    def step(self, now_s: float) -> None:
        """Look at all of them: note ends, and start again what is due."""
        for watched in self._watched:
            if watched.again_s is None:
                self._notice(watched, now_s)
            elif now_s >= watched.again_s:
                self._restart(watched, now_s)

    def _notice(self, watched: _Watched, now_s: float) -> None:
        if watched.process.pid is not None:
            return
        if now_s - watched.started_s > STEADY_S:
            watched.failures = 0
        pause_s = BACK_OFF_S[min(watched.failures, len(BACK_OFF_S) - 1)]
        watched.failures += 1
        watched.again_s = now_s + pause_s
        self.say(f"{watched.process.name} has ended; it is started again in {pause_s:.0f} s")

    def _restart(self, watched: _Watched, now_s: float) -> None:
        watched.again_s, watched.started_s = None, now_s
        try:
            watched.process.start()
        except (FleetgaugeError, OSError) as error:
            self.say(f"{watched.process.name} did not start: {error}")
        else:
            self.say(f"{watched.process.name} is running again")

    def stop(self, last: str) -> None:
        """End all that were started here: all but one at the same time, then that one."""
        ours = [watched.process for watched in self._watched if watched.ours]
        self._watched.clear()
        first = [process for process in ours if process.name != last]
        if first:
            with ThreadPoolExecutor(max_workers=len(first)) as pool:
                list(pool.map(lambda process: process.stop(STOP_TIMEOUT_S), first))
        for process in ours:
            if process.name == last:
                process.stop(STOP_TIMEOUT_S)
