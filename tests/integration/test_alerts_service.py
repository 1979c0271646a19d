"""The program itself, as processes: killed, stopped, doubled, cut off."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alerts.database import Connection, connect
from simulator.services.postgres import Cluster
from tests.fix_alerts import Ledger, TestClock, apply_schema
from tests.fix_receiver import Receiver

ROOT = Path(__file__).parent.parent.parent
LOST = 2


class WallClock(TestClock):
    """The test's ledger in real time: the program under test has a clock of its own."""

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)


class Fleet:
    """A ledger that keeps everything well but for what a test breaks."""

    def __init__(self, url: str, hosts: int = 2) -> None:
        self.connection: Connection = connect(url, "test fleet")
        self.ledger = Ledger(self.connection, WallClock())
        for number in range(hosts):
            self.ledger.host("east", f"e{number}", gpus=8)
        self.stored()

    def stored(self, lost: int = 0) -> None:
        """What a collector's commit looks like, with the first `lost` accelerators lost."""
        with self.connection.transaction():
            self.ledger.collector()
            for host in self.ledger.hosts:
                mine = min(8, lost)
                lost -= mine
                status = [LOST] * mine + [0] * (8 - mine)
                self.ledger.state(host, reader_status_code=status)
            self.connection.execute("select pg_notify('fleetgauge_stored', '{}')")

    def rows(self, query: str) -> list[dict[str, Any]]:
        return self.connection.execute(query.encode()).fetchall()

    def wait_until(self, query: str, timeout_s: float = 30.0, **stored: int) -> None:
        """Store on until a query returns a row."""
        deadline = time.monotonic() + timeout_s
        while not self.rows(query):
            assert time.monotonic() < deadline, query
            self.stored(**stored)
            time.sleep(0.1)


@pytest.fixture
def fleet(alerts_url: str) -> Iterator[Fleet]:
    fleet = Fleet(alerts_url)
    yield fleet
    fleet.connection.close()


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(alerts_url: str, tmp_path: Path) -> Iterator[Start]:
    """Start the program on this test's database; whatever happens, it ends with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def run(url: str = alerts_url, **settings: object) -> subprocess.Popen[bytes]:
        merged = {
            "database_url": url, "webhook_allow_networks": "127.0.0.0/8", "lease_s": 3,
            **settings,
        }  # fmt: skip
        flags = [f"--{key.replace('_', '-')}={value}" for key, value in merged.items()]
        log = (tmp_path / f"alerts-{len(running)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", "fleetgauge", "alerts", *flags],
            cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "PYTHONWARNINGS": "default"},
        )  # fmt: skip
        log.close()
        running.append(process)
        return process

    yield run
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait(10)


ACTIVE = "select 1 from alert_evaluators where active"


def holder(fleet: Fleet) -> int:
    """Process id of whoever holds the lease."""
    return int(fleet.rows("select holder from alert_lease")[0]["holder"].split(":")[1])


def firing(fleet: Fleet, rule: str = "gpu_lost") -> int:
    query = f"select count(*) as n from alerts where rule = '{rule}' and state = 'firing'"
    return int(fleet.rows(query)[0]["n"])


def told(receiver: Receiver) -> list[tuple[str, str]]:
    return [(notice["rule"], notice["kind"]) for notice in receiver.notices()]


def test_what_lands_is_told_as_it_lands(fleet: Fleet, start: Start, receiver: Receiver) -> None:
    process = start(webhook_url=receiver.url, evaluate_interval_s=300)
    fleet.wait_until(ACTIVE)
    time.sleep(0.5)
    with fleet.connection.transaction():
        fleet.ledger.event("e1", "xid", gpu=3, code=79)
        fleet.connection.execute("select pg_notify('fleetgauge_stored', '{}')")
    notice = receiver.wait_for(1)[0]
    assert notice["rule"] == "fatal_xid"
    assert "e1 GPU 3: Xid 79" in notice["summary"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert fleet.rows("select 1 from alert_lease where expires_at > now()") == []


@pytest.mark.slow
def test_f47_what_fires_survives_a_kill_without_being_told_again(
    fleet: Fleet, start: Start, receiver: Receiver
) -> None:
    process = start(webhook_url=receiver.url)
    fleet.wait_until("select 1 from outbox where state = 'sent'", lost=12)
    process.kill()
    process.wait(10)
    start(webhook_url=receiver.url)
    fleet.wait_until("select 1 from alert_lease where token > 1", lost=12)
    for _ in range(20):
        fleet.stored(lost=12)
        time.sleep(0.1)
    assert firing(fleet) == 12
    assert told(receiver) == [("gpu_lost", "opened")]
    fleet.connection.execute(
        "update alerts set calm_since = now() - interval '10 minutes', "
        "firings = '{}' where state = 'firing'"
    )
    fleet.wait_until("select 1 from incidents where state = 'resolved' and told_resolved")
    receiver.wait_for(2)
    assert told(receiver) == [("gpu_lost", "opened"), ("gpu_lost", "resolved")]


@pytest.mark.slow
def test_f43_a_standby_takes_over_from_one_that_stands_still_which_then_writes_nothing(
    fleet: Fleet, start: Start, receiver: Receiver
) -> None:
    processes = [start(webhook_url=receiver.url) for _ in range(2)]
    fleet.wait_until(ACTIVE)
    first = holder(fleet)
    os.kill(first, signal.SIGSTOP)
    (second,) = (process.pid for process in processes if process.pid != first)
    fleet.wait_until(f"select 1 from alert_lease where holder like '%:{second}:%'", lost=5)
    fleet.wait_until("select 1 from outbox where state = 'sent'", lost=5)
    token = fleet.rows("select token from alert_lease")[0]["token"]
    os.kill(first, signal.SIGCONT)
    for _ in range(30):
        fleet.stored(lost=5)
        time.sleep(0.1)
    # The one that woke up stands by: the lease never moved, and nobody was told twice.
    assert holder(fleet) == second
    assert fleet.rows("select token from alert_lease")[0]["token"] == token
    assert told(receiver) == [("gpu_lost", "opened")]
    assert all(process.poll() is None for process in processes)


@pytest.mark.slow
def test_f42_the_heartbeat_stops_when_ingest_does_and_comes_back_with_it(
    fleet: Fleet, start: Start, make_receiver: Callable[[], Receiver]
) -> None:
    switch = make_receiver()
    start(heartbeat_url=switch.url, heartbeat_interval_s=1)
    fleet.wait_until("select 1 from alert_evaluators where heartbeat_at is not null")
    fleet.ledger.collector(reported_age_s=120)
    fleet.connection.execute("update alert_evaluators set unhealthy = null")
    deadline = time.monotonic() + 30
    while not fleet.rows("select 1 from alert_evaluators where unhealthy like '%collector%'"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    beats = len(switch.received)
    time.sleep(3)
    assert len(switch.received) == beats
    fleet.stored()
    switch.wait_for(beats + 1)


@pytest.mark.slow
def test_f42_the_heartbeat_stops_when_the_evaluator_stands_still(
    fleet: Fleet, start: Start, make_receiver: Callable[[], Receiver]
) -> None:
    switch = make_receiver()
    process = start(heartbeat_url=switch.url, heartbeat_interval_s=1)
    switch.wait_for(1)
    process.send_signal(signal.SIGSTOP)
    time.sleep(1)
    beats = len(switch.received)
    time.sleep(3)
    assert len(switch.received) == beats


@pytest.mark.slow
def test_a_database_that_goes_away_and_comes_back_is_waited_for(
    private_database: Cluster, start: Start, receiver: Receiver
) -> None:
    apply_schema(private_database.address, "postgres")
    fleet = Fleet(private_database.address)
    process = start(private_database.address, webhook_url=receiver.url)
    fleet.wait_until(ACTIVE)
    fleet.connection.close()
    private_database.kill()
    time.sleep(1)
    private_database.start()
    fleet.connection = fleet.ledger.connection = connect(private_database.address, "test")
    fleet.wait_until("select 1 from outbox where state = 'sent'", lost=3)
    assert told(receiver) == [("gpu_lost", "opened")]
    assert process.poll() is None
    fleet.connection.close()


def test_a_database_without_a_schema_is_waited_for(
    make_database: Callable[..., str], start: Start, tmp_path: Path
) -> None:
    process = start(make_database())
    log = tmp_path / "alerts-0.log"
    deadline = time.monotonic() + 30
    while "fleetgauge migrate" not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def ask(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fleetgauge", "alerts", *words, "--database-url", url],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_wrong_setting_stops_the_start_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "alerts.toml"
    path.write_text('lease_s = 1\n[receivers.x]\nkind = "pigeon"\n')
    done = ask("", "--config", str(path))
    assert done.returncode == 2
    assert "lease_s" in done.stderr
    assert "pigeon" in done.stderr


def test_a_person_lists_acknowledges_and_silences(fleet: Fleet, alerts_url: str) -> None:
    assert "nothing is wrong" in ask(alerts_url, "list").stdout
    fleet.connection.execute(
        "insert into incidents (incident_id, rule, group_key, title, severity, state, summary, "
        "firing_count, alerts_count, muted_count, flapping, opened_at, updated_at) "
        "values (7, 'thermal', 'g', 't', 'warning', 'firing', 'too \x1b[2J hot', 1, 1, 0, false, "
        "now(), now())"
    )
    fleet.connection.execute(
        "insert into alerts (rule, key, incident_id, severity, state, summary, action, "
        "started_at, pending_since, updated_at) "
        "values ('thermal', 'k', 7, 'warning', 'firing', 's', 'a', now(), now(), now())"
    )
    listed = ask(alerts_url, "list").stdout
    assert "#7 warning firing" in listed
    assert "\x1b" not in listed
    done = ask(alerts_url, "acknowledge", "--incident", "7", "--author", "ann")
    assert done.returncode == 0
    assert fleet.rows("select state, acknowledged_by from alerts") == [
        {"state": "acknowledged", "acknowledged_by": "ann"}
    ]
    assert ask(alerts_url, "acknowledge", "--incident", "8", "--author", "ann").returncode == 1
    assert ask(alerts_url, "acknowledge", "--incident", "7").returncode == 2
    why = ("--author", "ann", "--comment", "works", "--hours", "2")
    assert ask(alerts_url, "silence", "--host", "e1", *why).returncode == 0
    assert ask(alerts_url, "silence", "--host", "nowhere", *why).returncode == 1
    assert ask(alerts_url, "silence", *why).returncode == 2
    silences = fleet.rows("select host_id, author, rule from silences")
    assert silences == [{"host_id": fleet.ledger.hosts["e1"], "author": "ann", "rule": None}]


def test_rules_can_be_checked_without_a_database(tmp_path: Path) -> None:
    (tmp_path / "wrong.sql").write_text("select 1")
    done = ask("", "check", "--rules-folder", str(tmp_path))
    assert done.returncode == 1
    assert "BROKEN" in done.stdout
    assert ask("", "check").returncode == 0


def test_a_log_line_is_json_where_nobody_watches(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    start()
    fleet.wait_until("select 1 from outbox where state = 'sent'", lost=1)
    lines = [json.loads(line) for line in (tmp_path / "alerts-0.log").read_text().splitlines()]
    assert any("no longer answers its driver" in line["message"] for line in lines)


def test_a_thread_that_breaks_ends_the_program_loudly(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    process = start()
    fleet.wait_until(ACTIVE)
    # No database error that waiting would cure: what the sender claims has lost a column.
    fleet.connection.execute("alter table outbox rename column body to text")
    assert process.wait(30) == 1
    assert "a thread broke" in (tmp_path / "alerts-0.log").read_text()
