"""What is done beside storing: rollups that are due, moving parts, indexes, retention.

Owns a thread with a connection of its own for each kind of upkeep, so that nothing here makes a
batch wait, and nothing that is long the rest. Any collector may do it, one at a time does: whoever
holds the lock. All of it may be cut off anywhere and run again.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence

import psycopg

import sql
from collector import compaction, database, derived, maintenance
from collector.database import Connection, translated
from collector.recompression import Recompression
from collector.settings import CollectorSettings
from collector.tier import Tier
from collector.timer import Timer
from telemetry.clock import Clock
from telemetry.errors import FleetgaugeError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
MAKE_EVERY_S = 20.0
INDEX_EVERY_S = 60.0
COUNT_EVERY_S = 60.0
MOVE_EVERY_S = 300.0
DROP_OLD_EVERY_S = 3600.0
STATEMENT_TIMEOUT_S = 600
# A quarter of an hour of 220,000 accelerators is 198 million rows in one statement.
RECOMPRESS_TIMEOUT_S = 3600

_MAINTENANCE = sql.queries("collector_maintenance")

Task = Callable[[Connection, int], object]


class Upkeep:
    """Everything that is done beside storing, from `start` to `stop`."""

    def __init__(self, settings: CollectorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._hands: list[Hand] = []

    def start(self, tier: Tier) -> None:
        """Begin, unless it has; the schema is there."""
        if self._hands:
            return
        url, clock, settings = self._settings.database_url, self._clock, self._settings
        tasks: list[tuple[float, Task]] = [
            (MAKE_EVERY_S, derived.make_due),
            (MOVE_EVERY_S, lambda c, _: compaction.move(c, tier)),
            (INDEX_EVERY_S, lambda c, now: maintenance.index_closed(c, tier, now)),
            (COUNT_EVERY_S, lambda c, _: maintenance.count_stale_boards(c)),
            (COUNT_EVERY_S, lambda c, _: maintenance.count_stale_hosts(c)),
            (DROP_OLD_EVERY_S, lambda c, now: maintenance.drop_old(c, tier, settings, now)),
        ]
        self._hands.append(Hand("upkeep", url, clock, tasks, STATEMENT_TIMEOUT_S))
        if tier is Tier.TIMESCALE:
            chunks = Recompression(url, clock)
            task: Task = lambda c, _: chunks.make_next(c)  # noqa: E731 - as those above
            self._hands.append(
                Hand("recompression", url, clock, [(0.0, task)], RECOMPRESS_TIMEOUT_S)
            )
        for hand in self._hands:
            hand.start()

    def stop(self) -> None:
        """End soon: a statement under way is cancelled and will be done another time."""
        for hand in self._hands:
            hand.stop()
        self._hands.clear()


class Hand:
    """A thread that does one kind of upkeep, whatever becomes of the database."""

    def __init__(
        self,
        kind: str,
        url: str,
        clock: Clock,
        tasks: Sequence[tuple[float, Task]],
        statement_timeout_s: int,
    ) -> None:
        self._kind = kind
        self._url = url
        self._clock = clock
        self._tasks = [(Timer(every_s), task) for every_s, task in tasks]
        self._statement_timeout_s = statement_timeout_s
        self._connection: Connection | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=kind, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Cancel what is under way, and end."""
        self._stopped.set()
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=2)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._look()
            except FleetgaugeError as error:
                log.warning("%s: %s; trying again", self._kind, error)
                self._drop_connection()
            self._stopped.wait(LOOK_EVERY_S)
        self._drop_connection()

    def _look(self) -> None:
        connection = self._open()
        with translated(f"the lock of {self._kind}"):
            row = connection.execute(_MAINTENANCE["try_upkeep"], {"kind": self._kind}).fetchone()
        if row is None or not row[0]:
            return  # another collector does it
        now_us = self._clock.now_us()
        for timer, task in self._tasks:
            if timer.is_due(self._clock.monotonic_s()) and not self._stopped.is_set():
                task(connection, now_us)

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = database.connect(
                self._url, self._kind, self._statement_timeout_s, is_replayed=True
            )
            with translated(f"preparing {self._kind}"):
                # What waits for a table's lock makes the batches behind it wait too: it gives way.
                self._connection.execute("set lock_timeout = '2s'")
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
