"""Kafka clients that leave nothing behind where they cannot be made, and finish what they begin.

kafka-python 3.0.12 starts a client's thread before it looks for the broker; where it finds none, it
raises and leaves thread and sockets to themselves, at every attempt of a program that waits for the
broker. And it forgets a join of the group that outlasts a poll. Owns the ways around both.
"""

from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer
from kafka.structs import MemberState


class TidyConsumer(KafkaConsumer):  # type: ignore[misc]  # kafka-python is untyped
    """A consumer."""

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except BaseException:
            _close_what_was_made(self)
            raise

    def poll(self, *arguments: Any, **options: Any) -> Any:
        """Poll, and go on with a join of the group that an earlier poll has begun.

        The library joins again when the topics' partitions have changed, and takes what it has
        begun then for its new picture of them. If the broker answers after the poll has ended, the
        next poll sees nothing to do: the answer is never looked at, heartbeats stay off, and the
        member stays without a partition for ever.
        """
        coordinator = self._coordinator
        if coordinator is not None and coordinator.rejoining:
            coordinator.request_rejoin()
        return super().poll(*arguments, **options)

    def is_joined(self) -> bool:
        """Whether the group has said what is ours, if only that nothing is."""
        return self.group_metadata().state is MemberState.STABLE


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
