"""The services that other tests stand on keep their promises when started, killed and left."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from simulator.services import Service
from simulator.services.broker import Broker, answers
from simulator.services.installed import installed
from simulator.services.place import ServiceError
from simulator.services.postgres import Cluster, Postgres
from simulator.services.process import Command, run
from tests.fix_services import DatabaseServer

OWNER = """
import time
from pathlib import Path
from simulator.services.broker import Broker
from simulator.services.postgres import Postgres

folder = Path({folder!r})
with Postgres(folder, durable=False) as database, Broker(folder / "broker") as broker:
    print(database.pid, broker.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    # NOTE: not tmp_path: as root, pytest closes its folders to the user that postgres runs as.
    with tempfile.TemporaryDirectory(prefix="fleetgauge-test-") as name:
        yield Path(name)


def test_database_keeps_committed_rows_over_kill_and_restart(private_database: Cluster) -> None:
    address = private_database.address
    with psycopg.connect(address) as connection:
        connection.execute("create table kept as select generate_series(1, 1000) as number")
    family = _family(private_database)
    private_database.kill()
    assert private_database.pid is None
    assert not any(_alive(process) for process in family)
    private_database.start()
    assert private_database.address == address
    with psycopg.connect(address) as connection:
        assert connection.execute("select sum(number) from kept").fetchone() == (500_500,)


def test_stop_leaves_no_process_though_clients_are_connected(private_database: Cluster) -> None:
    with contextlib.closing(psycopg.connect(private_database.address)):
        family = _family(private_database)
        assert len(family) > 3
        private_database.stop()
        assert not any(_alive(process) for process in family)


def test_database_folder_outlives_the_service_object(folder: Path) -> None:
    with Postgres(folder, durable=False) as first, psycopg.connect(first.address) as connection:
        connection.execute("create table kept (number int)")
    with Postgres(folder, durable=False) as second, psycopg.connect(second.address) as connection:
        assert connection.execute("select count(*) from kept").fetchone() == (0,)


def test_database_half_made_is_made_again(folder: Path) -> None:
    (folder / "data.new").mkdir()
    (folder / "data.new" / "PG_VERSION").write_text("18\n")
    with Postgres(folder, durable=False) as service, psycopg.connect(service.address) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_database_wants_its_password(private_database: Cluster) -> None:
    head, _, tail = private_database.address.rpartition("@")
    without = f"{head.rpartition(':')[0]}:wrong@{tail}"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(without)


def test_made_databases_are_apart_and_copies_hold_the_template(
    make_database: Callable[..., str],
) -> None:
    template = make_database()
    with psycopg.connect(template) as connection:
        connection.execute("create table model (number int)")
    copy, empty = make_database(template), make_database()
    with psycopg.connect(copy) as connection:
        connection.execute("insert into model values (1)")
    with psycopg.connect(empty) as connection:
        found = connection.execute("select to_regclass('model')").fetchone()
        assert found == (None,)


def test_timescale_databases_have_the_extension(
    database_server: DatabaseServer, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute(
            "select count(*) from pg_extension where extname = 'timescaledb'"
        ).fetchone()
    assert row == (1 if database_server.tier.startswith("timescale") else 0,)


@pytest.mark.slow
def test_pglite_has_the_timescale_licensed_sql(pglite_url: str) -> None:
    with psycopg.connect(pglite_url, autocommit=True) as connection:
        connection.execute("create extension if not exists timescaledb")
        row = connection.execute("select current_setting('timescaledb.license')").fetchone()
    assert row == ("timescale",)


def test_broker_passes_messages_on(broker: str, topic_prefix: str) -> None:
    _make_topic(broker, topic_prefix)
    _produce(broker, topic_prefix, b"one", b"two")
    assert _consume(broker, topic_prefix, 2) == [b"one", b"two"]


def test_killed_broker_comes_back_at_its_address(private_broker: Service) -> None:
    pid = private_broker.pid
    assert pid is not None
    private_broker.kill()
    assert private_broker.pid is None
    assert not psutil.pid_exists(pid)
    host, _, port = private_broker.address.rpartition(":")
    assert not answers(host, int(port))
    private_broker.start()
    _make_topic(private_broker.address, "again")
    _produce(private_broker.address, "again", b"x")


@pytest.mark.slow
def test_kafka_keeps_its_log_over_kill_and_restart(private_broker: Service) -> None:
    if isinstance(private_broker, Broker):
        pytest.skip("the in-memory broker promises no log; FLEETGAUGE_TEST_SERVICES=all has Kafka")
    _make_topic(private_broker.address, "kept")
    _produce(private_broker.address, "kept", b"one", b"two")
    private_broker.kill()
    private_broker.start()
    assert _consume(private_broker.address, "kept", 2) == [b"one", b"two"]


@pytest.mark.slow
def test_services_die_with_an_owner_that_is_killed(folder: Path) -> None:
    code = OWNER.format(folder=str(folder))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        services = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
        services += services[0].children(recursive=True)
        assert len(services) > 4
        owner.send_signal(signal.SIGKILL)
    # A second owner finds the folder closed down, or waits until it is.
    with Postgres(folder, durable=False):
        pass
    _wait_until(lambda: not any(_alive(process) for process in services))


def test_services_outlive_the_thread_that_started_them() -> None:
    broker = Broker()
    thread = threading.Thread(target=broker.start)
    thread.start()
    thread.join()
    time.sleep(0.3)  # a parent-death signal tied to that thread would have arrived by now
    assert broker.pid is not None
    broker.stop()


def test_services_are_out_of_the_terminals_reach() -> None:
    with Broker() as broker:
        assert broker.pid is not None
        assert os.getsid(broker.pid) != os.getsid(0)


def test_service_in_use_is_not_started_twice() -> None:
    with Broker() as broker, pytest.raises(ServiceError, match="already running as process"):
        broker.start()


def test_start_that_is_interrupted_leaves_no_process(folder: Path) -> None:
    class Interrupted(Broker):
        def interrupt(self, pid: int) -> bool:
            raise KeyboardInterrupt

        def start(self) -> None:
            command = Command(["/bin/sleep", "60"], folder / "log")
            self._launch(command, self.interrupt, 10)

    before = psutil.Process().children(recursive=True)
    with pytest.raises(KeyboardInterrupt):
        Interrupted().start()
    assert set(psutil.Process().children(recursive=True)) <= set(before)


def test_start_that_fails_says_what_the_service_said(folder: Path) -> None:
    service = Postgres(folder, durable=False, parameters={"no_such_setting": "1"})
    with pytest.raises(ServiceError, match=r'(?s)exited with 1 .*"no_such_setting"'):
        service.start()
    assert service.pid is None


def test_failed_command_shows_its_last_words(tmp_path: Path) -> None:
    command = Command(["/bin/sh", "-c", "echo no room left; exit 3"], tmp_path / "log")
    with pytest.raises(ServiceError, match=r"exited with 3:\nno room left"):
        run(command, 10)


def test_missing_installation_names_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ServiceError, match=r"\.ci/services"):
        installed("kafka", "complete")


def _make_topic(bootstrap: str, topic: str) -> None:
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.create_topics([NewTopic(topic, 1, 1)])


def _produce(bootstrap: str, topic: str, *values: bytes) -> None:
    with contextlib.closing(KafkaProducer(bootstrap_servers=bootstrap)) as producer:
        for value in values:
            producer.send(topic, value).get(20)


def _consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    with contextlib.closing(consumer):
        partitions = [
            TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)
        ]
        consumer.assign(partitions)
        return [next(consumer).value for _ in range(count)]


def _family(service: Service) -> list[psutil.Process]:
    assert service.pid is not None
    parent = psutil.Process(service.pid)
    return [parent, *parent.children(recursive=True)]


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _wait_until(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
