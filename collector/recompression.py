"""Making chunks of samples anew in the columnstore once their time is past (decision 0006).

Owns which chunk is next, and that this gives way. TimescaleDB locks the chunk against late rows
while it works, and in the second half against readers too; so the work is broken off as soon as
somebody waits for it, and tried again later. It can be broken off anywhere: a chunk is as it was.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg

import sql
from collector import database
from collector.database import Connection, translated
from telemetry.clock import Clock
from telemetry.errors import FleetgaugeError, RetryableError

log = logging.getLogger(__name__)

# What arrives later than this finds its chunk made anew already, and has that done once more.
AFTER = timedelta(minutes=15)
# How long a chunk that somebody waited for is left alone.
AGAIN_AFTER_S = 300.0
# Whoever waits does so for about this long.
LOOK_EVERY_S = 0.5
WATCH_TIMEOUT_S = 10

_QUERIES = sql.queries("collector_maintenance")


class BrokenOff(RetryableError):  # noqa: N818 - says what it is
    """A chunk was not made anew, since others need it now."""


class Recompression:
    """One chunk at a time, the oldest first; the connection is used for nothing else."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._not_before_s: dict[str, float] = {}

    def make_next(self, connection: Connection, after: timedelta = AFTER) -> str | None:
        """Make the oldest chunk anew that is due; return its name, None where none was finished.

        Raises:
            RetryableError: the database is away.
        """
        now_s = self._clock.monotonic_s()
        self._not_before_s = {c: s for c, s in self._not_before_s.items() if s > now_s}
        chunk = next_due(connection, after, list(self._not_before_s))
        if chunk is None:
            return None
        try:
            with giving_way(connection, self._url):
                make_anew(connection, chunk)
        except BrokenOff as error:
            self._not_before_s[chunk] = now_s + AGAIN_AFTER_S
            log.info("recompression gave way: %s", error)
            return None
        log.info("recompressed %s", chunk)
        return chunk


def next_due(
    connection: Connection, after: timedelta = AFTER, left_alone: list[str] | None = None
) -> str | None:
    """Return the oldest chunk that was never made anew, or that has got rows since."""
    with translated("looking for chunks to recompress"):
        row = connection.execute(
            _QUERIES["chunk_to_recompress"], {"after": after, "left_alone": left_alone or []}
        ).fetchone()
    return None if row is None else str(row[0])


def make_anew(connection: Connection, chunk: str) -> None:
    """Make a chunk anew and note that; the connection must be in autocommit mode.

    Raises:
        BrokenOff: it was cancelled, or had to wait for longer than the session wants to.
        RetryableError: the database is away.
    """
    with translated(f"recompressing {chunk}"):
        try:
            connection.execute(_QUERIES["recompress_whole"])
            connection.execute(_QUERIES["recompress"], {"chunk": chunk})
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:
            raise BrokenOff(f"{chunk} is needed by others") from error
        connection.execute(_QUERIES["note_recompressed"], {"chunk": chunk})


@contextmanager
def giving_way(connection: Connection, url: str) -> Iterator[None]:
    """Cancel what the connection does inside the block once somebody waits for its locks."""
    done = threading.Event()
    watcher = database.connect(url, "recompression watch", WATCH_TIMEOUT_S)
    thread = threading.Thread(
        target=_watch, args=(connection, watcher, done), name="recompression watch", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        watcher.close()


def _watch(connection: Connection, watcher: Connection, done: threading.Event) -> None:
    holder = {"pid": connection.info.backend_pid}
    while not done.wait(LOOK_EVERY_S):
        try:
            with translated("looking who waits"):
                row = watcher.execute(_QUERIES["somebody_waits"], holder).fetchone()
            if row is not None and not row[0]:
                continue
        except FleetgaugeError as error:
            # Who cannot see whether others wait does not make them.
            log.warning("recompression breaks off: %s", error)
        connection.cancel_safe(timeout=2)
        return
