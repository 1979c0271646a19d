"""The second reader against a real broker: every span of every partition, in turn."""

import time
from typing import Any

import pytest
from kafka import KafkaProducer

from collector.backlog import BacklogReader
from collector.claims import Claim
from collector.consumer import Partition, Received
from collector.lanes import Lanes, Span
from collector.settings import CollectorSettings, MigrateSettings
from collector.topics import ensure_topics
from telemetry.streams import Stream

PATIENCE_S = 60.0
MESSAGES = 400
# The first ends in the middle of what one fetch brings; what follows was stored by the live lane.
SPANS = (Span(0, 50), Span(70, MESSAGES))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


def test_a_reader_goes_on_with_the_next_span_of_each_partition(
    broker: str, topic_prefix: str
) -> None:
    where: dict[str, Any] = {"kafka_bootstrap": broker, "kafka_topic_prefix": topic_prefix}
    settings = CollectorSettings(
        **where, collector_group=topic_prefix, database_url="postgresql:///"
    )
    ensure_topics(MigrateSettings(**where, topic_partitions=2))
    partitions = [Partition(settings.topic(Stream.SAMPLES), number) for number in range(2)]
    fill(broker, partitions)
    claims = {each: Claim("log", 1, Lanes(MESSAGES, SPANS), MESSAGES) for each in partitions}
    reader = BacklogReader(settings)
    try:
        read = drain(reader, claims)
    finally:
        reader.close()
    wanted = [offset for span in SPANS for offset in range(*span)]
    assert {
        partition: [record.offset for record in read if record.partition == partition]
        for partition in partitions
    } == dict.fromkeys(partitions, wanted)


def fill(broker: str, partitions: list[Partition]) -> None:
    producer = KafkaProducer(bootstrap_servers=broker)
    for partition in partitions:
        for number in range(MESSAGES):
            producer.send(partition.topic, b"%d" % number, partition=partition.number)
    producer.flush(PATIENCE_S)
    producer.close()


def drain(reader: BacklogReader, claims: dict[Partition, Claim]) -> list[Received]:
    """Read, and move the claims only when nothing more comes, as one transaction does."""
    read: list[Received] = []
    stored = 0
    deadline_s = time.monotonic() + PATIENCE_S
    while any(claim.lanes.backlog for claim in claims.values()) and time.monotonic() < deadline_s:
        found = reader.poll(claims, 0.5)
        read += found
        if not found:
            for record in read[stored:]:
                claim = claims[record.partition]
                claim.lanes = claim.lanes.stored(record.offset)
            stored = len(read)
    return read
