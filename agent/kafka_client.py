"""The Kafka client of an agent: what the sink needs of one, and kafka-python's with its options.

Owns the options that the spool relies on. When it is made, and what is sent, is `kafka.py`'s.
"""

import socket
from typing import Any, Protocol

from kafka import KafkaProducer

from telemetry.streams import MESSAGE_BYTES_MAX, KafkaSettings

METADATA_WAIT_MS = 1000
# What a message may be larger on its way than by itself: key, headers and record overhead.
RECORD_OVERHEAD_BYTES = 4096


class Producer(Protocol):
    """What the sink needs of a Kafka client."""

    def send(
        self, topic: str, *, key: bytes, value: bytes, headers: list[tuple[str, bytes]]
    ) -> Any:
        """Return a future; may block for a second, may raise a KafkaError."""

    def close(self, timeout: float) -> None:
        """Give up what is in flight after `timeout` seconds."""


class Signer(Protocol):
    """Who vouches for what is sent."""

    def headers(self, value: bytes) -> list[tuple[str, bytes]]:
        """Return the record headers that go with a value."""


def make_producer(settings: KafkaSettings, compression: str = "none") -> Producer:
    """Return kafka-python's client with the options that the spool relies on.

    Raises:
        ConfigError: a certificate or password file cannot be used.
    """
    producer: Producer = KafkaProducer(
        **settings.client_options(),
        client_id="fleetgauge-agent",
        # A fixed version spares the question, so that a missing broker does not block here.
        api_version=(3, 9),
        acks="all",
        # The idempotent producer fails what is in flight when the broker has lost its state, and
        # covers one session only. Repeats are dropped by the collector; one request at a time
        # keeps the order.
        enable_idempotence=False,
        max_in_flight_requests_per_connection=1,
        allow_auto_create_topics=False,
        compression_type=None if compression == "none" else compression,
        linger_ms=5,
        batch_size=1 << 16,
        max_request_size=MESSAGE_BYTES_MAX + RECORD_OVERHEAD_BYTES,
        max_block_ms=METADATA_WAIT_MS,
        request_timeout_ms=10_000,
        delivery_timeout_ms=30_000,
        reconnect_backoff_max_ms=2_000,
        metrics_enabled=False,
    )
    return producer


def takes_connection(bootstrap: str) -> bool:
    """Whether any of these addresses takes a TCP connection within a second."""
    for address in bootstrap.split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=1.0).close()
        except OSError:
            continue
        return True
    return False
