"""The file under the spool: locked, opened, and set aside when it is not sound.

Owns the paths and SQLite's settings. One agent holds the lock for its whole life, so two agents
never share a spool. A damaged file is kept beside the new one under a name that says so, and what
can still be read of it is taken over: nobody has to come and delete a file before the agent runs.
"""

import errno
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from agent.spool import Spool
from agent.spool_rows import (
    Slot,
    SpoolDamagedError,
    expected_schema,
    schema_of,
    sound_messages,
    translated,
)
from telemetry.errors import ConfigError, RetryableError

log = logging.getLogger(__name__)

VERSION = 1
WAL_PAGES_MAX = 256
# SQLite's file header: the format in which it may be written, rollback journal or WAL.
FORMAT_AT, FORMATS = 18, (1, 2)
CACHE_KIBIBYTES = 256
# The disk may recover from these; anything else about the path is for a person to mend.
_DISK_TROUBLE = {errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO}


class SpoolFile:
    """Where a spool is kept.

    Attributes:
        note: what was wrong with the file that was set aside last, or empty.
    """

    def __init__(self, path: Path, bytes_max: int, *, sync: str = "full") -> None:
        self.path = path
        self.note = ""
        self._bytes_max = bytes_max
        self._sync = sync
        self._lock: int | None = None

    def lock(self) -> None:
        """Make sure that no other agent uses this file, until `unlock`.

        Raises:
            ConfigError: another agent does, or the path cannot be used at all.
            RetryableError: the disk is full, read-only or broken.
        """
        name = f"{self.path}.lock"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in _DISK_TROUBLE:
                raise RetryableError(f"spool: {name}: {error.strerror}") from error
            raise ConfigError([f"settings:spool_path: {name}: {error.strerror}"]) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise ConfigError(
                [f"settings:spool_path: {self.path} is in use by another agent (process {holder})"]
            ) from error
        self._lock = lock
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            log.debug("the lock holds, but its file could not be written: %s", error)

    def unlock(self) -> None:
        """Let another agent use the file."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def open(self, stamp: int, damaged: str = "") -> Spool:
        """Open the spool, or a new one if the file is not sound.

        Args:
            stamp: a number for the name of the file that is set aside, such as the time.
            damaged: how the file has shown that it is not sound, though it may look so.

        Raises:
            RetryableError: the disk is full, read-only or broken.
        """
        try:
            if self._lock is None:
                self.lock()
            return self._replace(damaged, stamp) if damaged else self._open()
        except SpoolDamagedError as error:
            return self._replace(str(error), stamp)

    def _open(self) -> Spool:
        self._check_format()
        with translated():
            # In exclusive mode SQLite needs no shared memory file; a thread may use what another
            # has opened, because the owner holds a lock.
            connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, timeout=1.0
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
        try:
            return Spool(connection, self._bytes_max)
        except BaseException:
            connection.close()
            raise

    def _check_format(self) -> None:
        """Tell a damaged header from a read-only disk: SQLite has the same words for both."""
        try:
            with self.path.open("rb") as file:
                head = file.read(FORMAT_AT + 1)
        except FileNotFoundError:
            return
        except OSError as error:
            raise RetryableError(f"spool: {error}") from error
        if len(head) > FORMAT_AT and head[FORMAT_AT] not in FORMATS:
            raise SpoolDamagedError("the file is of no format that SQLite writes")

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.text_factory = _lenient
        connection.execute("pragma locking_mode = exclusive")
        connection.execute("pragma journal_mode = wal")
        connection.execute(f"pragma synchronous = {'full' if self._sync == 'full' else 'normal'}")
        connection.execute(f"pragma wal_autocheckpoint = {WAL_PAGES_MAX}")
        connection.execute(f"pragma cache_size = -{CACHE_KIBIBYTES}")
        (version,) = connection.execute("pragma user_version").fetchone()
        if version not in (0, VERSION):
            raise SpoolDamagedError(f"the file is of version {version}, this agent's is {VERSION}")
        if version == VERSION and schema_of(connection) != expected_schema():
            raise SpoolDamagedError("the tables are not those of a spool")
        (verdict,) = connection.execute("pragma integrity_check(1)").fetchone()
        if verdict != "ok":
            raise SpoolDamagedError(str(verdict))
        connection.execute(f"pragma user_version = {VERSION}")

    def _replace(self, why: str, stamp: int) -> Spool:
        aside = self._set_aside(stamp)
        spool = self._open()
        try:
            saved = _salvage(aside, spool)
        except BaseException:
            spool.close()
            raise
        self.note = f"{why}; set aside as {aside.name}, {saved} messages saved"[:1000]
        log.warning("the spool was damaged: %s", self.note)
        return spool

    def _set_aside(self, stamp: int) -> Path:
        """Give the file another name; only the newest damaged file is kept."""
        aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        try:
            for old in self.path.parent.glob(f"{self.path.name}.damaged-*"):
                old.unlink()
            for ending in ("", "-wal", "-journal", "-shm"):
                part = Path(f"{self.path}{ending}")
                if part.exists():
                    part.rename(f"{aside}{ending}")
        except OSError as error:
            raise RetryableError(f"spool: {error}") from error
        return aside


def memory_spool(bytes_max: int) -> Spool:
    """Return a spool that lives as long as the process, for when no disk can be had."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    return Spool(connection, bytes_max)


def _salvage(aside: Path, spool: Spool) -> int:
    """Copy every sound message that can still be read; return how many.

    Messages that were confirmed in the meantime may rise again; the collector drops repeats.
    """
    saved: set[Slot] = set()
    with spool.transaction():
        # From both ends, since reading stops at the first page that makes no sense.
        for backwards in (False, True):
            try:
                for slot, made_us, payload in _readable(aside, backwards=backwards):
                    if slot not in saved:
                        spool.add(slot, made_us, payload)
                        saved.add(slot)
            except (SpoolDamagedError, RetryableError) as error:
                log.debug("the damaged spool could be read this far: %s", error)
        if saved:
            spool.adopt_epoch(max(slot.boot_epoch for slot in saved), {})
    return len(saved)


def _readable(aside: Path, *, backwards: bool) -> Iterator[tuple[Slot, int, bytes]]:
    with translated():
        damaged = sqlite3.connect(aside, isolation_level=None)
        try:
            damaged.text_factory = _lenient
            # Another table's damaged definition must not keep this one from being read.
            damaged.execute("pragma writable_schema = on")
            yield from sound_messages(damaged, backwards=backwards)
        finally:
            damaged.close()


def _lenient(text: bytes) -> str:
    """Let a damaged text be seen as such by the checks, instead of ending the whole query."""
    return text.decode("utf-8", "replace")
