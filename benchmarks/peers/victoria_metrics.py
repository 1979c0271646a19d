"""VictoriaMetrics, single node, as Debian packages it.

Takes whole series as JSON lines over HTTP, its cheapest text import; then everything is flushed and
merged, as it would be by itself in time, before the folder is measured.
"""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.peers import Absent, PeerResult, folder_bytes
from benchmarks.processes import cpu_seconds
from benchmarks.recorded import Column, Recording
from simulator.services.place import free_port
from telemetry.errors import PermanentError

NAMES = ("victoria-metrics", "victoria-metrics-prod")
START_S_MAX = 30.0
SETTLE_S_MAX = 60.0
SERIES_PER_REQUEST = 200


def store(recording: Recording, folder: Path) -> PeerResult:
    """Store a recording in a new instance.

    Raises:
        Absent: it is not installed.
    """
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        raise Absent(
            "no VictoriaMetrics on this machine (Debian: apt-get install victoria-metrics)"
        )
    address = f"127.0.0.1:{free_port()}"
    command = [
        program, f"-storageDataPath={folder / 'data'}", f"-httpListenAddr={address}",
        "-retentionPeriod=12", "-loggerLevel=ERROR",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        base = f"http://{address}"
        _wait(f"{base}/health")
        used_s = cpu_seconds(process.pid)
        columns = recording.columns()
        while batch := list(islice(columns, SERIES_PER_REQUEST)):
            _ask(f"{base}/api/v1/import", b"\n".join(_lines(batch)))
        _ask(f"{base}/internal/force_flush")
        _ask(f"{base}/internal/force_merge")
        size = _settled(folder / "data")
        used_s = cpu_seconds(process.pid) - used_s
    finally:
        process.terminate()
        process.wait(30)
    return PeerResult(_version(program), size, used_s)


def _lines(columns: list[Column]) -> Iterator[bytes]:
    for column in columns:
        labels = {"__name__": column.metric, "host": column.host, "gpu": str(column.gpu)}
        values, times = column.values.tolist(), column.times_ms.tolist()
        yield json.dumps({"metric": labels, "values": values, "timestamps": times}).encode()


def _settled(folder: Path) -> int:
    """Return the size of the folder once merging has ended: it no longer changes."""
    deadline_s = time.monotonic() + SETTLE_S_MAX
    before, same = -1, 0
    while same < 4 and time.monotonic() < deadline_s:
        now = folder_bytes(folder)
        same, before = (same + 1 if now == before else 0), now
        time.sleep(0.5)
    return before


def _wait(url: str) -> None:
    deadline_s = time.monotonic() + START_S_MAX
    while True:
        try:
            return _ask(url)
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline_s:
                raise PermanentError("VictoriaMetrics does not start") from None
        time.sleep(0.1)


def _ask(url: str, body: bytes | None = None) -> None:
    with urllib.request.urlopen(url, data=body, timeout=120) as answer:  # noqa: S310 - our own
        answer.read()


def _version(program: str) -> str:
    done = subprocess.run([program, "-version"], capture_output=True, check=False, text=True)
    told = (done.stdout + done.stderr).strip().splitlines()
    return told[0] if told else "VictoriaMetrics of a build that tells no version"
