"""A Kafka client that never fetches a partition again: it is noticed, and nothing of it is felt."""

import threading

import pytest
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher

from collector import status, watch
from collector.database import connect
from telemetry.streams import Stream
from tests.fix_collector import FakeHost
from tests.fix_pipe import PARTITIONS, Pipe, now_us

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("sockets_left_by_the_client"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
HOSTS, MESSAGES = 6, 3


class Stall:
    """From `begin` on, the client that fetches next leaves partitions alone, and no other does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._left_alone: set[TopicPartition] = set()
        self._sick: Fetcher | None = None
        self._begins = threading.Event()
        real = Fetcher._fetchable_partitions

        def fetchable(fetcher: Fetcher) -> list[TopicPartition]:
            found = real(fetcher)
            if self._sick is None and self._begins.is_set():
                self._sick = fetcher
            return [tp for tp in found if fetcher is not self._sick or tp not in self._left_alone]

        monkeypatch.setattr(Fetcher, "_fetchable_partitions", fetchable)

    def begin(self, *partitions: TopicPartition) -> None:
        self._left_alone |= set(partitions)
        self._begins.set()


@pytest.mark.parametrize("stalled", [1, PARTITIONS])
def test_what_a_client_does_not_fetch_is_stored_once_by_the_next(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stalled: int
) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.2)
    stall = Stall(monkeypatch)
    hosts = [FakeHost(f"node-{n}") for n in range(HOSTS)]
    pipe.start()
    for host in hosts:
        pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.wait_for(pipe.rows(), 2 * HOSTS)
    topic = f"{pipe.prefix}.{Stream.SAMPLES}"
    stall.begin(*[TopicPartition(topic, n) for n in range(stalled)])
    for _ in range(MESSAGES):
        for host in hosts:
            pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.wait_for(pipe.rows(), 2 * HOSTS * (1 + MESSAGES))
    pipe.wait_for("select fetch_stalls from collectors", 1)
    pipe.wait_for("select waiting_for from collectors", None)
    assert pipe.one("select sum(stored_messages) from host_marks") == HOSTS * (1 + MESSAGES)
    assert pipe.one("select sum(repeated_messages) from host_marks") == 0
    assert pipe.one("select count(*) from sequence_gaps") == 0
    assert f"{topic} partition 0" in caplog.text
    assert "the client stands still at offset" in caplog.text
    with connect(pipe.url, "test", 30) as connection:
        said = "\n".join(status.describe(status.read(connection)))
    assert "fetch stalls: 1" in said
