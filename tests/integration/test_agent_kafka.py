"""The agent's sink against a real broker that is late, away, deaf or particular."""

import gc
import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError

from agent.boards import in_process
from agent.counters import Counters
from agent.drafts import EventDraft
from agent.kafka import KafkaSink
from agent.observer import Plan
from agent.outbox import Outbox
from agent.run import Agent, Parts
from agent.spool_file import SpoolFile
from simulator.services import Service
from simulator.services.kafka import Kafka
from telemetry.clock import SystemClock
from telemetry.records import Dropped, Event, EventKind
from telemetry.stop import StopSignal
from telemetry.streams import KafkaSettings, Stream
from telemetry.wire import decode
from tests.fix_agent import (
    IDENTITY,
    START_US,
    ScriptedReader,
    make_tick,
    records_in,
    times_in,
)
from tests.fix_proxy import ProxiedBroker

# kafka-python 3.0.12 leaves sockets of failed connections to the collector of garbage.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def sockets_left_by_the_client() -> Iterator[None]:
    level = logging.getLogger("kafka").level
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # kept log entries keep the sockets too
    yield
    logging.getLogger("kafka").setLevel(level)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
        gc.collect()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


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
    """Every tick is there; repeats are told by their numbers, and the first come in order."""
    payloads = consume(address, settings.topic(Stream.SAMPLES))
    seqs = [decode(payload).header.seq for payload in payloads]
    assert sorted(set(seqs)) == list(range(1, written + 1))
    first = list(dict.fromkeys(seqs))
    assert first == sorted(first)
    assert {t for payload in payloads for t in times_in(payload)} == set(range(written))


def test_a_broker_that_comes_late_gets_everything_in_order(
    proxied_broker: ProxiedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    settings = settings_for(proxied_broker.proxy.address, topic_prefix)
    make_topics(proxied_broker.proxy.address, settings)
    proxied_broker.proxy.cut()
    with rig(tmp_path, settings) as bench:
        bench.write(50)
        until(lambda: bench.counters["kafka_failures"] > 0)
        bench.write(50)
        assert bench.outbox.state().messages == 100
        proxied_broker.proxy.heal()
        until(bench.is_empty)
    assert_all_arrived(proxied_broker.proxy.address, settings, 100)


def test_confirmations_that_never_come_lose_nothing(
    proxied_broker: ProxiedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    settings = settings_for(proxied_broker.proxy.address, topic_prefix)
    make_topics(proxied_broker.proxy.address, settings)
    with rig(tmp_path, settings) as bench:
        bench.write(5)
        until(bench.is_empty)
        for _ in range(3):
            proxied_broker.proxy.mute()
            bench.write(20)
            time.sleep(0.3)
            proxied_broker.proxy.cut()
            bench.write(20)
            proxied_broker.proxy.heal()
            until(bench.is_empty)
        written = bench.written
    assert_all_arrived(proxied_broker.proxy.address, settings, written)


def test_an_agent_that_ends_during_an_outage_leaves_its_messages_for_the_next(
    proxied_broker: ProxiedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    settings = settings_for(proxied_broker.proxy.address, topic_prefix)
    make_topics(proxied_broker.proxy.address, settings)
    proxied_broker.proxy.cut()
    with rig(tmp_path, settings) as bench:
        bench.write(30)
    proxied_broker.proxy.heal()
    with rig(tmp_path, settings) as bench:
        until(bench.is_empty)
    assert_all_arrived(proxied_broker.proxy.address, settings, 30)


def test_a_topic_that_is_missing_is_named_and_waited_for(
    private_broker: Service,
    topic_prefix: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if not isinstance(private_broker, Kafka):
        pytest.skip("this broker makes any topic that it is asked about")
    settings = settings_for(private_broker.address, topic_prefix)
    with rig(tmp_path, settings) as bench:
        bench.write(10)
        until(lambda: bench.counters["kafka_failures"] > 0)
        assert f"topic {topic_prefix}.samples cannot be written" in caplog.text
        make_topics(private_broker.address, settings)
        until(bench.is_empty)
    assert_all_arrived(private_broker.address, settings, 10)


def test_a_message_that_the_broker_finds_too_large_does_not_hold_up_the_others(
    private_broker: Service, topic_prefix: str, tmp_path: Path
) -> None:
    if not isinstance(private_broker, Kafka):
        pytest.skip("this broker takes messages of any size")
    settings = settings_for(private_broker.address, topic_prefix)
    make_topics(private_broker.address, settings, **{"max.message.bytes": "4000"})
    with rig(tmp_path, settings) as bench:
        bench.write(3)
        bench.outbox.write([make_tick(3, gpus=200)])
        bench.written += 1
        bench.write(3)
        until(bench.is_empty)
        assert bench.counters["messages_dropped_too_large"] == 1
    payloads = consume(private_broker.address, settings.topic(Stream.SAMPLES))
    assert {t for payload in payloads for t in times_in(payload)} == {0, 1, 2, 4, 5, 6}
    dropped = [
        record
        for payload in consume(private_broker.address, settings.topic(Stream.EVENTS))
        for record in records_in(payload)
    ]
    assert [(d.first_seq, d.last_seq, d.reason) for d in dropped if isinstance(d, Dropped)] == [
        (4, 4, "too_large")
    ]


def test_a_broker_that_dies_and_comes_back_is_found_again(
    private_broker: Service, topic_prefix: str, tmp_path: Path
) -> None:
    if not isinstance(private_broker, Kafka):
        pytest.skip("this broker forgets its topics, and asked by two at once makes one twice")
    settings = settings_for(private_broker.address, topic_prefix)
    make_topics(private_broker.address, settings)
    with rig(tmp_path, settings) as bench:
        bench.write(5)
        until(bench.is_empty)
        private_broker.kill()
        bench.write(20)
        private_broker.start()
        until(bench.is_empty)
    seqs = {
        decode(payload).header.seq
        for payload in consume(private_broker.address, settings.topic(Stream.SAMPLES))
    }
    assert seqs >= set(range(6, 26))


def test_a_whole_agent_starts_reports_and_stops(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = settings_for(broker, topic_prefix)
    make_topics(broker, settings)
    clock, counters, reader = SystemClock(), Counters(), ScriptedReader()
    outbox = Outbox(
        IDENTITY, SpoolFile(tmp_path / "s", 1 << 20), clock, counters, ticks_per_message=5
    )
    agent = Agent(
        Plan(agent_version="1", sample_interval_s=0.05),
        Parts(in_process(reader, clock, counters), outbox, KafkaSink(settings, clock, counters)),
        clock,
        counters,
        read_deadline_s=5.0,
        queue_interval_s=10.0,
    )
    stop = StopSignal()
    thread = threading.Thread(target=agent.run, args=(stop,))
    thread.start()
    until(lambda: counters["ticks"] >= 12)
    reader.events = [Event(time_us=START_US, kind=EventKind.XID, code=79)]
    until(lambda: not reader.events)
    until(lambda: counters["ticks"] >= 20)
    stop.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    kinds = [
        record.kind
        for payload in consume(broker, settings.topic(Stream.EVENTS))
        for record in records_in(payload)
        if isinstance(record, Event)
    ]
    assert kinds == [EventKind.AGENT_START, EventKind.XID, EventKind.AGENT_STOP]
    messages = [decode(p) for p in consume(broker, settings.topic(Stream.SAMPLES))]
    assert [m.header.seq for m in messages] == list(range(1, len(messages) + 1))
    assert counters["ticks_dropped"] == 0


def test_events_leave_at_once(broker: str, topic_prefix: str, tmp_path: Path) -> None:
    settings = settings_for(broker, topic_prefix)
    make_topics(broker, settings)
    with rig(tmp_path, settings) as bench:
        bench.outbox.write([EventDraft([Event(time_us=START_US, kind=EventKind.XID, code=48)])])
        until(bench.is_empty)
    (payload,) = consume(broker, settings.topic(Stream.EVENTS))
    assert [record.code for record in records_in(payload) if isinstance(record, Event)] == [48]
