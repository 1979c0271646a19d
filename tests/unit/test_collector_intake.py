"""Judging one record: each kind of damage has its own reason, and whose it is stays known."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.consumer import Partition, Received
from collector.intake import Events, Queues, Rejected, Samples, Window, Windows, open_record
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from telemetry.records import Dropped, Event, EventKind, QueueSnapshot
from telemetry.streams import Stream
from tests.fix_collector import NOW_US, FakeHost, S

WINDOWS = Windows(Window.around(NOW_US, 7, 300), Window.around(NOW_US, 400, 300))
DAY_US = 86_400 * S


def judge(value: bytes, stream: Stream = Stream.SAMPLES) -> Samples | Events | Queues | Rejected:
    received = Received(Partition(f"t.{stream}", 0), stream, 5, b"key", value)
    return open_record(received, WINDOWS)


def reason(value: bytes, stream: Stream = Stream.SAMPLES) -> str:
    outcome = judge(value, stream)
    assert isinstance(outcome, Rejected)
    return outcome.reason


def event(time_us: int) -> Event:
    return Event(time_us=time_us, kind=EventKind.XID, code=79)


def test_good_messages_are_opened() -> None:
    host = FakeHost()
    assert isinstance(judge(host.samples([NOW_US])), Samples)
    assert isinstance(judge(host.events(event(NOW_US)), Stream.EVENTS), Events)
    snapshot = QueueSnapshot(time_us=NOW_US, source="vllm", queue="chat")
    assert isinstance(judge(host.queues(snapshot), Stream.QUEUES), Queues)


def test_a_samples_message_belongs_to_the_group_of_its_metrics() -> None:
    fast, slow = judge(FakeHost().samples([NOW_US])), None
    slow = judge(FakeHost().samples([NOW_US], group=Group.SLOW))
    assert isinstance(fast, Samples)
    assert isinstance(slow, Samples)
    assert (fast.group, slow.group) == (Group.FAST, Group.SLOW)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", "empty"),
        (b"FGAU", "truncated"),
        (b'{"json": true, "but": "not ours"}', "magic"),
        (FakeHost().samples([NOW_US])[:-1], "length"),
        (bytes(2 << 20), "oversized"),
    ],
)
def test_bytes_that_are_no_message_have_no_sender(value: bytes, expected: str) -> None:
    outcome = judge(value)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.header) == (expected, None)


def test_f23_an_unknown_version_is_refused() -> None:
    value = bytearray(FakeHost().samples([NOW_US]))
    value[4] = 99
    assert reason(bytes(value)) == "version"


def test_a_message_in_the_wrong_topic_is_refused_and_its_sender_known() -> None:
    outcome = judge(FakeHost().events(event(NOW_US)), Stream.SAMPLES)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "wrong_topic"
    assert outcome.header is not None
    assert outcome.header.host == "node-1"


def test_numbers_start_at_one() -> None:
    assert reason(FakeHost().samples([NOW_US], seq=0)) == "sequence"


def test_groups_are_not_mixed() -> None:
    metrics = (CATALOGUE.group(Group.FAST)[0], CATALOGUE.group(Group.SLOW)[0])
    assert reason(FakeHost().samples([NOW_US], metrics=metrics)) == "metric_groups"


@pytest.mark.parametrize(
    ("offset_us", "expected"),
    [(-401 * DAY_US, "too_old"), (301 * S, "in_future"), (-NOW_US, "too_old")],
)
def test_event_times_are_judged(offset_us: int, expected: str) -> None:
    records = (event(NOW_US), event(NOW_US + offset_us))
    assert reason(FakeHost().events(*records), Stream.EVENTS) == expected


@pytest.mark.parametrize("offset_us", [-400 * DAY_US, 0, 300 * S])
def test_the_window_includes_its_ends(offset_us: int) -> None:
    value = FakeHost().events(event(NOW_US + offset_us))
    assert isinstance(judge(value, Stream.EVENTS), Events)


def test_a_drop_names_a_stream_that_exists() -> None:
    drop = Dropped(
        time_us=NOW_US, stream="sample", boot_epoch=1, first_seq=1, last_seq=2, reason="full"
    )
    assert reason(FakeHost().events(drop), Stream.EVENTS) == "stream"


def test_a_batch_that_could_not_be_read_keeps_its_reason() -> None:
    received = Received(Partition("t.samples", 0), Stream.SAMPLES, 5, None, b"x", "zstd: too much")
    outcome = open_record(received, WINDOWS)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.detail) == ("unreadable_batch", "zstd: too much")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_change_of_bytes_escapes_as_an_error(data: st.DataObject) -> None:
    host = FakeHost()
    stream, value = data.draw(
        st.sampled_from(
            [
                (Stream.SAMPLES, host.samples([NOW_US])),
                (Stream.EVENTS, host.events(event(NOW_US))),
                (Stream.QUEUES, host.queues(QueueSnapshot(time_us=NOW_US, source="a", queue="b"))),
            ]
        )
    )
    changed = bytearray(value)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    judge(bytes(changed[: data.draw(st.integers(0, len(changed)))]), stream)


def test_absurd_sizes_in_the_prefix_allocate_nothing() -> None:
    value = struct.pack("<4sBBHI", b"FGAU", 1, 1, 65_535, 4_294_967_295) + b"x"
    assert reason(value) == "length"
