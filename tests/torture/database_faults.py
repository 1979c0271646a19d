"""Faults of the database: killed, frozen, locked, read-only, set back to an older copy."""

import contextlib
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from simulator.services.postgres import Cluster
from tests.torture.programs import signal_family
from tests.torture.schedule import LOCKED_TABLES, Fault


class DatabaseFaults:
    """What happens to the database."""

    def __init__(self, database: Cluster) -> None:
        self._database = database
        self._lock: psycopg.Connection[tuple[object, ...]] | None = None

    def arguments(self, fault: Fault) -> tuple[int]:
        return (fault.draw,)

    def begin_kill(self, _: int) -> None:
        self._database.kill()

    def end_kill(self, _: int) -> None:
        self._database.start()

    def begin_restart(self, _: int) -> None:
        self._database.pause()

    end_restart = end_kill

    def begin_freeze(self, _: int) -> None:
        signal_family(self._database.pid, signal.SIGSTOP)

    def end_freeze(self, _: int) -> None:
        signal_family(self._database.pid, signal.SIGCONT)

    def begin_lock(self, draw: int) -> None:
        table = LOCKED_TABLES[draw % len(LOCKED_TABLES)]
        statement = sql.SQL("lock table {} in access exclusive mode")
        self._lock = psycopg.connect(self._database.address, options="-c lock_timeout=3s")
        with contextlib.suppress(psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            self._lock.execute(statement.format(sql.Identifier(table)))

    def end_lock(self, _: int) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def begin_read_only(self, _: int) -> None:
        self._set_read_only("on")

    def end_read_only(self, _: int) -> None:
        self._set_read_only("off")

    def begin_backup(self, _: int) -> None:
        """Copy the folder of the stopped cluster."""
        self._database.pause()
        _copy(self._data, self._backup)
        self._database.start()

    def begin_older(self, _: int) -> None:
        """Go back to the last backup, as a failover to a copy that lags does."""
        self._database.kill()
        _copy(self._backup, self._data)
        self._database.start()

    @property
    def _data(self) -> Path:
        folder = self._database.folder
        assert folder is not None
        return folder / "data"

    @property
    def _backup(self) -> Path:
        return self._data.with_name("backup")

    def _set_read_only(self, value: str) -> None:
        statement = sql.SQL("alter system set default_transaction_read_only = {}")
        with (
            contextlib.suppress(psycopg.OperationalError),
            psycopg.connect(self._database.address, autocommit=True) as connection,
        ):
            connection.execute("set default_transaction_read_only = off")
            connection.execute(statement.format(sql.Literal(value)))
            connection.execute("select pg_reload_conf()")


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
