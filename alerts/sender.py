"""Senders: one thread a receiver, so that a dead one delays nobody else.

Owns the loop and its patience: exponential back-off with jitter, never sooner than the receiver
asked. What is in the queue is the outbox's business, how to deliver the notifier's.
"""

import logging
import random
import threading
from datetime import UTC, datetime

from alerts import outbox
from alerts.database import Connection, connect, translated
from alerts.notifiers import Delivery, Notifier, Outcome, make_notifier
from alerts.settings import AlertSettings, Receiver
from telemetry.clock import Clock
from telemetry.errors import RetryableError
from telemetry.stop import StopSignal

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
POLL_S = 1.0
TIDY_INTERVAL_S = 10.0
# A claim outlasts a delivery by enough to write down what came of it.
CLAIM_MARGIN_S = 20.0


def pause_after(attempts: int, delivery: Delivery, max_s: float, luck: float) -> float:
    """Return how long to leave a receiver alone after its `attempts`-th failure.

    Args:
        attempts: tries so far, at least 1.
        delivery: what came of the last one.
        max_s: the longest pause of our own.
        luck: 0 to 1; half of the pause is left to it, so that senders do not fall into step.
    """
    full = min(max_s, FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 30))
    own = full * (0.5 + luck / 2)
    return max(own, delivery.retry_after_s or 0.0)


class Sender:
    """Delivers one receiver's messages while this process is the active one."""

    def __init__(
        self,
        name: str,
        receiver: Receiver,
        settings: AlertSettings,
        clock: Clock,
        active: threading.Event,
        notifier: Notifier | None = None,
    ) -> None:
        self.name = name
        self._receiver = receiver
        self._settings = settings
        self._clock = clock
        self._active = active
        self._notifier = notifier or make_notifier(receiver, settings)
        self._wake = threading.Event()
        self._tidied_s = -1e9
        self._away = False

    def wake(self) -> None:
        """Look into the outbox now rather than at the next poll."""
        self._wake.set()

    def run(self, stop: StopSignal) -> None:
        """Deliver until stopped; a database that is away is waited for."""
        connection: Connection | None = None
        while not stop.is_set():
            try:
                connection = connection or connect(
                    self._settings.database_url, f"sender {self.name}"
                )
                if not (self._active.is_set() and self.step(connection)):
                    self._wake.wait(POLL_S)
                    self._wake.clear()
            except RetryableError as error:
                log.debug("the sender %s waits: %s", self.name, error)
                if connection is not None:
                    connection.close()
                    connection = None
                stop.wait(POLL_S)
        self._notifier.close()
        if connection is not None:
            connection.close()

    def step(self, connection: Connection) -> bool:
        """Deliver one message, if one is due; say whether there was."""
        with translated():
            self._tidy(connection)
            claim_s = self._settings.webhook_timeout_s + CLAIM_MARGIN_S
            claimed = outbox.claim(connection, self.name, self._now(), claim_s)
            if claimed is None:
                return False
            started_s = self._clock.monotonic_s()
            delivery = self._notifier.send(claimed.message)
            duration_s = self._clock.monotonic_s() - started_s
            pause_s = pause_after(
                claimed.attempts,
                delivery,
                self._settings.retry_max_s,
                random.random(),  # noqa: S311 - jitter, not secrecy
            )
            outbox.settle(
                connection, self.name, claimed, delivery, duration_s, self._now(), pause_s
            )
        self._note(delivery)
        return True

    def _tidy(self, connection: Connection) -> None:
        if self._clock.monotonic_s() - self._tidied_s < TIDY_INTERVAL_S:
            return
        self._tidied_s = self._clock.monotonic_s()
        escalated = outbox.tidy(
            connection,
            self.name,
            self._receiver.fallback,
            self._now(),
            fallback_after_s=self._settings.fallback_after_s,
            give_up_after_s=self._settings.give_up_after_s,
        )
        if escalated:
            log.warning(
                "%d notices for %s went to %s instead",
                escalated,
                self.name,
                self._receiver.fallback,
            )

    def _note(self, delivery: Delivery) -> None:
        """Log changes only: the notification log has every try."""
        failed = delivery.outcome is not Outcome.DELIVERED
        if failed and not self._away:
            log.warning("the receiver %s does not take notices: %s", self.name, delivery.error)
        elif self._away and not failed:
            log.info("the receiver %s takes notices again", self.name)
        self._away = failed

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC)
