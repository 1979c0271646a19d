"""The sender of noisy hosts as a child process: its load, what it says, and its end.

Owns the process; what runs in it is `ingest_load.py`.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.progress import Progress
from benchmarks.rig import Rig
from telemetry.errors import PermanentError

LOOK_EVERY_S = 1.0
END_S_MAX = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: each field is a flag of the sender.

    Attributes:
        ticks: ticks in a message.
        messages_per_second: of all hosts together.
        seconds: for how long, once every host has sent its first message.
        backlog_max: messages that may be unstored before the sender waits.
        backlog_messages: sent at once before the rest, when `go` is called.
        compression: of the messages' batches, as Kafka calls it; none when empty.
    """

    hosts: int
    accelerators: int
    ticks: int
    messages_per_second: float
    seconds: float
    backlog_max: int
    backlog_messages: int = 0
    compression: str = ""


class Sender:
    """The process, from its start, and what it has said."""

    def __init__(self, made: Rig, load: Load) -> None:
        command = [sys.executable, "-m", "benchmarks.ingest_load"]
        command += ["--bootstrap", made.bootstrap, "--database", made.database_url]
        for name, value in asdict(load).items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self._said: list[dict[str, Any]] = []
        self._listener = threading.Thread(target=self._listen, name="sender", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def last(self) -> dict[str, Any]:
        """What it said last."""
        return self._said[-1] if self._said else {"phase": "starting", "messages": 0, "rows": 0}

    def go(self) -> None:
        """Let it send the backlog."""
        assert self._process.stdin is not None  # noqa: S101 - made with a pipe
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def wait_for(self, made: Rig, phase: str, progress: Progress, seconds: float) -> None:
        """Wait until it says that it is in a phase.

        Raises:
            PermanentError: it is not after so long, or it or a program has ended.
        """
        deadline_s = time.monotonic() + seconds
        while self.last["phase"] != phase:
            progress.say(f"{self.last['phase']}: {self.last['rows']:,} rows sent")
            made.wait(lambda: True, "the programs")  # says so if one has ended
            if not self.runs or time.monotonic() > deadline_s:
                raise PermanentError(f"the sender did not come to {phase}: {self.last}; see above")
            time.sleep(LOOK_EVERY_S)

    def join(self, seconds: float) -> None:
        """Wait for its end.

        Raises:
            PermanentError: it has failed.
        """
        self._listener.join(seconds)
        if self._process.wait(seconds) != 0:
            raise PermanentError("the sender has failed; see above")

    def end(self) -> None:
        """Let it end, before its time where it has not."""
        self._process.terminate()
        self._process.wait(END_S_MAX)

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - made with a pipe
        for line in self._process.stdout:
            self._said.append(json.loads(line))


@contextmanager
def sending(made: Rig, load: Load) -> Iterator[Sender]:
    """Give a sender that has ended afterwards, whatever happens."""
    sender = Sender(made, load)
    try:
        yield sender
    finally:
        sender.end()
