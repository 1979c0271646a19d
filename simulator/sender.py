"""The way of generated messages to the broker: bounded, in order, and counted to the last one.

Owns the Kafka producer of `simulate` and `replay`. Unlike the agent's sink it has no spool behind
it: while the broker is away it holds what is in flight and lets the generator wait, and what was
given up is said by its host in a `Dropped` record.
"""

import logging
import threading
from functools import partial
from typing import Protocol

from kafka import KafkaProducer
from kafka.errors import KafkaError

from simulator.voice import Outgoing
from telemetry.errors import RetryableError
from telemetry.stop import StopSignal
from telemetry.streams import MESSAGE_BYTES_MAX, KafkaSettings, Stream

log = logging.getLogger(__name__)

IN_FLIGHT_MAX = 4000
DELIVERY_TIMEOUT_MS = 300_000
CONNECT_TIMEOUT_MS = 3_000
RETRY_S = 1.0


class Sender(Protocol):
    """Where generated messages go."""

    def send(self, message: Outgoing) -> None:
        """Take a message; wait while too many are on their way."""


class KafkaSender:
    """A producer with a limit on what is unconfirmed, and a tally.

    Attributes:
        sent: messages taken.
        confirmed: messages that the broker acknowledged.
        failed: messages that it never acknowledged.
    """

    def __init__(self, settings: KafkaSettings, stop: StopSignal) -> None:
        self._topics = {stream: settings.topic(stream) for stream in Stream}
        self._stop = stop
        self._change = threading.Condition()
        self.sent = self.confirmed = self.failed = 0
        self._producer = self._connect(settings)

    def _connect(self, settings: KafkaSettings) -> KafkaProducer:
        """Wait for broker and topics, saying once what is missing.

        Raises:
            RetryableError: asked to stop before they were there.
        """
        said = ""
        producer: KafkaProducer | None = None
        while not self._stop.is_set():
            missing = f"broker at {settings.kafka_bootstrap}"
            try:
                producer = producer or _producer(settings)
                absent = [t for t in self._topics.values() if not producer.partitions_for(t)]
                if not absent:
                    return producer
                missing = f"topics {', '.join(absent)} (`fleetgauge migrate` makes them)"
            except KafkaError as error:
                log.debug("broker: %s", error)
            if missing != said:
                log.warning("waiting for %s", missing)
                said = missing
            self._stop.wait(RETRY_S)
        if producer is not None:
            producer.close(timeout=1)
        raise RetryableError(f"stopped while waiting for {said or 'the broker'}")

    @property
    def unconfirmed(self) -> int:
        """Messages on their way."""
        return self.sent - self.confirmed - self.failed

    def send(self, message: Outgoing) -> None:
        """Take a message; wait while too many are on their way, unless asked to stop."""
        with self._change:
            while self.unconfirmed >= IN_FLIGHT_MAX and not self._stop.is_set():
                self._change.wait(0.5)
            self.sent += 1
        try:
            future = self._producer.send(
                self._topics[message.stream], key=message.voice.key, value=message.value
            )
        except KafkaError as error:
            self._on_failed(message, error)
            return
        future.add_callback(self._on_confirmed)
        future.add_errback(partial(self._on_failed, message))

    def _on_confirmed(self, _metadata: object) -> None:
        with self._change:
            self.confirmed += 1
            self._change.notify()

    def _on_failed(self, message: Outgoing, error: BaseException) -> None:
        with self._change:
            if not self.failed:
                log.error("a message was not delivered: %s", error)
            self.failed += 1
            message.voice.undelivered.append((message.stream, message.seq))
            self._change.notify()

    def wait_confirmed(self, timeout_s: float) -> bool:
        """Wait until nothing is on its way; False when that took too long."""
        with self._change:
            return self._change.wait_for(lambda: self.unconfirmed == 0, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Let go of the broker; what is unconfirmed by then counts as failed."""
        self._producer.close(timeout=timeout_s)


def _producer(settings: KafkaSettings) -> KafkaProducer:
    return KafkaProducer(
        **settings.client_options(),
        client_id="fleetgauge-simulator",
        # A fixed version spares the question, so that a missing broker does not raise here.
        api_version=(3, 9),
        acks="all",
        # One request at a time keeps each host's messages in order, retries included.
        enable_idempotence=False,
        max_in_flight_requests_per_connection=1,
        allow_auto_create_topics=False,
        linger_ms=20,
        batch_size=1 << 19,
        max_request_size=MESSAGE_BYTES_MAX + 1024,
        delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
        max_block_ms=CONNECT_TIMEOUT_MS,
        reconnect_backoff_max_ms=2_000,
    )
