"""The connection to Kafka: a client that is made when there is something to send, and made anew.

Owns when that is done: for replaced certificates and passwords, for a broker that shuts the old one
out, and after a long time without success. How a client is made is `kafka_client.py`'s.
"""

from collections.abc import Callable
from contextlib import suppress
from random import Random

from kafka.errors import KafkaError

from agent.connection_files import ConnectionFiles
from agent.counters import Counters
from agent.delivery import Pause
from agent.kafka_client import Producer
from agent.kafka_trouble import CLIENT, Trouble
from telemetry.clock import Clock
from telemetry.errors import ConfigError
from telemetry.records import Event
from telemetry.streams import KafkaSettings

# A client that has had no success for so long is made anew.
RENEW_AFTER_S = 120.0


class Connection:
    """One client at a time, or none yet."""

    def __init__(
        self,
        settings: KafkaSettings,
        clock: Clock,
        counters: Counters,
        connect: Callable[[], Producer],
        trouble: Trouble,
        random: Random,
    ) -> None:
        self._clock = clock
        self._counters = counters
        self._connect = connect
        self._trouble = trouble
        self._files = ConnectionFiles(settings)
        self._pause = Pause(random)
        self._client: Producer | None = None
        self._alive_at_s = clock.monotonic_s()
        self._is_outdated = False

    def alive(self, now_s: float) -> None:
        """Note that it works, or that nothing was asked of it."""
        self._alive_at_s = now_s

    def shut_out(self, now_s: float, pause_s: float) -> None:
        """Note that the broker does not let this client in: another is made after that pause."""
        self._is_outdated = True
        self._pause.failed(now_s, pause_s)

    def look_at_files(self, now_s: float) -> tuple[bool, Event | None]:
        """Return whether its files were replaced, so that all may be tried at once; a warning."""
        changed, warning = self._files.look(now_s, self._clock.now_us() / 1e6)
        if changed:
            self._is_outdated = True
            self._pause.succeeded()
        return changed, warning

    def client(self, now_s: float, *, wanted: bool, in_flight: bool) -> Producer | None:
        """Return the client, made if need be; None while there cannot be one.

        Args:
            now_s: monotonic time.
            wanted: there is something to send.
            in_flight: it has messages without an outcome, and is not made anew.
        """
        if not wanted:
            self.alive(now_s)
        outdated = self._is_outdated or now_s - self._alive_at_s > RENEW_AFTER_S
        if self._client and outdated and not in_flight:
            self._client.close(timeout=0)
            self._client = None
            self._is_outdated = False
            self.alive(now_s)
        if self._client is None and wanted and self._pause.over(now_s):
            try:
                self._client = self._connect()
            except (KafkaError, ConfigError, OSError, ValueError) as error:
                # A certificate or password file, or what is in it.
                self._pause.failed(now_s)
                self._trouble.say(CLIENT, f"cannot prepare the connection to Kafka: {error}")
                self._counters.add("kafka_failures")
            else:
                self._pause.succeeded()
                self._trouble.say(CLIENT, "")
        return self._client

    def close(self, timeout_s: float) -> None:
        """Give up what is in flight after so long; it stays in the outboxes."""
        if self._client is not None:
            with suppress(KafkaError):  # raised where something is in flight for longer
                self._client.close(timeout=timeout_s)
