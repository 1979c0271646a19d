"""The way to the broker: bounded, counted, and honest about what was not delivered."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from simulator import sender as sender_module
from simulator.sender import IN_FLIGHT_MAX, KafkaSender
from simulator.voice import Outgoing, Voice
from telemetry.errors import RetryableError
from telemetry.stop import StopSignal
from telemetry.streams import KafkaSettings, Stream


class FakeFuture:
    """What a producer gives for a message; the test decides how it ends."""

    def __init__(self) -> None:
        self.succeed: Callable[[object], None] = lambda _metadata: None
        self.fail: Callable[[BaseException], None] = lambda _error: None

    def add_callback(self, callback: Callable[[object], None]) -> None:
        self.succeed = callback

    def add_errback(self, callback: Callable[[BaseException], None]) -> None:
        self.fail = callback


class FakeProducer:
    """A producer whose broker and topics come when the test says so."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, FakeFuture]] = []
        self.asked = 0
        self.topics_after = 0
        self.refusal: Exception | None = None
        self.closed = False

    def partitions_for(self, _topic: str) -> set[int] | None:
        self.asked += 1
        if self.asked <= self.topics_after:
            raise KafkaTimeoutError("no metadata")
        return {0}

    def send(self, topic: str, *, key: bytes, value: bytes) -> FakeFuture:
        if self.refusal is not None:
            raise self.refusal
        future = FakeFuture()
        self.sent.append((topic, key, future))
        return future

    def close(self, timeout: float) -> None:
        self.closed = timeout >= 0


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> FakeProducer:
    made = FakeProducer()
    monkeypatch.setattr(sender_module, "_producer", lambda _settings: made)
    monkeypatch.setattr(sender_module, "RETRY_S", 0.0)
    return made


@pytest.fixture
def voice() -> Voice:
    return Voice("t", "f", "h", boot_epoch=1)


def make(stop: StopSignal | None = None) -> KafkaSender:
    return KafkaSender(KafkaSettings(kafka_topic_prefix="p"), stop or StopSignal())


def message(voice: Voice, seq: int = 1) -> Outgoing:
    return Outgoing(Stream.SAMPLES, voice, seq, b"value")


def test_messages_go_to_their_topic_under_their_hosts_key(
    producer: FakeProducer, voice: Voice
) -> None:
    make().send(message(voice))
    assert [(topic, key) for topic, key, _ in producer.sent] == [("p.samples", b"t/f/h")]


def test_only_what_the_broker_acknowledged_is_confirmed(
    producer: FakeProducer, voice: Voice
) -> None:
    sender = make()
    for seq in (1, 2, 3):
        sender.send(message(voice, seq))
    producer.sent[0][2].succeed(None)
    assert (sender.sent, sender.confirmed, sender.unconfirmed) == (3, 1, 2)
    assert not sender.wait_confirmed(0.01)
    producer.sent[1][2].succeed(None)
    producer.sent[2][2].fail(KafkaTimeoutError("gone"))
    assert sender.wait_confirmed(0.01)
    assert sender.failed == 1


def test_what_is_given_up_is_told_to_its_host(producer: FakeProducer, voice: Voice) -> None:
    sender = make()
    sender.send(message(voice, 7))
    producer.sent[0][2].fail(KafkaTimeoutError("gone"))
    assert voice.undelivered == [(Stream.SAMPLES, 7)]


def test_a_refused_message_is_counted_and_does_not_raise(
    producer: FakeProducer, voice: Voice
) -> None:
    sender = make()
    producer.refusal = MessageSizeTooLargeError("too large")
    sender.send(message(voice, 9))
    assert (sender.failed, sender.unconfirmed) == (1, 0)
    assert voice.undelivered == [(Stream.SAMPLES, 9)]


def test_the_generator_waits_while_too_much_is_on_its_way(
    producer: FakeProducer, voice: Voice
) -> None:
    sender = make()
    for seq in range(IN_FLIGHT_MAX):
        sender.send(message(voice, seq))
    extra = threading.Thread(target=sender.send, args=(message(voice, 9999),), daemon=True)
    extra.start()
    extra.join(0.1)
    assert extra.is_alive()
    assert len(producer.sent) == IN_FLIGHT_MAX
    producer.sent[0][2].succeed(None)
    extra.join(5)
    assert len(producer.sent) == IN_FLIGHT_MAX + 1


def test_missing_topics_are_waited_for_and_said_once(
    producer: FakeProducer, voice: Voice, caplog: pytest.LogCaptureFixture
) -> None:
    producer.topics_after = 5
    make().send(message(voice))
    assert producer.sent
    assert [record.message for record in caplog.records] == ["waiting for broker at 127.0.0.1:9092"]


def test_stopping_ends_the_wait_for_a_missing_broker(
    producer: FakeProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, looks = StopSignal(), list[Any]()

    def absent(_settings: KafkaSettings) -> FakeProducer:
        looks.append(None)
        if len(looks) == 3:
            stop.set()
        raise KafkaTimeoutError("nobody there")

    monkeypatch.setattr(sender_module, "_producer", absent)
    with pytest.raises(RetryableError, match="stopped while waiting for broker"):
        make(stop)
