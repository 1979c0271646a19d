"""The whole collector between a real broker and a real database, while things go wrong."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from collector.writer import Writer
from simulator.services import Service
from telemetry.streams import Stream
from tests.fix_collector import FakeHost
from tests.fix_pipe import PARTITIONS, Pipe, now_us
from tests.fix_proxy import Proxy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("sockets_left_by_the_client"),
    # kafka-python 3.0.12 leaves sockets of failed connections to the collector of garbage.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


def test_messages_become_rows_and_a_restart_repeats_none(pipe: Pipe) -> None:
    hosts = [FakeHost(f"node-{n}") for n in range(5)]
    for host in hosts:
        pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(4)])
    pipe.start()
    pipe.wait_for(pipe.rows(), 40)
    assert pipe.one("select waiting_for from collectors") is None
    pipe.stop_all()
    assert pipe.one("select count(*) from collectors") == 0  # it took its row along
    for host in hosts:
        pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.start()
    pipe.wait_for(pipe.rows(), 50)
    pipe.stop_all()
    assert pipe.one("select sum(repeated_messages) from host_marks") == 0
    assert pipe.one("select sum(stored_messages) from host_marks") == 25
    assert pipe.one("select min(owner_epoch) from stream_offsets") == 2


def test_f24_what_the_group_believes_does_not_matter(pipe: Pipe, monkeypatch: Any) -> None:
    monkeypatch.setattr("collector.consumer.Consumer.tell_group", lambda *_: None)
    host = FakeHost()
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    for _ in range(2):
        pipe.start()
        pipe.wait_for("select count(*) from collectors", 1)
        pipe.wait_for(pipe.rows(), 2)
        pipe.stop_all()
    assert pipe.one("select repeated_messages from host_marks") == 0


def test_f28_a_database_set_back_is_filled_again_from_the_log(pipe: Pipe) -> None:
    host = FakeHost()
    pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(6)])
    pipe.start()
    pipe.wait_for(pipe.rows(), 12)
    pipe.stop_all()
    with psycopg.connect(pipe.url) as connection:  # as an older backup would have it
        for table in ("samples", "host_marks", "host_state", "facility_rollup_10s"):
            connection.execute(f"delete from {table}")
        connection.execute("update stream_offsets set next_offset = 0")
    pipe.start()
    pipe.wait_for(pipe.rows(), 12)


def test_f27_a_topic_made_again_is_a_new_log(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    host = FakeHost()
    pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(8)])
    pipe.start()
    pipe.wait_for(pipe.rows(), 16)
    pipe.delete_topic(Stream.SAMPLES)
    time.sleep(1)
    pipe.make_topics()
    pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(3)])
    retired = "select count(*) from stream_offsets where retired_at is not null"
    pipe.wait_for(retired, PARTITIONS)
    pipe.wait_for(pipe.rows(), 22)
    assert "made again" in caplog.text


def test_f22_a_bomb_between_good_messages_costs_only_itself(pipe: Pipe) -> None:
    host = FakeHost()
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    bomb = {"compression_type": "zstd", "max_request_size": 1 << 26, "batch_size": 1 << 26}
    pipe.send(Stream.SAMPLES, host, bytes(24 << 20), **bomb)
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.start()
    pipe.wait_for(pipe.rows(), 4)
    assert pipe.one("select reason from quarantine") == "unreadable_batch"


def test_f28_a_lost_database_is_waited_for_and_nothing_is_lost_or_twice(
    pipe: Pipe, proxy_to: Callable[[str], Proxy]
) -> None:
    proxy = proxy_to(pipe.url)
    host = FakeHost()
    pipe.start(proxy.url(pipe.url))
    for _ in range(4):
        pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(10)])
        proxy.cut()
        time.sleep(0.5)
        proxy.heal()
    pipe.wait_for(pipe.rows(), 80)
    pipe.wait_for("select waiting_for from collectors", None)
    assert pipe.one("select stored_messages from host_marks") == 40


@pytest.mark.parametrize("forgotten_at", ["the failure", "the claim"])
def test_f29_what_was_given_up_on_a_whole_connection_is_stored_by_either_forgetting_alone(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, forgotten_at: str
) -> None:
    other = {"the failure": "forget_what_others_change", "the claim": "forget"}[forgotten_at]
    monkeypatch.setattr(Writer, other, lambda _: None)
    host = FakeHost()
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.start()
    pipe.wait_for(pipe.rows(), 2)
    session = (
        "select pid from pg_stat_activity where datname = current_database()"
        " and application_name = 'fleetgauge collector'"
    )
    before = pipe.one(session)
    with psycopg.connect(pipe.url) as lock:
        lock.execute("lock table samples in access exclusive mode")
        pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
        pipe.wait_for(f"{session} and wait_event_type = 'Lock'", before)
        lock.execute("select pg_cancel_backend(%s)", [before])
        pipe.wait_for("select waiting_for like '%canceling%' from collectors", expected=True)
    pipe.wait_for(pipe.rows(), 4)
    assert pipe.one("select stored_messages from host_marks") == 2
    assert pipe.one(session) == before


def test_f26_two_collectors_share_and_one_takes_over(pipe: Pipe) -> None:
    hosts = [FakeHost(f"node-{n}") for n in range(12)]
    shared = "select count(*) = 2 and bool_and(lag <> '{}') from collectors"
    first = pipe.start()
    pipe.wait_for("select count(*) from stream_offsets", 3 * PARTITIONS)
    pipe.start()
    for round_ in range(1, 9):
        for host in hosts:
            pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
        if round_ == 4:
            # The in-memory broker never recovers from a member that leaves while another joins.
            pipe.wait_for(shared, expected=True)
            first.set()
    pipe.wait_for(pipe.rows(), 12 * 8 * 2)
    assert pipe.one("select sum(stored_messages) from host_marks") == 12 * 8
    assert pipe.one("select count(*) from sequence_gaps") == 0


def test_missing_topics_are_said_and_waited_for(
    broker: str, topic_prefix: str, collector_url: str
) -> None:
    pipe = Pipe(broker, topic_prefix, collector_url)
    pipe.start()
    said = "select count(*) from collectors where waiting_for like 'topics %migrate%'"
    pipe.wait_for(f"select ({said}) + (select count(*) from stream_offsets) > 0", expected=True)
    if pipe.one(said) == 0:
        pipe.stop_all()
        pytest.skip("this broker makes topics by itself, whatever it is asked")
    pipe.make_topics()
    host = FakeHost()
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.wait_for(pipe.rows(), 2)
    pipe.stop_all()


def test_a_missing_broker_is_said_and_waited_for(
    private_broker: Service, topic_prefix: str, collector_url: str
) -> None:
    private_broker.stop()
    pipe = Pipe(private_broker.address, topic_prefix, collector_url)
    pipe.start()
    pipe.wait_for("select waiting_for like 'the broker at %' from collectors", expected=True)
    private_broker.start()
    pipe.make_topics()
    host = FakeHost()
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.wait_for(pipe.rows(), 2)
    pipe.stop_all()


def test_a_broker_that_is_killed_and_comes_back_is_read_on(
    private_broker: Service, topic_prefix: str, collector_url: str
) -> None:
    pipe = Pipe(private_broker.address, topic_prefix, collector_url)
    pipe.make_topics()
    host = FakeHost()
    pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(3)])
    pipe.start()
    pipe.wait_for(pipe.rows(), 6)
    private_broker.kill()
    pipe.wait_for("select waiting_for is not null from collectors", expected=True)
    private_broker.start()
    pipe.make_topics()  # the in-memory broker has come back empty
    pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(3)])
    pipe.wait_for(pipe.rows(), 12)
    pipe.wait_for("select waiting_for from collectors", None)
    pipe.stop_all()


def test_f27_offsets_that_the_broker_deleted_are_written_down(pipe: Pipe) -> None:
    host = FakeHost()
    pipe.start()
    pipe.wait_for("select count(*) from stream_offsets", 3 * PARTITIONS)
    pipe.stop_all()
    pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(10)])
    admin = KafkaAdminClient(bootstrap_servers=pipe.bootstrap)
    topic = f"{pipe.prefix}.samples"
    partition = next(
        number
        for number in range(PARTITIONS)
        if _end_offset(pipe, TopicPartition(topic, number)) > 0
    )
    try:
        admin.delete_records({TopicPartition(topic, partition): 4})
    except Exception as error:  # noqa: BLE001 - the in-memory broker has no such request
        pytest.skip(f"this broker deletes no records: {error!r}")
    finally:
        admin.close()
    pipe.start()
    pipe.wait_for(pipe.rows(), 12)
    lost = "select array[first_offset, last_offset] from lost_ranges"
    assert pipe.one(lost) == [0, 3]
    assert pipe.one("select array[first_seq, last_seq] from sequence_gaps") == [1, 4]


def _end_offset(pipe: Pipe, partition: Any) -> int:
    consumer = KafkaConsumer(bootstrap_servers=pipe.bootstrap)
    with contextlib.closing(consumer):
        return int(consumer.end_offsets([partition])[partition])
