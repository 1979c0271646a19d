"""PostgreSQL 17 with TimescaleDB compiled to WebAssembly: the Timescale-licensed SQL, in Node.

NOTE: it takes one connection at a time and no COPY, and nothing outlives the process. It is there
to check migrations and queries of the timescale tier, not to store a fleet.
"""

import shutil
import tempfile
from pathlib import Path

from simulator.services.installed import installed
from simulator.services.place import ServiceError, free_port
from simulator.services.process import Command, ServiceProcess

_SERVER = Path(__file__).with_name("pglite_server.cjs")
_START_TIMEOUT_S = 60.0


class Pglite(ServiceProcess):
    """An in-memory database of one connection, with TimescaleDB's own-licence features."""

    def __init__(self) -> None:
        super().__init__("pglite")
        self._folder: Path | None = None
        self._port = free_port()

    @property
    def address(self) -> str:
        """A libpq URL; its password is fixed, and it knows no TLS."""
        return f"postgresql://postgres:postgres@127.0.0.1:{self._port}/postgres?sslmode=disable"

    def start(self) -> None:
        """Start an empty database and wait until it listens."""
        node = shutil.which("node")
        if node is None:
            raise ServiceError("pglite needs Node.js: .ci/services installs it")
        modules = installed("pglite", "complete")
        self._folder = self._folder or Path(tempfile.mkdtemp(prefix="fleetgauge-pglite-"))
        log = self._folder / "pglite.log"
        log.unlink(missing_ok=True)
        command = Command([node, str(_SERVER), str(modules), str(self._port)], log)
        self._launch(command, lambda _: "listening" in log.read_text(), _START_TIMEOUT_S)

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the database; its content goes with it."""
        super().stop(timeout_s)
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None
