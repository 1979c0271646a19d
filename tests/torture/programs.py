"""The product's own processes under torture: started, killed, frozen, watched.

Owns their command lines, environment and logs. A program that ends by itself is a failure.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from simulator.services import launch

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FLEETGAUGE = str(Path(sys.executable).with_name("fleetgauge"))
STOP_S = 40.0
# They die with the thread that forked them, so one does that for all and lives as long as the run.
_SPAWNER = ThreadPoolExecutor(max_workers=1)


@dataclass
class Program:
    """A process that is killed and started again.

    Attributes:
        peak_kibibytes: the largest resident set that any process of this program had when looked
            at.
    """

    name: str
    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    peak_kibibytes: int = 0
    _process: "subprocess.Popen[bytes] | None" = None
    # A proxy's thread kills at a commit, the run's own thread does the rest.
    _guard: threading.RLock = field(default_factory=threading.RLock)

    def start(self) -> None:
        """Start it; nothing where it runs already."""
        with self._guard, self.log.open("ab") as log:
            if self._process is not None:
                return
            self._process = _SPAWNER.submit(self._spawn, log).result()

    def _spawn(self, log: IO[bytes]) -> "subprocess.Popen[bytes]":
        launcher = [sys.executable, "-I", "-S", launch.__file__, f"--parent={os.getpid()}"]
        return subprocess.Popen(
            [*launcher, f"--death-signal={int(signal.SIGKILL)}", "--", *self.argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=REPOSITORY,
            env=os.environ | self.environment,
        )

    def run(self) -> int:
        """Run it to its end and return its exit code."""
        self.start()
        assert self._process is not None
        code = self._process.wait(STOP_S)
        self._process = None
        return code

    @property
    def is_started(self) -> bool:
        """Whether it was started and not ended on purpose since."""
        return self._process is not None

    @property
    def exit_code(self) -> int | None:
        """How it ended by itself; None while it runs or was ended on purpose."""
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """Kill -9; nothing where it does not run."""
        with self._guard:
            if self._process is not None:
                self._look()
                self._process.kill()
                self._process.wait()
                self._process = None

    def terminate(self) -> int:
        """Ask it to end, and return its exit code; one that does not listen is killed (-9)."""
        with self._guard:
            assert self._process is not None
            self._look()
            self._process.terminate()
            try:
                code = self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                code = self._process.wait()
            self._process = None
            return code

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    @property
    def stands_still(self) -> bool:
        """Whether it was stopped by a signal and not continued."""
        if self._process is None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED
        return False

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def errors(self) -> list[str]:
        """Return the lines of its log that no fault should cause."""
        if not self.log.exists():
            return []
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if line.startswith("Traceback") or '"error"' in line[:80]]

    def count_said(self, words: str) -> int:
        """Return how many lines of its log hold these words."""
        return self.log.read_text(errors="replace").count(words) if self.log.exists() else 0

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _look(self) -> None:
        assert self._process is not None
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM"):  # one that has ended has no such line
                    self.peak_kibibytes = max(self.peak_kibibytes, int(line.split()[1]))


def agents(count: int, folder: Path, bootstrap: str, prefix: str, mutant: str) -> list[Program]:
    """Return tallying agents; their spools and tallies are in the folder."""
    script = ["-m", "tests.torture.tallying_agent"]
    more = [f"--mutant={mutant}"] if mutant else []
    return [
        Program(
            host,
            [sys.executable, *script, host, bootstrap, prefix, str(folder), *more],
            folder / f"{host}.log",
        )
        for host in (f"host-{number}" for number in range(count))
    ]


def collectors(
    routes: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    mutant: str = "",
    hold: Path | None = None,
) -> list[Program]:
    """Return collectors, one a way to the database; as installed, if nothing is wanted of them."""
    argv = [FLEETGAUGE, "collector"]
    wanted = [f"--mutant={mutant}"] if mutant else []
    wanted += [f"--hold={hold}"] if hold is not None else []
    if wanted:
        argv = [sys.executable, "-m", "tests.torture.holding_collector", *wanted]
    return [
        Program(
            f"collector-{number}",
            argv,
            folder / f"collector-{number}.log",
            {**environment, "FLEETGAUGE_DATABASE_URL": url},
        )
        for number, url in enumerate(routes)
    ]


def signal_family(pid: int | None, number: signal.Signals) -> None:
    """Signal a service and all its children, the parent first; nothing where it does not run."""
    if pid is None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def failures(programs: Sequence[Program]) -> Iterator[str]:
    """Yield one sentence a program that ended by itself."""
    for program in programs:
        code = program.exit_code
        if code is not None:
            yield f"{program.name} ended by itself with {code}:\n{program.last_words()}"
