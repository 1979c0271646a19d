"""Joining the collectors' group while the broker answers later than a poll lasts."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from collector.consumer import Consumer
from collector.settings import CollectorSettings, MigrateSettings
from collector.topics import ensure_topics
from telemetry.streams import Stream

PATIENCE_S = 60.0
PARTITIONS = 4
# The broker cannot answer within it.
POLL_S = 0.001
GAP_S = 0.3
pytestmark = pytest.mark.slow


def test_a_join_that_outlasts_a_poll_is_finished(broker: str, topic_prefix: str) -> None:
    where: dict[str, Any] = {"kafka_bootstrap": broker, "kafka_topic_prefix": topic_prefix}
    consumer = Consumer(
        CollectorSettings(**where, collector_group=topic_prefix, database_url="postgresql:///")
    )
    try:
        # There are no topics yet: the first join gives nothing, and their coming begins another.
        assert _becomes(consumer, consumer.is_joined)
        ensure_topics(MigrateSettings(**where, topic_partitions=PARTITIONS))
        assert _becomes(consumer, lambda: len(consumer.assigned()) == PARTITIONS * len(Stream))
        assert _becomes(consumer, consumer.is_joined)
    finally:
        consumer.close()


def test_a_group_comes_to_rest_though_a_member_polls_seldom_and_never_waits(
    broker: str, topic_prefix: str
) -> None:
    """So it is while a collector stores a backlog: a look at the live lane between two batches."""
    where: dict[str, Any] = {"kafka_bootstrap": broker, "kafka_topic_prefix": topic_prefix}
    settings = CollectorSettings(
        **where, collector_group=topic_prefix, database_url="postgresql:///"
    )
    ensure_topics(MigrateSettings(**where, topic_partitions=PARTITIONS))
    members = [Consumer(settings)]
    try:
        assert _becomes(members[0], members[0].is_joined)
        members.append(Consumer(settings))
        busy, waiting = members
        deadline_s = time.monotonic() + PATIENCE_S
        while not all(_has_half(member) for member in members) and time.monotonic() < deadline_s:
            busy.poll(0.0)
            # Long enough for the broker's answer to come meanwhile.
            waiting.poll(GAP_S)
        assert [_has_half(member) for member in members] == [True, True]
        assert not set(busy.assigned()) & set(waiting.assigned())
    finally:
        for member in members:
            member.close()


def _has_half(member: Consumer) -> bool:
    return member.is_joined() and len(member.assigned()) == PARTITIONS * len(Stream) // 2


def _becomes(consumer: Consumer, condition: Callable[[], bool]) -> bool:
    """Poll until the condition holds, or for a long time."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline_s:
        consumer.poll(POLL_S)
    return condition()
