"""Hears from the Kafka client which partitions the group has given to this member."""

from collections.abc import Iterable
from typing import Any

from kafka import ConsumerRebalanceListener, TopicPartition


class AssignmentListener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Raises a flag. It runs in the client's own thread, so it must not wait for anything."""

    def __init__(self) -> None:
        self.client: Any = None
        self.changed = False

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002
        """Note that some are no longer ours."""
        self.changed = True

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note what is ours now, and hold it until it is said where to start."""
        # Without a position the client would ask the group for one; it must fetch nothing before
        # `read_from` has said where to start.
        for partition in assigned:
            self.client.pause(partition)
            self.client.seek(partition, 0)
        self.changed = True
