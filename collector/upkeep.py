"""What is done beside storing: rollups that are due, moving parts, indexes, retention.

Owns a thread with a connection of its own, so that nothing here makes a batch wait. Any collector
may do it, one at a time does: whoever holds the lock. All of it may be cut off anywhere and run
again.
"""

import contextlib
import logging
import threading
from collections.abc import Callable

import psycopg

import sql
from collector import compaction, database, derived, maintenance
from collector.database import Connection, translated
from collector.settings import CollectorSettings
from collector.tier import Tier
from collector.timer import Timer
from telemetry.clock import Clock
from telemetry.errors import FleetgaugeError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
MAKE_EVERY_S = 20.0
INDEX_EVERY_S = 60.0
MOVE_EVERY_S = 300.0
DROP_OLD_EVERY_S = 3600.0
STATEMENT_TIMEOUT_S = 600

_MAINTENANCE = sql.queries("collector_maintenance")


class Upkeep:
    """The thread; it works from `start` to `stop`, whatever becomes of the database."""

    def __init__(self, settings: CollectorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._tier = Tier.POSTGRES
        self._connection: Connection | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._tasks: tuple[tuple[Timer, Callable[[Connection, int], object]], ...] = (
            (Timer(MAKE_EVERY_S), derived.make_due),
            (Timer(MOVE_EVERY_S), lambda c, _: compaction.move(c, self._tier)),
            (Timer(INDEX_EVERY_S), lambda c, now: maintenance.index_closed(c, self._tier, now)),
            (
                Timer(DROP_OLD_EVERY_S),
                lambda c, now: maintenance.drop_old(c, self._tier, self._settings, now),
            ),
        )

    def start(self, tier: Tier) -> None:
        """Begin, unless it has; the schema is there."""
        self._tier = tier
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End soon: a statement under way is cancelled and will be done another time."""
        self._stopped.set()
        if self._thread is not None:
            if self._connection is not None:
                with contextlib.suppress(psycopg.Error):
                    self._connection.cancel_safe(timeout=2)
            self._thread.join(timeout=5)
            self._thread = None

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._look()
            except FleetgaugeError as error:
                log.warning("upkeep: %s; trying again", error)
                self._drop_connection()
            self._stopped.wait(LOOK_EVERY_S)
        self._drop_connection()

    def _look(self) -> None:
        connection = self._open()
        with translated("the lock of upkeep"):
            row = connection.execute(_MAINTENANCE["try_upkeep"]).fetchone()
        if row is None or not row[0]:
            return  # another collector does it
        now_us = self._clock.now_us()
        for timer, task in self._tasks:
            if timer.is_due(self._clock.monotonic_s()) and not self._stopped.is_set():
                task(connection, now_us)

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = database.connect(
                self._settings.database_url, "upkeep", STATEMENT_TIMEOUT_S
            )
            with translated("preparing upkeep"):
                # What waits for a table's lock makes the batches behind it wait too: it gives way.
                self._connection.execute("set lock_timeout = '2s'")
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
