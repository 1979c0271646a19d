"""The sink sends from the spool, in order, and forgets only what the broker has."""

import logging
from collections.abc import Callable
from random import Random

import pytest
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    TopicAuthorizationFailedError,
)

from agent.counters import Counters
from agent.delivery import IN_FLIGHT_MAX, PAUSE_MAX_S, Pause
from agent.drafts import EventDraft
from agent.kafka import KafkaSink
from agent.kafka_connection import RENEW_AFTER_S
from agent.outbox import Outbox
from telemetry.records import Dropped, Event, EventKind
from telemetry.streams import KafkaSettings, Stream
from tests.fix_agent import (
    IDENTITY,
    START_US,
    FakeProducer,
    HandClock,
    make_tick,
    records_in,
    times_in,
)


class Bench:
    """A sink with one outbox in memory and a broker in the test's hand."""

    def __init__(
        self,
        clock: HandClock,
        drain: float = 1000.0,
        in_flight: int = 4 << 20,
        why_shut: Callable[[KafkaSettings], str] = lambda _settings: "",
    ) -> None:
        self.clock = clock
        self.counters = Counters()
        self.producers: list[FakeProducer] = []
        self.reachable = True
        self.connect_error: Exception | None = None
        self.outbox = Outbox(IDENTITY, None, clock, self.counters, ticks_per_message=1)
        self.sink = KafkaSink(
            KafkaSettings(),
            clock,
            self.counters,
            in_flight_bytes_max=in_flight,
            drain_messages_per_second_max=drain,
            connect=self._connect,
            answers=lambda _bootstrap: self.reachable,
            why_shut=why_shut,
            random=Random(1),
        )
        self.sink.attach(self.outbox)

    def _connect(self) -> FakeProducer:
        if self.connect_error is not None:
            raise self.connect_error
        self.producers.append(FakeProducer())
        return self.producers[-1]

    @property
    def broker(self) -> FakeProducer:
        return self.producers[-1]

    def write(self, first: int, count: int = 1) -> None:
        for number in range(first, first + count):
            self.outbox.write([make_tick(number)])

    def step(self, seconds: float = 1.0) -> None:
        self.clock.pass_s(seconds)
        self.sink.step()

    def ticks_taken(self) -> list[int]:
        return [
            time
            for producer in self.producers
            for topic, payload in producer.taken
            if topic.endswith("samples")
            for time in times_in(payload)
        ]


@pytest.fixture
def bench(hand_clock: HandClock) -> Bench:
    return Bench(hand_clock)


def test_messages_go_in_order_and_stay_until_confirmed(bench: Bench) -> None:
    bench.write(0, 3)
    bench.step()
    assert bench.outbox.state().messages == 3
    assert bench.broker.keys == {b"acme/memphis/host-1"}
    bench.broker.confirm_all()
    bench.step()
    assert bench.ticks_taken() == [0, 1, 2]
    assert bench.outbox.state().messages == 0
    assert bench.counters["messages_sent"] == 3


def test_nothing_is_connected_before_there_is_something_to_send(bench: Bench) -> None:
    bench.step()
    bench.step()
    assert len(bench.producers) == 1  # `attach` looks once
    bench.step()
    assert bench.broker.waiting == []


def test_a_failed_message_is_sent_again_before_the_ones_behind_it(bench: Bench) -> None:
    bench.write(0, 3)
    bench.step()
    (_, _, first), second, third = bench.broker.waiting
    bench.broker.waiting = []
    first.fail(KafkaTimeoutError("no answer"))
    bench.write(3, 1)
    bench.step(60)
    assert bench.broker.waiting == []  # two are still under way
    second[2].succeed()
    third[2].fail(KafkaTimeoutError("no answer"))
    bench.step(60)
    bench.step(60)
    assert [times_in(payload) for _, payload, _ in bench.broker.waiting] == [[0], [2], [3]]


def test_failures_pause_longer_and_longer(hand_clock: HandClock) -> None:
    pause = Pause(Random(3))
    now_s, gaps = 0.0, []
    for _ in range(12):
        pause.failed(now_s)
        before = now_s
        while not pause.over(now_s):
            now_s += 0.01
        gaps.append(now_s - before)
    assert gaps[0] <= 0.51
    assert all(PAUSE_MAX_S / 2 <= gap <= PAUSE_MAX_S + 0.02 for gap in gaps[8:])


def test_failures_of_one_attempt_count_once() -> None:
    pause = Pause(Random(1))
    for _ in range(50):
        pause.failed(0.0)
    assert pause.over(0.51)


def test_one_missing_topic_does_not_hold_up_the_others(bench: Bench) -> None:
    bench.write(0, 2)
    bench.outbox.write([EventDraft([Event(time_us=START_US, kind=EventKind.XID)])])
    bench.step()
    events = [entry for entry in bench.broker.waiting if entry[0].endswith("events")]
    events[0][2].fail(KafkaError("unknown topic"))
    bench.broker.waiting = [e for e in bench.broker.waiting if e[0].endswith("samples")]
    bench.broker.confirm_all()
    bench.write(2, 1)
    bench.step(0.01)
    bench.broker.confirm_all()
    assert bench.ticks_taken() == [0, 1, 2]


def test_what_cannot_even_be_handed_over_is_tried_again(bench: Bench) -> None:
    bench.step()
    bench.broker.error = KafkaTimeoutError("no metadata")
    bench.write(0, 3)
    bench.step()
    bench.step()
    bench.broker.error = None
    bench.step(60)
    bench.broker.confirm_all()
    assert bench.ticks_taken() == [0, 1, 2]


def test_f18_a_message_that_is_too_large_is_tried_alone_then_in_parts_and_set_aside(
    bench: Bench,
) -> None:
    bench.write(0, 3)
    bench.step()
    too_large = MessageSizeTooLargeError("too large")
    bench.broker.fail_all(too_large)  # one of the batch was meant; which one is not said
    for _ in range(40):
        bench.step()
        for topic, payload, future in bench.broker.waiting:
            if topic.endswith("samples") and times_in(payload) == [1]:
                future.fail(too_large)
            else:
                bench.broker.taken.append((topic, payload))
                future.succeed()
        bench.broker.waiting = []
    assert bench.ticks_taken() == [0, 2]
    told = [
        record
        for topic, payload in bench.broker.taken
        if topic.endswith("events")
        for record in records_in(payload)
    ]
    # Its two boards by themselves were too large as well.
    assert [(d.first_seq, d.last_seq, d.reason) for d in told if isinstance(d, Dropped)] == [
        (2, 2, "split"), (4, 4, "too_large"), (5, 5, "too_large"),
    ]  # fmt: skip
    assert bench.outbox.state().messages == 0


def test_f19_a_backlog_leaves_at_its_rate_and_events_do_not_wait(hand_clock: HandClock) -> None:
    bench = Bench(hand_clock, drain=2.0)
    bench.write(0, 100)
    bench.outbox.write(
        [EventDraft([Event(time_us=START_US, kind=EventKind.XID)]) for _ in range(10)]
    )
    for _ in range(11):
        bench.step(1.0)
        bench.broker.confirm_all()
    assert len([t for t, _ in bench.broker.taken if t.endswith("events")]) == 10
    assert 20 <= len(bench.ticks_taken()) <= 26


def test_f19_what_is_read_now_does_not_wait_behind_a_backlog(hand_clock: HandClock) -> None:
    bench = Bench(hand_clock, drain=2.0)
    bench.write(0, 100)
    for live in range(100, 110):
        bench.write(live)
        bench.step(1.0)
        bench.broker.confirm_all()
        assert live in bench.ticks_taken()
    while bench.outbox.state().messages:
        bench.step(1.0)
        bench.broker.confirm_all()
    assert sorted(bench.ticks_taken()) == list(range(110))


def test_f19_two_hundred_agents_that_come_back_at_once_stay_within_their_rate(
    hand_clock: HandClock,
) -> None:
    hosts = [Bench(hand_clock, drain=2.0) for _ in range(200)]
    for host in hosts:
        host.write(0, 30)
    for second in range(5):
        hand_clock.pass_s(1.0)
        for host in hosts:
            host.write(30 + second)
            host.sink.step()
            host.broker.confirm_all()
    hand_clock.pass_s(0.1)
    for host in hosts:
        host.sink.step()
        ticks = host.ticks_taken()
        assert set(range(31, 35)) <= set(ticks)
        assert len(ticks) <= 5 + 4 + 2 * 6


def test_f15_what_is_in_flight_is_bounded_by_number_and_bytes(hand_clock: HandClock) -> None:
    bench = Bench(hand_clock)
    bench.write(0, 100)
    for _ in range(5):
        bench.step()
    assert len(bench.broker.waiting) <= IN_FLIGHT_MAX
    small = Bench(hand_clock, in_flight=1)
    small.write(0, 100)
    for _ in range(50):
        small.step()
    first = len(small.broker.waiting)
    assert first < 10
    small.broker.confirm_all()
    small.step()
    assert small.broker.waiting


def test_trouble_is_said_once_and_its_end_too(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench.write(0)
    bench.step()
    bench.reachable = False
    for _ in range(10):
        bench.broker.fail_all(KafkaTimeoutError("no answer"))
        bench.step(60)
    bench.broker.confirm_all()
    bench.step()
    assert [record.message for record in caplog.records] == [
        "Kafka at 127.0.0.1:9092 does not answer; everything is kept until it does",
        "Kafka takes messages again: broker",
    ]


def test_f17_a_forbidden_topic_is_named_and_tried_rarely(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.write(0)
    bench.step()
    bench.broker.fail_all(TopicAuthorizationFailedError("fleetgauge.samples"))
    bench.step(0.01)
    bench.step(29)
    assert bench.broker.waiting == []
    bench.step(17)
    assert bench.broker.waiting
    assert "write to fleetgauge.samples" in caplog.text


def test_f17_a_client_that_is_sent_away_knocks_again_after_half_a_minute(
    hand_clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    reason = "Kafka at kafka:9093 and user a do not agree"
    bench = Bench(hand_clock, why_shut=lambda _settings: reason)
    bench.write(0)
    bench.step()
    bench.broker.error = KafkaTimeoutError("Failed to update metadata after 1.0 secs.")
    bench.broker.fail_all(KafkaTimeoutError("Failed to update metadata after 1.0 secs."))
    bench.step(1)
    bench.step(1)
    # kafka-python would knock every two seconds by itself, so it is closed meanwhile.
    assert bench.broker.closed
    for _ in range(28):
        bench.step(1)
    assert len(bench.producers) == 1
    bench.step(17)
    bench.step(1)
    assert len(bench.producers) == 2
    assert bench.outbox.state().messages == 1
    bench.broker.confirm_all()
    bench.step(0.1)
    assert bench.ticks_taken() == [0]
    assert caplog.text.count(reason) == 1


def test_a_client_that_cannot_be_made_is_tried_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.connect_error = FileNotFoundError(2, "No such file", "ca.pem")
    bench.write(0)
    for _ in range(5):
        bench.step()
    bench.connect_error = None
    bench.step(60)
    bench.broker.confirm_all()
    assert bench.ticks_taken() == [0]
    assert len([r for r in caplog.records if "ca.pem" in r.message]) == 1


def test_a_client_without_success_is_made_anew(bench: Bench) -> None:
    bench.write(0)
    bench.step()
    bench.broker.fail_all(NotLeaderForPartitionError("expired certificate"))
    bench.broker.error = KafkaTimeoutError("no metadata")
    old = bench.broker
    for _ in range(int(RENEW_AFTER_S) + 60):
        bench.step()
    assert old.closed
    bench.step(60)
    bench.broker.confirm_all()
    assert bench.ticks_taken() == [0]


def test_a_thread_sends_and_closing_leaves_the_rest_in_the_spool(hand_clock: HandClock) -> None:
    bench = Bench(hand_clock)
    bench.sink.start()
    bench.write(0, 3)
    bench.sink.close(timeout_s=0.1)
    assert bench.outbox.state().messages == 3
    assert [slot.seq for slot, _ in bench.outbox.pending(Stream.SAMPLES, 9)] == [1, 2, 3]


def test_f15_a_client_that_cannot_close_in_time_does_not_keep_the_agent_from_ending(
    hand_clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(*, timeout: float) -> None:
        raise KafkaTimeoutError("Timeout waiting for future")

    bench = Bench(hand_clock)
    bench.write(0, 2)
    bench.sink.step()
    monkeypatch.setattr(bench.producers[-1], "close", close)
    bench.sink.close(timeout_s=0.1)
    assert bench.outbox.state().messages == 2
