"""The collector's process, in a real group before a real database, killed or stopped at the worst
moments: around a commit, inside a transaction, behind a lock, at the end of a disk.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from collector import migrate
from collector.database import connect
from simulator.services.postgres import Cluster, Postgres
from telemetry.streams import Stream
from tests.fix_collector import FakeHost
from tests.fix_pipe import PARTITIONS, Pipe, now_us
from tests.fix_proxy import Proxy
from tests.torture.programs import FLEETGAUGE, Program
from tests.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("sockets_left_by_the_client"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.timeout(300),
]

CLAIMED = f"select count(*) = {3 * PARTITIONS} from stream_offsets"
REPEATED = "select coalesce(sum(repeated_messages), 0) from host_marks"
EPOCH = "select max(owner_epoch) from stream_offsets"
SESSION_TIMEOUT_MS = 3000
COLLECTOR_MEBIBYTES_MAX = 512


@pytest.fixture
def make_program(pipe: Pipe, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Make collectors that are processes of their own, not started yet."""
    made: list[Program] = []

    def make(url: str) -> Program:
        name = f"collector-{len(made)}"
        environment = {
            "FLEETGAUGE_DATABASE_URL": url,
            "FLEETGAUGE_KAFKA_BOOTSTRAP": pipe.bootstrap,
            "FLEETGAUGE_KAFKA_TOPIC_PREFIX": pipe.prefix,
            "FLEETGAUGE_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
            "FLEETGAUGE_COLLECTOR_GROUP": f"group-{pipe.prefix}",
        }
        made.append(Program(name, [FLEETGAUGE, "collector"], tmp_path / name, environment))
        return made[-1]

    yield make
    for program in made:
        program.kill()


def test_f24_killed_right_after_the_commit_nothing_is_lost_or_even_read_again(
    pipe: Pipe, proxy_to: Callable[[str], Proxy], make_program: Callable[..., Program]
) -> None:
    proxy = proxy_to(pipe.url)
    program = make_program(proxy.url(pipe.url))
    host = FakeHost()
    for round_ in range(3):
        program.start()
        pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
        pipe.wait_for(pipe.rows(), 4 * round_ + 2)  # it knows the host, so the next commit is rows
        proxy.cut_at(b"COMMIT", passes=True, act=program.kill)
        pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
        until(lambda: not program.is_started)
        assert pipe.one(pipe.rows()) == 4 * round_ + 4
    program.start()
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.wait_for(pipe.rows(), 14)
    assert pipe.one(REPEATED) == 0
    assert pipe.one("select stored_messages from host_marks") == 7


def test_f25_killed_right_before_the_commit_everything_is_read_again(
    pipe: Pipe, proxy_to: Callable[[str], Proxy], make_program: Callable[..., Program]
) -> None:
    proxy = proxy_to(pipe.url)
    program = make_program(proxy.url(pipe.url))
    host = FakeHost()
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    program.start()
    pipe.wait_for(pipe.rows(), 2)
    proxy.cut_at(b"COMMIT", passes=False, act=program.kill)
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    until(lambda: not program.is_started)
    assert pipe.one(pipe.rows()) == 2
    program.start()
    pipe.wait_for(pipe.rows(), 4)
    assert pipe.one("select stored_messages from host_marks") == 2


@pytest.mark.parametrize("passes", [True, False])
def test_f25_a_commit_whose_answer_is_lost_is_looked_up_and_not_guessed(
    pipe: Pipe, proxy_to: Callable[[str], Proxy], passes: bool
) -> None:
    proxy = proxy_to(pipe.url)
    host = FakeHost()
    pipe.start(proxy.url(pipe.url))
    for round_ in range(1, 5):
        pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
        pipe.wait_for(pipe.rows(), 4 * round_ - 2)
        proxy.cut_at(b"COMMIT", passes=passes)
        pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
        pipe.wait_for(pipe.rows(), 4 * round_)
        until(lambda: not proxy.is_trap_set)
    pipe.wait_for("select waiting_for from collectors", None)
    assert pipe.one("select stored_messages from host_marks") == 8
    assert pipe.one("select count(*) from sequence_gaps") == 0


def test_f26_one_that_stands_still_inside_a_transaction_is_taken_over_from(
    pipe: Pipe, make_program: Callable[..., Program]
) -> None:
    host = FakeHost()
    zombie = make_program(pipe.url)
    zombie.start()
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.wait_for(pipe.rows(), 2)
    with psycopg.connect(pipe.url) as lock:
        lock.execute("lock table host_state in access exclusive mode")
        pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
        waits = (
            "select count(*) > 0 from pg_stat_activity"
            " where application_name = 'fleetgauge collector' and wait_event_type = 'Lock'"
        )
        pipe.wait_for(waits, expected=True)
        zombie.freeze()  # it holds its offsets and marks, and says nothing any more
    before = pipe.one(EPOCH)
    make_program(pipe.url).start()
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.wait_for(pipe.rows(), 6)
    assert pipe.one(EPOCH) > before
    zombie.thaw()
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.wait_for(pipe.rows(), 8)
    assert pipe.one("select stored_messages from host_marks") == 4
    assert zombie.exit_code is None


def test_f27_an_offset_behind_the_end_of_the_log_is_said_and_read_from_the_start(
    pipe: Pipe, caplog: pytest.LogCaptureFixture
) -> None:
    host = FakeHost()
    pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(5)])
    pipe.start()
    pipe.wait_for(pipe.rows(), 10)
    pipe.stop_all()
    with psycopg.connect(pipe.url) as connection:
        connection.execute("update stream_offsets set next_offset = next_offset + 1000")
    pipe.start()
    pipe.wait_for("select max(next_offset) < 1000 from stream_offsets", expected=True)
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.wait_for(pipe.rows(), 12)
    assert "it was cut short" in caplog.text
    assert pipe.one("select count(*) from sequence_gaps") == 0


def test_f29_a_table_that_is_locked_is_waited_for_and_the_group_keeps_its_member(
    pipe: Pipe,
) -> None:
    host = FakeHost()
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.start(session_timeout_ms=SESSION_TIMEOUT_MS)
    pipe.wait_for(pipe.rows(), 2)
    epoch = pipe.one(EPOCH)
    with psycopg.connect(pipe.url) as lock:
        lock.execute("lock table samples in access exclusive mode")
        pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(20)])
        time.sleep(2.5 * SESSION_TIMEOUT_MS / 1000)  # long enough to be thrown out
    pipe.wait_for(pipe.rows(), 42)
    assert pipe.one(EPOCH) == epoch
    assert pipe.one(REPEATED) == 0


def test_f29_a_slow_way_to_the_database_costs_time_and_nothing_else(
    pipe: Pipe, proxy_to: Callable[[str], Proxy]
) -> None:
    proxy = proxy_to(pipe.url)
    host = FakeHost()
    pipe.start(proxy.url(pipe.url), session_timeout_ms=SESSION_TIMEOUT_MS)
    pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    pipe.wait_for(pipe.rows(), 2)
    epoch = pipe.one(EPOCH)
    proxy.delay(0.1)
    pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(10)])
    pipe.wait_for(pipe.rows(), 22)
    assert pipe.one(EPOCH) == epoch


def test_f35_a_backlog_is_shown_and_drained_in_bounded_memory(
    pipe: Pipe, proxy_to: Callable[[str], Proxy], make_program: Callable[..., Program]
) -> None:
    hosts = [FakeHost(f"node-{number}", gpus=8) for number in range(10)]
    messages, ticks = 60, 5
    for host in hosts:
        times = [[now_us() - tick for tick in range(ticks)] for _ in range(messages)]
        pipe.send(Stream.SAMPLES, host, *[host.samples(sorted(t)) for t in times])
    proxy = proxy_to(pipe.url)
    proxy.throttle(2e6)
    program = make_program(proxy.url(pipe.url))
    program.start()
    pipe.wait_for(CLAIMED, expected=True)
    lag = "select coalesce(sum(greatest(0, end_offset - next_offset)), 0) from stream_offsets"
    until(lambda: pipe.one(lag) > 0 or pipe.one(pipe.rows()) > 0)
    proxy.heal()
    pipe.wait_for(pipe.rows(), len(hosts) * messages * ticks * 8)
    pipe.wait_for(lag, 0)
    assert pipe.one("select sum(stored_messages) from host_marks") == len(hosts) * messages
    assert program.terminate() == 0
    assert program.peak_kibibytes < COLLECTOR_MEBIBYTES_MAX * 1024


# A database of its own, to be killed, filled or refused.


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Postgres(durable=False, parameters={"max_connections": "14"}) as service:
        yield service


@pytest.fixture
def own_pipe(broker: str, topic_prefix: str, cluster: Cluster) -> Iterator[Pipe]:
    with connect(cluster.address, "test", 60) as connection:
        migrate.migrate(connection)
    made = Pipe(broker, topic_prefix, cluster.address)
    made.make_topics()
    yield made
    made.stop_all()


def test_f28_a_database_that_is_killed_again_and_again_is_waited_for(
    own_pipe: Pipe, cluster: Cluster
) -> None:
    host = FakeHost()
    own_pipe.start()
    for round_ in range(1, 5):
        own_pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(5)])
        cluster.kill()
        cluster.start()
        own_pipe.wait_for(own_pipe.rows(), 10 * round_)
    own_pipe.wait_for("select waiting_for from collectors", None)
    assert own_pipe.one("select stored_messages from host_marks") == 20


def test_f28_a_copy_that_is_older_is_filled_from_the_log_by_itself(
    own_pipe: Pipe, cluster: Cluster
) -> None:
    host = FakeHost()
    own_pipe.start()
    own_pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(5)])
    own_pipe.wait_for(own_pipe.rows(), 10)
    cluster.pause()
    assert cluster.folder is not None
    data, backup = cluster.folder / "data", cluster.folder / "backup"
    subprocess.run(["cp", "-a", str(data), str(backup)], check=True)
    cluster.start()
    own_pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(5)])
    own_pipe.wait_for(own_pipe.rows(), 20)
    cluster.kill()
    shutil.rmtree(data)
    backup.rename(data)
    cluster.start()
    own_pipe.wait_for(own_pipe.rows(), 20)
    own_pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    own_pipe.wait_for(own_pipe.rows(), 22)
    assert own_pipe.one("select stored_messages from host_marks") == 11
    assert own_pipe.one("select sum(sample_rows) from facility_rollup_10s") == 22
    assert own_pipe.one("select count(*) from sequence_gaps") == 0


def test_f30_without_a_free_connection_it_waits_and_says_so(
    own_pipe: Pipe, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    host = FakeHost()
    own_pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(3)])
    with contextlib.ExitStack() as hogs:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                hogs.enter_context(psycopg.connect(cluster.address))
        own_pipe.start()
        until(lambda: "too many clients" in caplog.text)
    own_pipe.wait_for(own_pipe.rows(), 6)


def test_f30_a_database_that_is_read_only_is_waited_for_and_named(
    own_pipe: Pipe, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    host = FakeHost()
    own_pipe.start()
    own_pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    own_pipe.wait_for(own_pipe.rows(), 2)
    _set_read_only(cluster, "on")
    own_pipe.send(Stream.SAMPLES, host, *[host.samples([now_us()]) for _ in range(3)])
    until(lambda: "read-only transaction" in caplog.text)
    _set_read_only(cluster, "off")
    own_pipe.wait_for(own_pipe.rows(), 8)
    assert own_pipe.one("select count(*) from quarantine") == 0


def _set_read_only(cluster: Cluster, value: str) -> None:
    with psycopg.connect(cluster.address, autocommit=True) as connection:
        connection.execute("set default_transaction_read_only = off")
        connection.execute(f"alter system set default_transaction_read_only = {value}")
        connection.execute("select pg_reload_conf()")


@pytest.fixture
def small_disk(cluster: Cluster) -> Iterator[Path]:
    """A file system of 24 MiB with a tablespace, where new sample partitions go."""
    assert cluster.folder is not None
    folder = cluster.folder / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=777", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("a small file system can be mounted by root only")
    try:
        owner = (cluster.folder / "data").stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
        yield folder
    finally:
        cluster.pause()
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def test_f30_a_full_disk_is_waited_for_and_named_and_nothing_is_dropped(
    own_pipe: Pipe, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(own_pipe.url, autocommit=True) as connection:
        connection.execute(f"create tablespace small location '{small_disk}'")
        connection.execute("alter database postgres set default_tablespace = small")
    host = FakeHost(gpus=8)
    own_pipe.start()
    own_pipe.send(Stream.SAMPLES, host, host.samples([now_us()]))
    own_pipe.wait_for(own_pipe.rows(), 8)
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    ticks = [now_us() - tick for tick in range(500, 0, -1)]
    sent = [host.samples(ticks) for _ in range(4)]
    own_pipe.send(Stream.SAMPLES, host, *sent)
    until(lambda: "No space left on device" in caplog.text)
    filler.unlink()
    own_pipe.wait_for(own_pipe.rows(), 8 + 4 * 500 * 8)
    assert own_pipe.one("select count(*) from quarantine") == 0
    assert own_pipe.one("select stored_messages from host_marks") == 5
    own_pipe.stop_all()
