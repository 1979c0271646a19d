"""The collector about itself: what it has done since it started, for the Pipeline page.

Owns the counters and the row in `collectors`.
"""

import uuid
from collections import deque
from dataclasses import dataclass, field
from importlib.metadata import version

from psycopg.types.json import Json

import sql
from collector.batch import Batch
from collector.database import Connection, translated
from collector.registry import timestamp
from telemetry.clock import Clock

INTERVAL_S = 1.0
RATE_OVER_S = 10.0

VERSION = version("fleetgauge")

_QUERIES = sql.queries("collector_books")


@dataclass(slots=True)
class Report:
    """Counters since the start.

    Attributes:
        run_id: of this process and no other; an instance keeps its name over restarts.
        commit_seconds: how long the last transaction took.
        signatures: what is done with messages that no enrolled key stands for.
        waiting_for: what stands in the way, or None while all is well.
        lag: messages that wait in the live lane, by topic.
        backlog: messages that were left behind and are not stored yet, by topic.
        backlog_stored: messages of the backlog that were stored.
        fetch_stalls: how often the Kafka client did not fetch what the log had.
    """

    instance: str
    clock: Clock
    signatures: str = "off"
    rows_stored: int = 0
    messages_stored: int = 0
    messages_repeated: int = 0
    messages_quarantined: int = 0
    values_out_of_range: int = 0
    commit_seconds: float = 0.0
    waiting_for: str | None = None
    lag: dict[str, int] = field(default_factory=dict)
    backlog: dict[str, int] = field(default_factory=dict)
    backlog_stored: int = 0
    fetch_stalls: int = 0
    started_us: int = 0
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    _due_s: float = 0.0
    _last: tuple[float, int] = (0.0, 0)
    _backlog_rate: "_Rate" = field(init=False)

    def __post_init__(self) -> None:
        self.started_us = self.clock.now_us()
        self._backlog_rate = _Rate()
        self._last = (self.clock.monotonic_s(), 0)

    def count(self, batch: Batch, seconds: float) -> None:
        """Count a stored batch."""
        self.rows_stored += batch.sample_rows
        self.messages_stored += batch.messages
        self.messages_repeated += batch.repeats
        self.messages_quarantined += len(batch.rejected)
        self.values_out_of_range += batch.values_out_of_range
        self.commit_seconds = seconds

    def write_if_due(self, connection: Connection) -> None:
        """Write the row, about once a second."""
        now_s = self.clock.monotonic_s()
        if now_s < self._due_s:
            return
        self._due_s = now_s + INTERVAL_S
        then_s, rows = self._last
        elapsed_s = max(now_s - then_s, 1e-3)
        self._last = (now_s, self.rows_stored)
        with translated("reporting"):
            connection.execute(
                _QUERIES["report"],
                {
                    "instance": self.instance,
                    "started_at": timestamp(self.started_us),
                    "version": VERSION,
                    "rows_stored": self.rows_stored,
                    "messages_stored": self.messages_stored,
                    "messages_repeated": self.messages_repeated,
                    "messages_quarantined": self.messages_quarantined,
                    "values_out_of_range": self.values_out_of_range,
                    "rows_per_second": (self.rows_stored - rows) / elapsed_s,
                    "commit_seconds": self.commit_seconds,
                    "lag": Json(self.lag),
                    "backlog": Json(self.backlog),
                    "backlog_per_second": self._backlog_rate.at(now_s, self.backlog_stored),
                    "waiting_for": self.waiting_for,
                    "signatures": self.signatures,
                    "fetch_stalls": self.fetch_stalls,
                },
            )

    def write_now(self, connection: Connection) -> None:
        """Write the row whether or not it is due: something has changed."""
        self._due_s = 0.0
        self.write_if_due(connection)

    def leave(self, connection: Connection) -> None:
        """Take the row away: this collector stops in order."""
        with translated("reporting"):
            connection.execute(_QUERIES["leave"], {"instance": self.instance})


class _Rate:
    """How fast a count rises, over the last seconds rather than the last one."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, now_s: float, count: int) -> float:
        """Note a count; return its rise a second, or 0 where it does not rise."""
        self._seen.append((now_s, count))
        while self._seen[0][0] < now_s - RATE_OVER_S:
            self._seen.popleft()
        then_s, before = self._seen[0]
        return (count - before) / max(now_s - then_s, 1e-3)
