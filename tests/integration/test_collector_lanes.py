"""After an outage: live messages are stored at once, what was left behind beside them, all once."""

import threading
from typing import Any

import psycopg
import pytest
from kafka import KafkaAdminClient, TopicPartition

from collector import status
from collector.backlog import BacklogReader
from collector.catch_up import CatchUp
from collector.database import connect
from telemetry.streams import Stream
from tests.fix_collector import FakeHost
from tests.fix_pipe import PARTITIONS, Pipe, now_us

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("sockets_left_by_the_client"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

LEFT = (
    "select coalesce(sum(upper(span) - lower(span)), 0)"
    " from stream_offsets cross join lateral unnest(backlog) as span"
)
HOSTS, WAITING = 6, 20
CLAIMED = f"select count(*) = {3 * PARTITIONS} from stream_offsets"


class Gate:
    """Lets the second reader store so many batches of one poll each, and no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open = threading.Semaphore(0)
        self.is_off = False
        real = CatchUp._gather

        def gather(catch_up: CatchUp, reader: BacklogReader, claims: Any) -> Any:
            if self.is_off:
                return real(catch_up, reader, claims)
            if not self._open.acquire(blocking=False):
                return []
            records = reader.poll(claims, 1.0)
            if not records:
                self._open.release()
            return records

        monkeypatch.setattr(CatchUp, "_gather", gather)

    def let(self, batches: int) -> None:
        for _ in range(batches):
            self._open.release()


def split(pipe: Pipe) -> int:
    """Start a collector and return how many messages it has left behind.

    All that wait, but the in-memory broker says that its log ends before the last ones.
    """
    pipe.start(backlog_split_messages=1)
    pipe.wait_for(f"select ({LEFT}) > 0", expected=True)
    pipe.wait_for(f"select 2 * ({HOSTS * (WAITING + 1)} - ({LEFT})) - count(*) from samples", 0)
    return int(pipe.one(LEFT))


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@pytest.fixture
def hosts(pipe: Pipe) -> list[FakeHost]:
    """Hosts that were met before the outage, and whose messages wait since it began."""
    met = [FakeHost(f"node-{n}") for n in range(HOSTS)]
    for host in met:
        pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.start()
    pipe.wait_for(pipe.rows(), 2 * HOSTS)
    pipe.stop_all()
    for host in met:
        pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(WAITING)])
    return met


def all_is_stored_once(pipe: Pipe, hosts: list[FakeHost], messages: int) -> None:
    pipe.wait_for(pipe.rows(), 2 * len(hosts) * messages)
    pipe.wait_for(LEFT, 0)
    assert pipe.one("select sum(stored_messages) from host_marks") == len(hosts) * messages
    assert pipe.one("select count(*) from sequence_gaps") == 0
    assert pipe.one("select sum(sample_rows) from facility_rollup_10s") == pipe.one(pipe.rows())


def test_f35_live_messages_do_not_wait_for_the_backlog(
    pipe: Pipe, hosts: list[FakeHost], gate: Gate
) -> None:
    left = split(pipe)
    for host in hosts:
        pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.wait_for(pipe.rows(), 2 * (HOSTS * (WAITING + 2) - left))
    assert pipe.one(LEFT) == left
    newest = "select max(s.seq) = min(s.seq) and max(s.seq) = %d from host_state s"
    pipe.wait_for(newest % (WAITING + 2), expected=True)
    assert pipe.one("select count(*) > 0 from sequence_gaps")
    assert pipe.one("select count(*) from lost_ranges") == 0
    with connect(pipe.url, "test", 30) as connection:
        said = "\n".join(status.describe(status.read(connection)))
    assert f"{left} messages left behind" in said
    gate.is_off = True
    all_is_stored_once(pipe, hosts, WAITING + 2)
    assert pipe.one("select sum(repeated_messages) from host_marks") == 0
    pipe.wait_for(newest % (WAITING + 2), expected=True)  # no older message has taken its place
    pipe.wait_for("select sum(value::int) from collectors, jsonb_each_text(backlog)", 0)


def test_f24_both_lanes_go_on_where_they_stood_after_a_restart_and_a_second_outage(
    pipe: Pipe, hosts: list[FakeHost], gate: Gate
) -> None:
    left = split(pipe)
    for host in hosts:
        pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    gate.let(1)
    pipe.wait_for(f"select ({LEFT}) between 1 and {left - 1}", expected=True)
    pipe.wait_for(f"select 2 * ({HOSTS * (WAITING + 2)} - ({LEFT})) - count(*) from samples", 0)
    pipe.stop_all()
    for host in hosts:
        pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(5)])
    pipe.start(backlog_split_messages=1)
    spans = "select max((select count(*) from unnest(backlog))) from stream_offsets"
    pipe.wait_for(spans, 2)  # the live messages between the outages are stored
    gate.is_off = True
    all_is_stored_once(pipe, hosts, WAITING + 7)
    assert pipe.one("select sum(repeated_messages) from host_marks") == 0


def test_f26_both_lanes_go_with_a_partition_to_another_collector(
    pipe: Pipe, hosts: list[FakeHost], gate: Gate
) -> None:
    first = pipe.start(backlog_split_messages=1)
    pipe.wait_for(f"select ({LEFT}) > 0", expected=True)
    pipe.start(backlog_split_messages=1)
    pipe.wait_for("select count(*) = 2 and bool_and(lag <> '{}') from collectors", expected=True)
    first.set()
    gate.is_off = True
    for host in hosts:
        pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    all_is_stored_once(pipe, hosts, WAITING + 2)


def test_f28_an_offset_set_back_into_the_backlog_is_read_again_and_nothing_is_twice(
    pipe: Pipe, hosts: list[FakeHost], gate: Gate
) -> None:
    left = split(pipe)
    gate.let(1)
    pipe.wait_for(f"select ({LEFT}) < {left}", expected=True)
    with psycopg.connect(pipe.url) as connection:
        connection.execute("update stream_offsets set next_offset = greatest(0, next_offset - 7)")
    gate.is_off = True
    all_is_stored_once(pipe, hosts, WAITING + 1)


def test_f21_a_bad_message_in_the_backlog_costs_only_itself(
    pipe: Pipe, hosts: list[FakeHost]
) -> None:
    pipe.send(Stream.SAMPLES, hosts[0], b"nonsense")
    pipe.send(Stream.SAMPLES, hosts[0], hosts[0].samples([now_us()]))
    pipe.start(backlog_split_messages=1)
    pipe.wait_for(pipe.rows(), 2 * HOSTS * (WAITING + 1) + 2)
    pipe.wait_for(LEFT, 0)
    assert pipe.one("select count(*) from quarantine") == 1
    assert pipe.one("select count(*) from lane_starts") == 0


def test_f27_a_backlog_that_the_broker_deletes_unread_is_a_lost_range(
    pipe: Pipe, hosts: list[FakeHost], gate: Gate
) -> None:
    split(pipe)
    assert pipe.one("select count(*) from lost_ranges") == 0
    with psycopg.connect(pipe.url) as connection:
        topic, number, first = connection.execute(
            "select topic, partition, lower(backlog) from stream_offsets where backlog <> '{}'"
            " order by partition limit 1"
        ).fetchone() or ("", 0, 0)
    admin = KafkaAdminClient(bootstrap_servers=pipe.bootstrap)
    try:
        admin.delete_records({TopicPartition(topic, number): first + 4})
    except Exception as error:  # noqa: BLE001 - the in-memory broker has no such request
        pytest.skip(f"this broker deletes no records: {error!r}")
    finally:
        admin.close()
    gate.is_off = True
    pipe.wait_for(LEFT, 0)
    pipe.wait_for(pipe.rows(), 2 * (HOSTS * (WAITING + 1) - 4))
    lost = "select array[first_offset, last_offset] from lost_ranges"
    assert pipe.one(lost) == [first, first + 3]
