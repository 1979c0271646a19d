"""The whole collector in a thread, between a real broker and a real database."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from kafka import KafkaAdminClient, KafkaProducer

from collector.run import Collector
from collector.settings import CollectorSettings, MigrateSettings
from collector.topics import ensure_topics
from telemetry.clock import SystemClock
from telemetry.stop import StopSignal
from telemetry.streams import Stream
from tests.fix_collector import FakeHost

PATIENCE_S = 60.0
PARTITIONS = 2


class Pipe:
    """A topic prefix, a database, and collectors that a test starts and stops."""

    def __init__(self, bootstrap: str, prefix: str, url: str) -> None:
        self.url = url
        self.common: dict[str, Any] = {"kafka_bootstrap": bootstrap, "kafka_topic_prefix": prefix}
        self.bootstrap = bootstrap
        self.prefix = prefix
        self._running: list[tuple[StopSignal, threading.Thread]] = []
        self._failures: list[BaseException] = []

    def make_topics(self) -> None:
        ensure_topics(MigrateSettings(**self.common, topic_partitions=PARTITIONS))

    def delete_topic(self, stream: Stream) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        admin.delete_topics([f"{self.prefix}.{stream}"])
        admin.close()

    def start(self, url: str | None = None, **settings: Any) -> StopSignal:
        chosen = CollectorSettings(
            **self.common,
            **settings,
            database_url=url or self.url,
            collector_group=f"group-{self.prefix}",
            collector_instance=f"c{len(self._running)}",
        )
        stop = StopSignal()
        thread = threading.Thread(target=self._run, args=(chosen, stop), daemon=True)
        thread.start()
        self._running.append((stop, thread))
        return stop

    def _run(self, settings: CollectorSettings, stop: StopSignal) -> None:
        try:
            Collector(settings, SystemClock(), stop).run()
        except BaseException as error:  # noqa: BLE001 - told to the test at its end
            self._failures.append(error)

    def stop_all(self) -> None:
        for stop, _ in self._running:
            stop.set()
        for _, thread in self._running:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        self._running.clear()
        assert self._failures == []

    def send(self, stream: Stream, host: FakeHost, *values: bytes, **options: Any) -> None:
        options = {"enable_idempotence": False, "acks": "all", "linger_ms": 5} | options
        producer = KafkaProducer(bootstrap_servers=self.bootstrap, **options)
        topic = f"{self.prefix}.{stream}"
        futures = [producer.send(topic, key=host.key, value=value) for value in values]
        for future in futures:
            future.get(timeout=20)
        producer.close(timeout=5)

    def one(self, query: str) -> Any:
        with psycopg.connect(self.url) as connection:
            row = connection.execute(query).fetchone()
        return row[0] if row else None

    def wait_for(self, query: str, expected: Any) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (got := self.one(query)) != expected and time.monotonic() < deadline:
            time.sleep(0.1)
        assert got == expected

    def rows(self) -> str:
        return "select count(*) from samples"


def now_us() -> int:
    return SystemClock().now_us()


@pytest.fixture
def pipe(broker: str, topic_prefix: str, collector_url: str) -> Iterator[Pipe]:
    made = Pipe(broker, topic_prefix, collector_url)
    made.make_topics()
    yield made
    made.stop_all()
