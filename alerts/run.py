"""The running program: who is active, what wakes a pass, and what runs beside it.

Owns threads and waiting. The main thread evaluates; each receiver has a sender; the dead-man
switch watches all of them. A standby does nothing but ask for the lease. A database that is away
is waited for, said once.
"""

import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from alerts.database import Connection, connect, translated
from alerts.engine import Engine, Pass
from alerts.heartbeat import Heartbeat, Ping, Pulse
from alerts.lease import Lease, LeaseLost
from alerts.notifiers import make_notifier
from alerts.rules import load_rules
from alerts.sender import Sender
from alerts.settings import AlertSettings, Receiver
from alerts.xid_override import apply_override
from alerts.xid_policy import load_policy
from sql import queries
from telemetry.clock import Clock
from telemetry.errors import RetryableError
from telemetry.stop import StopSignal

log = logging.getLogger(__name__)

# The collector notifies this channel once a commit.
CHANNEL = "fleetgauge_stored"

WAIT_SLICE_S = 0.25
RETRY_S = 1.0
REPORT_INTERVAL_S = 5.0
PURGE_INTERVAL_S = 3600.0
JOIN_TIMEOUT_S = 15.0
EXIT_FAILED = 1


class Service:
    """The alerts program, without its command line."""

    def __init__(self, settings: AlertSettings, clock: Clock, stop: StopSignal) -> None:
        self._settings = settings
        self._clock = clock
        self._stop = stop
        self._active = threading.Event()
        self._pulse = Pulse()
        self._started_at = self._now()
        self._instance = f"{socket.gethostname()}:{os.getpid()}"
        # Unique to this start: a process id comes back, a token does not.
        self._lease = Lease(f"{self._instance}:{secrets.token_hex(4)}", settings.lease_s)
        rule_set = load_rules(settings.rules_folder)
        for name, error in rule_set.broken.items():
            log.error("the rule %s is disabled: %s", name, error)
        policy = load_policy(settings.xid_policy_file)
        self._xid_rows = apply_override(policy, settings.xid_override_file).rows()
        self._engine = Engine(rule_set, settings, self._lease, clock)
        self._senders = [
            Sender(name, receiver, settings, clock, self._active)
            for name, receiver in settings.all_receivers().items()
        ]
        self._heartbeat = Heartbeat(settings, clock, self._pulse, self._active, _ping(settings))
        self._reported_s = self._purged_s = -1e9
        self._broke = False

    def run(self) -> int:
        """Work until stopped; return the exit code."""
        tasks = [*(sender.run for sender in self._senders), self._heartbeat.run]
        threads = [
            threading.Thread(target=self._watch, args=(task,), daemon=True) for task in tasks
        ]
        for thread in threads:
            thread.start()
        waiting = False
        while not self._stop.is_set():
            try:
                with translated(), contextlib.closing(self._connect()) as connection:
                    if waiting:
                        log.info("the database is back")
                        waiting = False
                    self._serve(connection)
            except RetryableError as error:
                if not waiting:
                    log.warning("waiting for the database: %s", error)
                waiting = True
                self._stop.wait(RETRY_S)
            finally:
                self._active.clear()
        for sender in self._senders:
            sender.wake()
        for thread in threads:
            thread.join(JOIN_TIMEOUT_S)
        return EXIT_FAILED if self._broke else 0

    def _watch(self, task: Callable[[StopSignal], None]) -> None:
        """Run a thread's work, and end the program when it breaks."""
        try:
            task(self._stop)
        except Exception:
            # Whatever it was, nobody would miss a thread that died: the whole program ends, loudly,
            # and whoever supervises it starts it anew.
            log.exception("a thread broke; stopping")
            self._broke = True
            self._stop.set()

    def _connect(self) -> Connection:
        connection = connect(self._settings.database_url, "evaluator")
        connection.execute(f"listen {CHANNEL}".encode())
        return connection

    def _serve(self, connection: Connection) -> None:
        """Ask for the lease, and lead while it lasts."""
        standby = False
        while not self._stop.is_set():
            if not self._lease.acquire(connection):
                if not standby:
                    log.info("standing by: another evaluator is active")
                    standby = True
                self._report(connection)
                self._stop.wait(min(2.0, self._settings.lease_s / 3))
                continue
            standby = False
            try:
                self._lead(connection)
            except LeaseLost:
                log.warning("another evaluator has taken over; standing by")
            finally:
                self._active.clear()
        self._lease.release(connection)

    def _lead(self, connection: Connection) -> None:
        log.info("this evaluator is active")
        self._engine.start(connection, self._xid_rows)
        self._active.set()
        on_data = False
        while not self._stop.is_set():
            started_s = self._clock.monotonic_s()
            result = self._engine.run_pass(connection, on_data=on_data)
            self._pulse.passed_at = self._now()
            self._pulse.pass_milliseconds = result.milliseconds
            if result.messages:
                for sender in self._senders:
                    sender.wake()
            self._report(connection)
            self._purge(connection)
            on_data = self._wait(connection, result, started_s)

    def _wait(self, connection: Connection, result: Pass, started_s: float) -> bool:
        """Wait until a pass is due; True when that is because rows were stored."""
        due_s = min(self._engine.next_due_s(), self._settings.lease_s / 3)
        if result.wake_at is not None:
            due_s = min(due_s, (result.wake_at - self._now()).total_seconds())
        until_s = self._clock.monotonic_s() + due_s
        while not self._stop.is_set():
            left_s = until_s - self._clock.monotonic_s()
            if left_s <= 0:
                return False
            timeout_s = min(left_s, WAIT_SLICE_S)
            if list(connection.notifies(timeout=timeout_s, stop_after=1)):
                # The first of a burst is answered at once, the rest together; and a pass that
                # takes long, in a storm, leaves as much time again to everybody else.
                pause_s = max(self._settings.fast_interval_s, 2 * result.milliseconds / 1000)
                self._stop.wait(started_s + pause_s - self._clock.monotonic_s())
                list(connection.notifies(timeout=0))
                return True
        return False

    def _report(self, connection: Connection) -> None:
        if self._clock.monotonic_s() - self._reported_s < REPORT_INTERVAL_S:
            return
        self._reported_s = self._clock.monotonic_s()
        active = self._active.is_set()
        connection.execute(
            queries("alerts")["report_evaluator"],
            {
                "instance": self._instance,
                "version": version("fleetgauge"),
                "started_at": self._started_at,
                "now": self._now(),
                "active": active,
                "passed_at": self._pulse.passed_at,
                "pass_milliseconds": self._pulse.pass_milliseconds,
                "heartbeat_at": self._pulse.heartbeat_at,
                "unhealthy": self._pulse.unhealthy if active else None,
            },
        )

    def _purge(self, connection: Connection) -> None:
        if self._clock.monotonic_s() - self._purged_s < PURGE_INTERVAL_S:
            return
        self._purged_s = self._clock.monotonic_s()
        before = self._now() - timedelta(days=self._settings.history_days)
        connection.execute(queries("alerts")["purge"], {"now": self._now(), "before": before})

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC)


def _ping(settings: AlertSettings) -> Ping | None:
    """How the dead-man switch is pinged: like a webhook, with the same guard."""
    if not settings.heartbeat_url:
        return None
    return make_notifier(Receiver(url=settings.heartbeat_url), settings).send
