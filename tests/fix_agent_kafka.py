"""An outbox on disk with a sink that runs, and what a broker has of it."""

import gc
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError

from agent.counters import Counters
from agent.kafka import KafkaSink
from agent.outbox import Outbox
from agent.spool_file import SpoolFile
from telemetry.clock import SystemClock
from telemetry.streams import KafkaSettings, Stream
from telemetry.wire import decode
from tests.fix_agent import IDENTITY, make_tick, times_in

PATIENCE_S = 60.0


@pytest.fixture
def sockets_left_by_the_client() -> Iterator[None]:
    level = logging.getLogger("kafka").level
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # kept log entries keep the sockets too
    yield
    logging.getLogger("kafka").setLevel(level)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <s", ResourceWarning)
        gc.collect()


def make_topics(address: str, settings: KafkaSettings, **configs: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=address)
    try:
        for stream in Stream:
            # One broker makes a topic when a client asks about it, and may have been asked already.
            with suppress(TopicAlreadyExistsError):
                admin.create_topics([NewTopic(settings.topic(stream), 2, 1, topic_configs=configs)])
    finally:
        admin.close()


def consume(address: str, topic: str) -> list[bytes]:
    """Everything in a topic, in the order of its only partition that has something."""
    consumer = KafkaConsumer(
        bootstrap_servers=address, auto_offset_reset="earliest", enable_auto_commit=False
    )
    try:
        partitions = [
            TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        found: list[bytes] = []
        deadline = time.monotonic() + PATIENCE_S
        while any(consumer.position(p) < ends[p] for p in partitions):
            assert time.monotonic() < deadline, "the broker does not give what it has"
            for records in consumer.poll(200).values():
                assert {record.key for record in records} == {IDENTITY.key}
                found += [record.value for record in records]
        return found
    finally:
        consumer.close()


class Rig:
    """An outbox on disk and a sink that runs."""

    def __init__(self, folder: Path, settings: KafkaSettings) -> None:
        self.counters = Counters()
        clock = SystemClock()
        file = SpoolFile(folder / "spool.sqlite3", 16 << 20, sync="normal")
        self.outbox = Outbox(IDENTITY, file, clock, self.counters, ticks_per_message=1)
        self.sink = KafkaSink(
            settings, clock, self.counters, drain_messages_per_second_max=10_000.0
        )
        self.sink.attach(self.outbox)
        self.sink.start()
        self.written = 0

    def write(self, count: int) -> None:
        for _ in range(count):
            self.outbox.write([make_tick(self.written)])
            self.written += 1

    def is_empty(self) -> bool:
        return self.outbox.state().messages == 0


@contextmanager
def rig(folder: Path, settings: KafkaSettings) -> Iterator[Rig]:
    made = Rig(folder, settings)
    try:
        yield made
    finally:
        made.sink.close(timeout_s=1.0)
        made.outbox.close()


def settings_for(address: str, prefix: str) -> KafkaSettings:
    return KafkaSettings(kafka_bootstrap=address, kafka_topic_prefix=prefix)


def assert_all_arrived(address: str, settings: KafkaSettings, written: int) -> None:
    """Every tick is there; repeats are told by their numbers, and a backlog comes in any order."""
    payloads = consume(address, settings.topic(Stream.SAMPLES))
    seqs = [decode(payload).header.seq for payload in payloads]
    assert sorted(set(seqs)) == list(range(1, written + 1))
    assert {t for payload in payloads for t in times_in(payload)} == set(range(written))
