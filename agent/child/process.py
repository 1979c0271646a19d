"""One child process as its parent sees it: started, asked, ended, killed, buried.

Owns its process id and its two sockets. Nothing here waits longer than it is told to, whatever the
child does: a process that hangs in the kernel does not even end when it is killed.
"""

import logging
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from agent.accelerators import AcceleratorReading, Inspection
from agent.child.compact import Readings, Unfolder
from agent.child.frames import Answer, Channel, Events, NotOpened, Opened, Read
from telemetry import settings
from telemetry.clock import Clock
from telemetry.errors import DecodeError, PermanentError, RetryableError
from telemetry.metrics import Group

log = logging.getLogger(__name__)

OPEN_DEADLINE_S = 20.0
END_PATIENCE_S = 2.0


class Child:
    """A child that is being opened, serves, or is on its way out. Used by one thread.

    Attributes:
        pid: its process id; nobody else's until it is buried.
        tell: where its events come from; None once somebody listens, who then owns it.
    """

    def __init__(self, command: Sequence[str], clock: Clock) -> None:
        """Start `command` with the numbers of its two sockets added.

        Raises:
            OSError: no process can be started now.
        """
        self._clock = clock
        ours, theirs = zip(socket.socketpair(), socket.socketpair(), strict=True)
        for end in theirs:
            end.set_inheritable(True)
        words = [*command, *(str(end.fileno()) for end in theirs)]
        try:
            self.pid = os.posix_spawn(words[0], words, _environment())
        except OSError:
            for end in ours:
                end.close()
            raise
        finally:
            for end in theirs:
                end.close()
        ask, tell = ours
        self._ask = Channel(ask.detach(), Answer)
        self.tell: Channel | None = Channel(tell.detach(), Events)
        self._started_s = clock.monotonic_s()
        self._answer: Opened | NotOpened | None = None
        self._trouble = ""
        self._number = 0
        self._unfolder = Unfolder()
        self._readings: list[AcceleratorReading | None] = []
        self._owed: int | None = None
        self._leave_by_s: float | None = None
        self._killed = False
        self._exit: int | None = None

    def wait(self, timeout_s: float) -> bool:
        """Wait for the outcome of its opening."""
        if self._answer is None and not self._trouble:
            answer = self._receive(timeout_s)
            if isinstance(answer, Opened | NotOpened):
                self._answer = answer
            elif self._clock.monotonic_s() - self._started_s > OPEN_DEADLINE_S:
                self._trouble = f"the driver hangs while it is opened (process {self.pid})"
        return self._answer is not None or bool(self._trouble)

    def result(self) -> Inspection:
        """Return what opening has found. A child without success is on its way out.

        Raises:
            RetryableError: no driver yet, or it hangs.
            PermanentError: the driver and its library do not fit each other.
        """
        if isinstance(self._answer, Opened):
            return self._answer.inspection
        self.leave()
        if isinstance(self._answer, NotOpened) and self._answer.mismatch:
            raise PermanentError(self._answer.why)
        if isinstance(self._answer, NotOpened):
            raise RetryableError(self._answer.why)
        raise RetryableError(self._trouble or "the driver is still being opened")

    def read(
        self, positions: Sequence[int], group: Group, deadline_s: float
    ) -> list[AcceleratorReading | None]:
        """Return one reading a position; one that owes an answer is not waited for again."""
        nothing: list[AcceleratorReading | None] = [None] * len(positions)
        if not self._free() or not self._send(group, positions, deadline_s):
            return nothing
        until_s = self._clock.monotonic_s() + deadline_s
        while self._owed is not None and not self._trouble:
            left_s = until_s - self._clock.monotonic_s()
            answer = self._receive(max(0.0, left_s))
            if answer is None:
                break
            if isinstance(answer, Readings) and answer.number == self._owed:
                self._owed = None
                if len(self._readings) == len(positions):
                    return self._readings
        return nothing

    def serving(self) -> bool:
        """Whether it can be asked."""
        return isinstance(self._answer, Opened) and not self._trouble

    def leave(self) -> None:
        """Tell it to end; it may finish what is under way."""
        if self._leave_by_s is None:
            self._ask.close()
            self._leave_by_s = self._clock.monotonic_s() + END_PATIENCE_S
            self._trouble = self._trouble or "it was told to end"

    @property
    def leaving(self) -> bool:
        """Whether it was told to end."""
        return self._leave_by_s is not None

    def buried(self) -> bool:
        """Whether it has ended; one that should have is killed, once."""
        if self._exit is not None:
            return True
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self._exit = os.waitstatus_to_exitcode(status)
            if self.tell is not None:
                self.tell.close()
            self._trouble = self._trouble or "it ended"
            return True
        overdue = self._leave_by_s is not None and self._clock.monotonic_s() >= self._leave_by_s
        if overdue and not self._killed:
            self.kill()
        return False

    def kill(self) -> None:
        """Kill it; in the kernel's hands it ends when the kernel lets go of it."""
        if self._exit is None:
            log.info("killing process %d, which does not end: %s", self.pid, self.note())
            os.kill(self.pid, signal.SIGKILL)
            self._killed = True

    def note(self) -> str:
        """Return how it is, for a person."""
        if self._exit is not None:
            return f"the process that reads the driver ended ({_exit_words(self._exit)})"
        state = _state(self.pid)
        note = f"process {self.pid} is in state {state}" if state else f"process {self.pid}"
        return f"{note}, killed in vain" if self._killed else note

    def _free(self) -> bool:
        """Whether it has answered what it was asked before."""
        while self._owed is not None and not self._trouble:
            answer = self._receive(0.0)
            if answer is None:
                return False
            if isinstance(answer, Readings) and answer.number == self._owed:
                self._owed = None
        return not self._trouble

    def _send(self, group: Group, positions: Sequence[int], deadline_s: float) -> bool:
        self._number += 1
        try:
            self._ask.send(Read(self._number, group, tuple(positions), deadline_s))
        except OSError:
            self._trouble = "it ended"
            return False
        self._owed = self._number
        return True

    def _receive(self, timeout_s: float) -> Answer | None:
        try:
            answer: Answer | None = self._ask.receive(timeout_s)
            if isinstance(answer, Readings):
                self._readings = self._unfolder.unfold(answer)
        except EOFError:
            self._trouble = "the process that reads the driver ended"
            self.leave()
        except DecodeError as error:
            self._trouble = f"the process that reads the driver talks nonsense: {error}"
            self.leave()
        else:
            return answer
        return None


def _environment() -> dict[str, str]:
    """Return this process's environment without settings, among which there may be secrets."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(settings.ENVIRONMENT_PREFIX)
    }


def _exit_words(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _state(pid: int) -> str:
    """Return the kernel's letter for what a process does: D is a wait that no signal ends."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[0]
