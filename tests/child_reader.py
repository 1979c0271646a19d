"""A child process whose reader does what the files of a folder say.

Run as the command of `ChildBoards`, with the folder as its argument. Files, by name:

- `boards`: names of the boards, one a line; `version`: of the driver
- `hang-N`: process ids, or `all`, whose reading of board N does not return while the file is there
- `hang-open`: the same for opening
- `frozen`: path of a file that is written and synced with each call to the driver
- `mismatch`, `absent`: the driver was replaced, is not there
- `crash`: the next reading ends the process by a signal, once
- `event`: the number of an Xid that is told once
"""

import os
import signal
import sys
import time
from pathlib import Path
from uuid import UUID, uuid5

from agent.accelerators import AcceleratorReading, Inspection
from agent.child.serve import serve
from telemetry.clock import SystemClock
from telemetry.errors import PermanentError, RetryableError
from telemetry.metrics import Group
from telemetry.records import Accelerator, Event, EventKind, ReaderStatus


class FileReader:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._uuids: list[bytes] = []

    def open(self) -> Inspection:
        self._touch_disk()
        self._hang("hang-open")
        if self._has("absent"):
            raise RetryableError("there is no driver")
        if self._has("mismatch"):
            raise PermanentError("library and kernel module differ")
        names = (self._folder / "boards").read_text().split()
        self._uuids = [uuid5(UUID(int=0), name).bytes for name in names]
        found = tuple(Accelerator(uuid=uuid, index=at) for at, uuid in enumerate(self._uuids))
        return Inspection((self._folder / "version").read_text().strip(), "13", found)

    def read(self, position: int, group: Group) -> AcceleratorReading:
        self._touch_disk()
        self._hang(f"hang-{position}")
        if self._has("crash"):
            (self._folder / "crash").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if self._has("mismatch"):
            return AcceleratorReading(self._uuids[position], ReaderStatus.DRIVER_MISMATCH)
        values = {"utilization_gpu_percent": position} if group is Group.FAST else {}
        return AcceleratorReading(self._uuids[position], ReaderStatus.WHOLE, values)

    def wait_events(self, timeout_s: float) -> list[Event]:
        time.sleep(0.02)
        try:
            code = int((self._folder / "event").read_text())
            (self._folder / "event").unlink()
        except (FileNotFoundError, ValueError):
            return []
        return [Event(time_us=1, kind=EventKind.XID, code=code)]

    def close(self) -> None:
        pass

    def _has(self, name: str) -> bool:
        return (self._folder / name).exists()

    def _hang(self, name: str) -> None:
        """Not return, in a way that a signal ends."""
        while self._has(name):
            whom = (self._folder / name).read_text().split()
            if "all" not in whom and str(os.getpid()) not in whom:
                return
            time.sleep(0.02)

    def _touch_disk(self) -> None:
        """Not return while the file system is frozen, in a way that no signal ends."""
        if not self._has("frozen"):
            return
        path = (self._folder / "frozen").read_text()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, b"x")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def main() -> None:
    folder, _reader, _level, ask, tell = sys.argv[1:]
    serve(FileReader(Path(folder)), int(ask), int(tell), SystemClock())
