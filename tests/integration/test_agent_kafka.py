"""The agent's sink against a real broker that is late, away, deaf or particular."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.boards import in_process
from agent.counters import Counters
from agent.delivery import IN_FLIGHT_MAX
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
from telemetry.streams import Stream
from telemetry.wire import decode
from tests.fix_agent import (
    IDENTITY,
    START_US,
    ScriptedReader,
    make_tick,
    records_in,
    times_in,
)
from tests.fix_agent_kafka import (
    PATIENCE_S,
    assert_all_arrived,
    consume,
    make_topics,
    rig,
    settings_for,
)
from tests.fix_proxy import ProxiedBroker
from tests.waiting import until

# kafka-python 3.0.12 leaves sockets of failed connections to the collector of garbage.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.usefixtures("sockets_left_by_the_client"),
]


def test_f13_a_broker_that_comes_late_gets_everything(
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


def test_f14_confirmations_that_never_come_lose_nothing(
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


def test_f15_a_broker_that_is_deaf_stopped_or_slow_costs_neither_time_nor_memory(
    proxied_broker: ProxiedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    settings = settings_for(proxied_broker.proxy.address, topic_prefix)
    make_topics(proxied_broker.proxy.address, settings)
    pid = proxied_broker.service.pid
    assert pid is not None
    troubles: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "connections stay open and nothing passes": (
            proxied_broker.proxy.stall,
            proxied_broker.proxy.heal,
        ),
        "the process is stopped": (
            lambda: os.kill(pid, signal.SIGSTOP),
            lambda: os.kill(pid, signal.SIGCONT),
        ),
        "a kilobyte a second": (
            lambda: proxied_broker.proxy.throttle(1000.0),
            proxied_broker.proxy.heal,
        ),
    }
    with rig(tmp_path, settings) as bench:
        bench.write(5)
        until(bench.is_empty)
        for begin, end in troubles.values():
            begin()
            try:
                bench.write(100)  # returns: whoever reads is not held up
                until(lambda: any(route.lane.in_flight for route in bench.sink._routes))
                lanes = [route.lane for route in bench.sink._routes]
                assert sum(len(lane.in_flight) for lane in lanes) <= IN_FLIGHT_MAX
                assert bench.outbox.state().messages >= 100 - IN_FLIGHT_MAX
            finally:
                end()
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


def test_f16_a_topic_that_is_missing_is_named_and_waited_for(
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


def test_f18_a_message_that_the_broker_finds_too_large_arrives_in_parts(
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
        assert bench.counters["messages_split"] >= 1
    payloads = consume(private_broker.address, settings.topic(Stream.SAMPLES))
    assert {t for payload in payloads for t in times_in(payload)} == set(range(7))
    dropped = [
        record
        for payload in consume(private_broker.address, settings.topic(Stream.EVENTS))
        for record in records_in(payload)
    ]
    told = [(d.first_seq, d.reason) for d in dropped if isinstance(d, Dropped)]
    assert told[0] == (4, "split")
    assert {reason for _, reason in told} == {"split"}


def test_f14_a_broker_that_dies_and_comes_back_is_found_again(
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
