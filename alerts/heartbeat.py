"""The dead-man switch: a ping that stops when nobody would be told.

Owns what "well" means: data comes in, rules are evaluated, notices leave. It is judged on a thread
of its own, so that a wedged evaluator cannot vouch for itself. Whoever receives the ping calls
somebody when it stays away; that somebody is not part of this product, on purpose.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from alerts.database import Connection, connect, translated
from alerts.notifiers import Delivery, Message, Outcome
from alerts.settings import AlertSettings
from sql import queries
from telemetry.clock import Clock
from telemetry.errors import RetryableError
from telemetry.stop import StopSignal

log = logging.getLogger(__name__)

Ping = Callable[[Message], Delivery]

# Each is well below the 90 s within which a breakage has to show.
PASS_AGE_MAX = timedelta(seconds=45)
INGEST_AGE_MAX = timedelta(seconds=45)
OUTBOX_AGE_MAX = timedelta(minutes=5)
# Ten minutes' worth at a message a host and 10 s; never fewer than this.
BEHIND_MIN = 1000
BEHIND_PER_HOST = 60


@dataclass(frozen=True, slots=True)
class Health:
    """What the switch looks at."""

    passed_at: datetime | None
    ingest_at: datetime | None
    ingest_expected: bool
    messages_behind: int
    hosts: int
    outbox_oldest: datetime | None


def find_fault(health: Health, now: datetime) -> str | None:
    """Return why no ping may leave; None where all is well."""
    if health.passed_at is None or now - health.passed_at > PASS_AGE_MAX:
        return "rules are not evaluated"
    if health.ingest_expected and (
        health.ingest_at is None or now - health.ingest_at > INGEST_AGE_MAX
    ):
        return "no collector stores anything"
    if health.messages_behind > max(BEHIND_MIN, BEHIND_PER_HOST * health.hosts):
        return "the collectors are far behind"
    if health.outbox_oldest is not None and now - health.outbox_oldest > OUTBOX_AGE_MAX:
        return "notices do not leave"
    return None


@dataclass(slots=True)
class Pulse:
    """What the evaluator leaves behind for the switch, and the switch for the report."""

    passed_at: datetime | None = None
    pass_milliseconds: float | None = None
    heartbeat_at: datetime | None = None
    unhealthy: str | None = "not judged yet"


class Heartbeat:
    """Judges at every interval, and pings where there is somebody to ping."""

    def __init__(
        self,
        settings: AlertSettings,
        clock: Clock,
        pulse: Pulse,
        active: threading.Event,
        ping: Ping | None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._pulse = pulse
        self._active = active
        self._ping = ping

    def run(self, stop: StopSignal) -> None:
        """Beat until stopped. A standby is silent: the active one speaks for the service."""
        connection: Connection | None = None
        while not stop.is_set():
            try:
                connection = connection or connect(self._settings.database_url, "heartbeat")
                if self._active.is_set():
                    self.beat(connection)
            except RetryableError as error:
                self._set_fault(f"the database is away: {error}")
                if connection is not None:
                    connection.close()
                    connection = None
            stop.wait(self._settings.heartbeat_interval_s)
        if connection is not None:
            connection.close()

    def beat(self, connection: Connection) -> str | None:
        """Judge once and ping if all is well; return what is wrong."""
        now = datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC)
        with translated():
            row = connection.execute(queries("alerts")["read_health"], {"now": now}).fetchone()
        if row is None:
            raise RetryableError("the database gave no answer")
        fault = find_fault(Health(passed_at=self._pulse.passed_at, **row), now)
        self._set_fault(fault)
        if fault is None and self._ping is not None:
            delivery = self._ping(Message(0, "fleetgauge/heartbeat", '{"status":"well"}'))
            if delivery.outcome is Outcome.DELIVERED:
                self._pulse.heartbeat_at = now
            else:
                log.warning("the heartbeat was not taken: %s", delivery.error)
        return fault

    def _set_fault(self, fault: str | None) -> None:
        if fault != self._pulse.unhealthy:
            level = logging.INFO if fault is None else logging.WARNING
            log.log(level, "heartbeat: %s", fault or "all is well")
        self._pulse.unhealthy = fault
