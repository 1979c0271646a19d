"""Kafka clients that leave nothing behind where they cannot be made, and finish what they begin.

kafka-python 3.0.12 starts a client's thread before it looks for the broker; where it finds none, it
raises and leaves thread and sockets to themselves, at every attempt of a program that waits for the
broker. It forgets a join of the group that outlasts a poll, and records of a partition that was
paused. Owns the ways around these.
"""

from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
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
        """Poll, and finish what earlier polls have begun."""
        self._go_on_joining()
        self._make_way_for_parked_records()
        return super().poll(*arguments, **options)

    def _go_on_joining(self) -> None:
        """Go on with a join of the group that an earlier poll has begun.

        The library joins again when the topics' partitions have changed, and takes what it has
        begun then for its new picture of them. If the broker answers after the poll has ended, the
        next poll sees nothing to do: the answer is never looked at, heartbeats stay off, and the
        member stays without a partition for ever. And where a join has been answered between two
        polls, the second throws the answer away and joins again, which makes all others join again:
        with polls that are short or far apart the group never comes to rest.
        """
        coordinator = self._coordinator
        if coordinator is not None and coordinator.rejoining:
            coordinator.request_rejoin()
            begun = coordinator._join_task  # noqa: SLF001 - there is no public way
            if begun is not None and not isinstance(begun, _Unread):
                coordinator._join_task = _Unread(begun)  # noqa: SLF001

    def _make_way_for_parked_records(self) -> None:
        """Let go of records that are used up, so that those of a resumed partition are taken up.

        What was fetched of a partition that is paused is parked, and meanwhile nothing is fetched
        of it. The library takes parked records up again only where it has none in hand, and it
        holds used-up ones for some: such a partition would be silent for ever.
        """
        fetcher = self._fetcher
        if not fetcher._next_partition_records:  # noqa: SLF001
            fetcher._next_partition_records = None  # noqa: SLF001

    def known_position(self, partition: TopicPartition) -> int | None:
        """Return the offset that is fetched next, or None where that is not known.

        The public way to ask may wait for the broker.
        """
        state = self._subscription.assignment.get(partition)
        position = None if state is None else state.position
        return None if position is None else int(position.offset)

    def is_joined(self) -> bool:
        """Whether the group has said what is ours, if only that nothing is.

        While it is asked anew, what the client calls its assignment is still the one before.
        """
        coordinator = self._coordinator
        is_asking = coordinator is None or coordinator.rejoining
        return not is_asking and self.group_metadata().state is MemberState.STABLE


class TidyAdmin(KafkaAdminClient):  # type: ignore[misc]  # kafka-python is untyped
    """An administrator's client."""

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except BaseException:
            _close_what_was_made(self)
            raise


class _Unread:
    """A join whose answer nobody has looked at, and which is therefore not done with."""

    def __init__(self, task: Any) -> None:
        self._task = task
        self.add_callback = task.add_callback
        self.add_errback = task.add_errback

    @property
    def is_done(self) -> bool:
        """Whether it is time for another; a join that has failed is begun anew."""
        return bool(self._task.failed())


def _close_what_was_made(client: Any) -> None:
    if hasattr(client, "_client"):
        client._client.close()  # noqa: SLF001 - the library has no other way
