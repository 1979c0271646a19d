"""Service processes: started with bounded patience, stopped or killed with all their children.

All process handling of the services is here and in `launch.py`. A service says what to run, how to
tell that it is ready and which signal it takes as a request to stop; this module keeps the promise
that nothing survives: not a stop, not a kill, not the sudden death of the program that started it.
"""

import abc
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from simulator.services.place import ServiceError, User

log = logging.getLogger(__name__)

_LAUNCHER = Path(__file__).with_name("launch.py")
_POLL_S = 0.02
_LOG_TAIL_LINES = 25

# Linux sends the parent-death signal when the *thread* that forked ends, so one thread that lives
# as long as the program forks them all: a caller may start services from a short-lived thread.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="services")


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: absolute program path and arguments, and the surroundings it gets."""

    argv: Sequence[str]
    log_path: Path
    user: User | None = None
    chroot: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM


class ServiceProcess(abc.ABC):
    """The part all services share: at most one running process, and its children."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: subprocess.Popen[bytes] | None = None
        self._stop_signal = signal.SIGTERM

    @abc.abstractmethod
    def start(self) -> None:
        """Build the command and `_launch` it."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process id of the running service; None when it is not running."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def _launch(self, command: Command, ready: Callable[[int], bool], timeout_s: float) -> None:
        """Start the command and return once `ready(pid)` says so.

        Raises ServiceError, with the end of the log, when the service exits or takes too long.
        """
        if self.pid is not None:
            raise ServiceError(f"{self.name} is already running as process {self.pid}")
        self._stop_signal = command.stop_signal
        self._process = _SPAWNER.submit(_spawn, command).result()
        try:
            self._wait_until_ready(self._process, command.log_path, ready, timeout_s)
        except BaseException:  # also Ctrl-C: the caller has nothing to stop yet
            self.kill()
            raise

    def _wait_until_ready(
        self,
        process: subprocess.Popen[bytes],
        log_path: Path,
        ready: Callable[[int], bool],
        timeout_s: float,
    ) -> None:
        """Poll until the service is ready; ServiceError when it ends or time runs out."""
        started = time.monotonic()
        while not ready(process.pid):
            code = process.poll()
            if code is not None:
                tail = _log_tail(log_path)
                raise ServiceError(f"{self.name} exited with {code} while starting:\n{tail}")
            if time.monotonic() - started > timeout_s:
                tail = _log_tail(log_path)
                raise ServiceError(f"{self.name} was not ready after {timeout_s:.0f} s:\n{tail}")
            time.sleep(_POLL_S)
        log.debug("%s ready after %.2f s", self.name, time.monotonic() - started)

    def stop(self, timeout_s: float = 20.0) -> None:
        """Ask the service to stop; kill it and every child that is still there afterwards."""
        if self._process is None:
            return
        family = self._family()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("%s ignored the request to stop for %.0f s: killed", self.name, timeout_s)
        self._kill_family(family)

    def kill(self) -> None:
        """Kill -9 the service and its children, as a power cut would."""
        if self._process is not None:
            self._kill_family(self._family())

    def _family(self) -> list[psutil.Process]:
        """The process and its descendants, parents first; empty once it has ended."""
        if self.pid is None:  # its id may be somebody else's by now
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    def _kill_family(self, family: list[psutil.Process]) -> None:
        """Kill what is left of the family, the parent first so that it cannot replace children."""
        assert self._process is not None  # noqa: S101 - both callers checked
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self._process.wait()
        self._process = None
        deadline = time.monotonic() + 10
        while any(_alive(member) for member in family):
            if time.monotonic() > deadline:
                raise ServiceError(f"{self.name}: processes survived a kill: {family}")
            time.sleep(_POLL_S)


def run(command: Command, timeout_s: float) -> None:
    """Run a short command of a service (such as initdb) to its end; ServiceError if it fails."""
    process = _SPAWNER.submit(_spawn, command).result()
    try:
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"{command.argv[0]} took more than {timeout_s:.0f} s") from error
    finally:
        process.kill()
        process.wait()
    if code != 0:
        tail = _log_tail(command.log_path)
        raise ServiceError(f"{command.argv[0]} exited with {code}:\n{tail}")


def is_running(pid: int, name: str) -> bool:
    """Whether a process of that id and program name is there; for services others started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return process.name() == name and _alive(process)
    return False


def _spawn(command: Command) -> subprocess.Popen[bytes]:
    """Start the launcher that becomes the command; its output is appended to the log file."""
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), f"--parent={os.getpid()}"]
    launcher.append(f"--death-signal={int(command.stop_signal)}")
    if command.chroot is not None:
        launcher.append(f"--chroot={command.chroot}")
    if command.user is not None:
        launcher += [f"--uid={command.user.uid}", f"--gid={command.user.gid}"]
    with command.log_path.open("ab") as output:
        return subprocess.Popen(
            [*launcher, "--", *command.argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **command.environment},
        )


def _alive(process: psutil.Process) -> bool:
    """Whether the process still runs; one that waits to be reaped by its parent does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _log_tail(path: Path) -> str:
    """The last lines of a service's log, for an error text; the log may hold odd bytes."""
    lines = path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return "\n".join(lines) or "(its log is empty)"
