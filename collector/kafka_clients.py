"""Kafka clients that leave nothing behind where they cannot be made.

kafka-python 3.0.12 starts a client's thread before it looks for the broker; where it finds none, it
raises and leaves thread and sockets to themselves, at every attempt of a program that waits for the
broker. Owns closing them.
"""

from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer


class TidyConsumer(KafkaConsumer):  # type: ignore[misc]  # kafka-python is untyped
    """A consumer."""

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except BaseException:
            _close_what_was_made(self)
            raise


class TidyAdmin(KafkaAdminClient):  # type: ignore[misc]  # kafka-python is untyped
    """An administrator's client."""

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except BaseException:
            _close_what_was_made(self)
            raise


def _close_what_was_made(client: Any) -> None:
    if hasattr(client, "_client"):
        client._client.close()  # noqa: SLF001 - the library has no other way
