"""The probe agents of the latency bench as a child process: what they print, and how to tell them.

Owns the process; what runs in it is `probe_hosts.py`.
"""

import json
import subprocess
import sys
import threading
from types import TracebackType
from typing import Self

from benchmarks.latency_watch import Seen
from benchmarks.rig import Rig

END_S = 20.0


class Probes:
    """Probe agents for as long as the block lasts."""

    def __init__(self, made: Rig, xid_hosts: int, ticks_per_message: int, seen: Seen) -> None:
        spools = made.folder / "probes"
        spools.mkdir()
        self._command = [
            sys.executable, "-m", "benchmarks.probe_hosts", made.bootstrap, str(spools),
            str(xid_hosts), str(ticks_per_message),
        ]  # fmt: skip
        self._seen = seen

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._listen, name="probes", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def raise_xid(self, number: int) -> None:
        """Let one host have its Xid."""
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        self._process.stdin.write(f"xid {number}\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        for line in self._process.stdout:
            record = json.loads(line)
            if "tick_s" in record:
                self._seen.ticks[f"{record['tick_s']:.1f}"] = record["tick_s"]
            else:
                self._seen.xids[record["facility"]] = record["xid_s"]
