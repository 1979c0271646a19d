"""The peers as servers that take a stream of values and answer questions about it.

Owns how each is started, fed and asked; both speak remote write and PromQL, so they differ in flags
and in how what is on disk is brought to rest. A server lives in a folder and ends with its block.
"""

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks.peers import folder_bytes
from benchmarks.peers.programs import PROMETHEUS, VICTORIA_METRICS, PeerProgram
from simulator.services.place import free_port
from telemetry.errors import PermanentError

START_S_MAX = 60.0
SETTLE_S_MAX = 120.0
ASK_S_MAX = 600.0
STOP_S_MAX = 120.0
WRITE_HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between peers.

    Attributes:
        flags: with {folder} and {address} to be filled in.
        version: the flag that tells it.
        ready: where it answers once it can be used.
        rests_in: the part of its folder that then holds all.
        flush: where it is asked to write what waits in memory.
    """

    program: PeerProgram
    flags: tuple[str, ...]
    version: str
    ready: str
    rests_in: str
    flush: tuple[str, ...]


KINDS = {
    "victoria_metrics": Kind(
        VICTORIA_METRICS,
        (
            "-storageDataPath={folder}", "-httpListenAddr={address}", "-retentionPeriod=12",
            "-loggerLevel=ERROR", "-search.maxUniqueTimeseries=100000000",
            "-search.maxSamplesPerQuery=100000000000", "-search.maxQueryDuration=10m",
            "-search.maxSeries=100000000", "-search.disableCache",
            "-search.latencyOffset=0s",
        ),
        "-version",
        "/health",
        "data",
        ("/internal/force_flush", "/internal/force_merge"),
    ),
    "prometheus": Kind(
        PROMETHEUS,
        (
            "--config.file={folder}.yml", "--storage.tsdb.path={folder}",
            "--web.listen-address={address}", "--web.enable-remote-write-receiver",
            "--web.enable-admin-api", "--log.level=error", "--query.timeout=10m",
            "--query.max-samples=5000000000",
        ),
        "--version",
        "/-/ready",
        "snapshots",
        # A block of all that is in the head: what it would hold on disk two hours later.
        ("/api/v1/admin/tsdb/snapshot",),
    ),
}  # fmt: skip


class PeerServer:
    """One running peer."""

    def __init__(self, kind: Kind, pid: int, address: str, data: Path) -> None:
        self.pid = pid
        self._kind = kind
        self._address = address
        self._data = data

    def connect(self) -> HTTPConnection:
        """Return a connection to write over; it belongs to one thread."""
        return HTTPConnection(self._address, timeout=ASK_S_MAX)

    def write(self, connection: HTTPConnection, body: bytes) -> None:
        """Send a request and wait until it is taken.

        Raises:
            PermanentError: it was refused.
        """
        connection.request("POST", "/api/v1/write", body, WRITE_HEADERS)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 204):
            raise PermanentError(f"a write was refused: {answer.status} {text[:300]!r}")

    def ask(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        """Return the result of a query."""
        words = urllib.parse.urlencode(parameters).encode()
        url = f"http://{self._address}/api/v1/{path}"
        with urllib.request.urlopen(url, data=words, timeout=ASK_S_MAX) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def rest(self) -> int:
        """Bring what is stored to rest; return the bytes that it takes then."""
        for path in self._kind.flush:
            self.post(path, b"")
        return settled_bytes(self._data / self._kind.rests_in)

    def post(self, path: str, body: bytes) -> None:
        """Send something and wait until it is done."""
        url = f"http://{self._address}{path}"
        with urllib.request.urlopen(url, data=body, timeout=ASK_S_MAX) as answer:
            answer.read()

    def folder_bytes(self) -> int:
        """Return what its folder takes now, logs of what is not at rest included."""
        return folder_bytes(self._data)


@contextmanager
def serving(name: str, folder: Path) -> Iterator[PeerServer]:
    """Run a peer inside the block.

    Raises:
        Absent: its program is not on this machine.
        PermanentError: it does not start.
    """
    kind = KINDS[name]
    program = kind.program.find()
    data, address = folder / name, f"127.0.0.1:{free_port()}"
    data.with_suffix(".yml").write_text("global: {}\n", encoding="utf-8")
    flags = [flag.format(folder=data, address=address) for flag in kind.flags]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([program, *flags], stdout=log, stderr=log)
    try:
        _wait(f"http://{address}{kind.ready}")
        yield PeerServer(kind, process.pid, address, data)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def version(name: str) -> str:
    """Return what a peer's program says of itself, and its package where it says nothing."""
    kind = KINDS[name]
    done = subprocess.run(
        [kind.program.find(), kind.version], capture_output=True, check=False, text=True
    )
    told = (done.stdout + done.stderr).strip().splitlines()
    return told[0] if told else f"{name} of a build that tells no version"


def settled_bytes(folder: Path) -> int:
    """Return the size of a folder once merging has ended: it no longer changes."""
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
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline_s:
                raise PermanentError(f"nothing answers at {url}") from None
        time.sleep(0.1)
