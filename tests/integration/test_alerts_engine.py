"""Whole passes on a real database: who explains whom, storms, flapping, mistakes, hand-over."""

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from alerts.engine import Engine
from alerts.lease import Lease, LeaseLost
from alerts.rules import load_rules
from alerts.settings import Receiver
from sql import queries
from tests.fix_alerts import Bench

LOST = 2


def fleet(bench: Bench, *, facilities: int = 1, hosts: int = 4, gpus: int = 2) -> None:
    for facility in range(facilities):
        for host in range(hosts):
            bench.ledger.host(f"f{facility}", f"f{facility}h{host}", gpus=gpus, rack=f"r{host}")
    bench.ledger.all_well()
    bench.run()


def kinds(bench: Bench) -> list[tuple[str, str, bool]]:
    return [(each["rule"], each["kind"], each["page"]) for each in bench.notices()]


# F41 ---------------------------------------------------------------------------------------------


def test_a_silent_facility_is_one_notice_and_not_one_a_host(bench: Bench) -> None:
    fleet(bench, facilities=2, hosts=20)
    for _ in range(30):
        bench.ledger.collector()
        for host in bench.ledger.hosts:
            if host.startswith("f1"):
                bench.ledger.state(host)
        bench.run(10)
    assert bench.states("facility_silent") == {"f0": "firing"}
    assert set(bench.states("host_silent").values()) == {"firing"}
    assert len(bench.states("host_silent")) == 20
    assert kinds(bench) == [("facility_silent", "opened", True)]
    muted = bench.rows("select count(*) as n from alerts where inhibited_by is not null")
    assert muted == [{"n": 20}]
    incident = bench.rows("select * from incidents where rule = 'host_silent'")[0]
    assert (incident["firing_count"], incident["muted_count"]) == (20, 20)
    assert incident["told_at"] is None


def test_a_stopped_collector_is_one_notice_about_the_pipeline(bench: Bench) -> None:
    fleet(bench, facilities=3, hosts=5)
    for _ in range(30):
        bench.run(10)
    assert kinds(bench) == [("pipeline_silent", "opened", True)]


def test_a_silent_host_explains_what_its_accelerators_said_before(bench: Bench) -> None:
    fleet(bench)
    bench.ledger.state("f0h0", temperature_margin_celsius=-1)
    bench.run(10)
    for _ in range(12):
        bench.ledger.collector()
        for host in ("f0h1", "f0h2", "f0h3"):
            bench.ledger.state(host)
        bench.run(10)
    rows = bench.rows("select rule, inhibited_by is not null as muted from alerts order by rule")
    assert {(row["rule"], row["muted"]) for row in rows} == {
        ("host_silent", False),
        ("thermal", True),
    }


# F50 ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_facility_that_loses_power_and_returns_rings_at_most_twice(bench: Bench) -> None:
    fleet(bench, facilities=4, hosts=25)
    away = [host for host in bench.ledger.hosts if host.startswith("f2")]
    for tick in range(180 + 60):
        bench.ledger.collector()
        for number, host in enumerate(bench.ledger.hosts):
            # Hosts come back one after the other, over two minutes.
            back = tick > 180 + number % 12
            if host not in away or back:
                bench.ledger.state(host)
        if tick == 185:
            # What was spooled arrives late: Xids of half an hour ago, of boards that are well.
            for host in away[:5]:
                bench.ledger.event(host, "xid", gpu=0, code=79, age_s=4000)
        bench.run(10)
    assert len(bench.pages()) <= 2
    assert bench.rows("select 1 from incidents where state <> 'resolved'") == []
    assert bench.rows("select 1 from alerts where rule = 'fatal_xid'") == []
    told = [(each["rule"], each["kind"]) for each in bench.notices()]
    assert ("facility_silent", "resolved") in told


# F45 ---------------------------------------------------------------------------------------------


def lose(bench: Bench, gpus: int) -> None:
    """Let the first boards of the fleet be lost, eight a host, in one statement."""
    bench.connection.execute(
        "update host_state set reader_status_code = array_fill(2::smallint, array[8]), "
        "received_at = %s, time = %s where host_id in "
        "(select host_id from host_state order by host_id limit %s)",
        (bench.clock.now, bench.clock.now, gpus // 8),
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ten_thousand_lost_accelerators_are_few_notices(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.connection.execute(
        """
        with f as (
            insert into facilities (tenant, facility)
            select 'lab', 'big' || n from generate_series(1, 4) n returning facility_id
        ),
        r as (
            insert into racks (facility_id, rack)
            select facility_id, 'r' || n from f, generate_series(1, 10) n
            returning rack_id, facility_id
        ),
        h as (
            insert into hosts (facility_id, rack_id, host)
            select facility_id, rack_id, 'h' || rack_id || '-' || n from r, generate_series(1, 50) n
            returning host_id
        ),
        a as (
            insert into accelerators (host_id, uuid, index, pci_address)
            select host_id, gen_random_uuid(), n, '0000:' || n from h, generate_series(0, 7) n
            returning host_id, gpu_id
        )
        insert into host_state
            (host_id, time, slow_time, received_at, boot_epoch, seq, gpu_ids, reader_status_code,
             temperature_margin_celsius, temperature_gpu_celsius)
        select host_id, %(now)s, %(now)s, %(now)s, 1, 1, array_agg(gpu_id),
            array_fill(0::smallint, array[8]), array_fill(20::smallint, array[8]),
            array_fill(60::smallint, array[8])
        from a group by host_id
        """,
        {"now": bench.clock.now},
    )
    for tick in range(20):
        bench.clock.seconds += 5 if tick < 6 else 20
        bench.ledger.collector()
        bench.connection.execute(
            "update host_state set received_at = %s, time = %s", (bench.clock.now,) * 2
        )
        if tick == 3:
            lose(bench, 4000)
        if tick == 4:
            lose(bench, 10_000)
        bench.run()
    counted = bench.rows("select count(*) as n from alerts where state = 'firing'")
    assert counted == [{"n": 10_000}]
    notices = bench.notices()
    assert len(notices) <= 30
    newest = {each["facility"]: each["counts"]["firing"] for each in notices}
    assert sum(newest.values()) == 10_000
    assert max(len(json.dumps(each)) for each in notices) < 64 * 1024


# F46 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period_s", [15, 300, 420])
def test_a_square_wave_rings_at_most_once_in_half_an_hour_and_is_marked(
    bench: Bench, period_s: int
) -> None:
    fleet(bench, hosts=1)
    rings = []
    for second in range(0, 3600, 15 if period_s > 15 else 5):
        bench.clock.seconds = 100 + second
        bench.ledger.collector()
        bad = second % period_s < period_s / 2
        bench.ledger.state("f0h0", reader_status_code=[LOST if bad else 0, 0])
        before = len(bench.pages())
        bench.run()
        rings += [bench.clock.now] * (len(bench.pages()) - before)
    assert rings
    gaps = [later - earlier for earlier, later in pairwise(rings)]
    assert all(gap >= timedelta(minutes=30) for gap in gaps)
    alerts = bench.rows("select flapping, state from alerts where rule = 'gpu_lost'")
    # Faster than `clear`, it never ends and so does not flap; slower, it is marked.
    assert alerts == [{"flapping": period_s > 120, "state": "firing"}]


# F48 ---------------------------------------------------------------------------------------------

BROKEN = {
    "divides_by_zero": "select 1 / (facility_id - facility_id) as n from facilities",
    "no_such_table": "select * from nowhere",
    "no_verdict": "select facility_id from facilities",
    "writes": "delete from alerts returning rule as facility_id, 'bad' as verdict",
    "two_statements": "select 1; select 2",
    "no_rows": "set search_path to public",
    "endless": "select 'bad' as verdict, n as facility_id from generate_series(1, 9000000000) n",
    "sleeps": "select 'bad' as verdict, 1 as facility_id from pg_sleep(60)",
    "percent": "select 'bad' as verdict, 1 as facility_id where 'a' like '%a'",
    "unknown_parameter": "select 'bad' as verdict, %(what)s as facility_id",
}
HEAD = """\
-- Wrong.
--
-- title: wrong things
-- severity: critical
-- for: 0s
-- clear: 0s
-- evaluate: on data
-- key: facility_id
-- group by: facility_id
-- summary: {place} {detail}
-- action: Look.
-- runbook: Think.

"""


def test_broken_rules_fail_alone_and_are_told(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    for name, body in BROKEN.items():
        (tmp_path / f"{name}.sql").write_text(HEAD + body)
    (tmp_path / "headless.sql").write_text("select 1")
    (tmp_path / "wordless.sql").write_text(
        HEAD + "select 'bad' as verdict, facility_id from facilities"
    )
    (tmp_path / "wordy.sql").write_text(
        HEAD + "select 'bad' as verdict, facility_id, repeat('x', 1000000) as detail "
        "from facilities"
    )
    bench = make_bench(
        load_rules(str(tmp_path)), statement_timeout_s=0.5, offenders_max=1000,
        rules_folder=str(tmp_path),
    )  # fmt: skip
    bench.ledger.host("f0", "f0h0")
    bench.ledger.all_well()
    bench.run()
    bench.ledger.event("f0h0", "xid", gpu=0, code=79)
    bench.run(5)
    bench.run(5)
    broken = {*BROKEN, "headless", "wordless"}
    rows = bench.rows("select rule, state, error from alert_rules where state <> 'ok'")
    assert {row["rule"] for row in rows} == broken
    assert all(row["error"] for row in rows)
    told = bench.rows("select measured->>'broken_rule' as n from alerts where rule = 'rule_error'")
    assert {row["n"] for row in told} == broken
    # The others work, and so do the words of those that have none of their own.
    assert bench.states("fatal_xid") == {"f0h0/0": "firing"}
    by_rule = {each["rule"]: each["summary"] for each in bench.notices()}
    assert by_rule["wordless"] == "wrong things: f0"
    assert len(by_rule["wordy"]) <= 500
    assert "alert rule" in by_rule["rule_error"]


def test_a_rule_that_fails_for_a_while_ends_no_alert(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    fleet(bench, hosts=1)
    bench.ledger.state("f0h0", reader_status_code=[LOST, 0])
    bench.run(10)
    bench.connection.execute("alter table host_state rename to elsewhere")
    for _ in range(20):
        bench.run(10)
    assert bench.states("gpu_lost") == {"f0h0/0": "firing"}
    assert bench.states("rule_error")
    bench.connection.execute("alter table elsewhere rename to host_state")
    for _ in range(8):
        bench.live(10)
    assert bench.states("gpu_lost") == {}
    assert bench.states("rule_error") == {}


def test_alerts_of_a_rule_that_was_removed_end(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    fleet(bench, hosts=1)
    bench.ledger.state("f0h0", reader_status_code=[LOST, 0])
    bench.run(10)
    rules = load_rules()
    del rules.rules["gpu_lost"]
    engine = Engine(rules, bench.settings, bench.lease, bench.clock)
    engine.start(bench.connection, [])
    engine.run_pass(bench.connection, on_data=True)
    assert bench.states("gpu_lost") == {}


# Silences and acknowledgements -------------------------------------------------------------------


def silence(bench: Bench, seconds: float, **columns: object) -> None:
    values = {"rule": None, "facility_id": None, "host_id": None, **columns}
    bench.connection.execute(
        "insert into silences (rule, facility_id, host_id, author, comment, starts_at, ends_at) "
        "values (%(rule)s, %(facility_id)s, %(host_id)s, 'ann', 'works', %(from)s, %(to)s)",
        {
            **values, "from": bench.clock.now, "to": bench.clock.now + timedelta(seconds=seconds),
        },
    )  # fmt: skip


def test_a_silence_is_quiet_until_it_ends_and_then_rings(bench: Bench) -> None:
    fleet(bench)
    silence(bench, 60, rule="gpu_lost", host_id=bench.ledger.hosts["f0h0"])
    for _ in range(5):
        bench.live(10, reader_status_code=[LOST, 0])
    assert bench.passes[-1].wake_at is None
    assert bench.notices() == []
    assert bench.states("gpu_lost") == {"f0h0/0": "firing"}
    bench.live(15, reader_status_code=[LOST, 0])
    assert kinds(bench) == [("gpu_lost", "opened", True)]


def test_a_silence_covers_no_more_than_it_says(bench: Bench) -> None:
    fleet(bench)
    silence(bench, 600, rule="gpu_lost", host_id=bench.ledger.hosts["f0h0"])
    bench.ledger.state("f0h0", reader_status_code=[LOST, 0])
    bench.ledger.state("f0h1", reader_status_code=[0, LOST])
    bench.run(2)
    bench.run(2)
    notice = bench.notices()[0]
    assert "f0h1 GPU 1" in notice["summary"]
    assert notice["counts"]["silenced"] == 1


@pytest.mark.parametrize(
    ("columns", "author", "days"),
    [
        ("rule", "", 1),
        ("rule", "ann", 31),
        ("rule", "ann", -1),
        ("none", "ann", 1),
    ],
)
def test_a_silence_without_author_end_or_aim_is_refused(
    bench: Bench, columns: str, author: str, days: int
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        bench.connection.execute(
            "insert into silences (rule, author, comment, ends_at) "
            "values (%s, %s, 'why', now() + %s * interval '1 day')",
            ("thermal" if columns == "rule" else None, author, days),
        )


def acknowledge(bench: Bench, author: str = "ann") -> None:
    bench.connection.execute(
        queries("alerts_desk")["acknowledge"],
        {"incident_id": 1, "author": author, "comment": "", "now": bench.clock.now},
    )


def test_an_acknowledgement_lasts_through_updates_and_stops_reminders(bench: Bench) -> None:
    fleet(bench)
    bench.live(1, reader_status_code=[LOST, 0])
    bench.live(2, reader_status_code=[LOST, 0])
    acknowledge(bench)
    for _ in range(10):
        bench.live(3600, reader_status_code=[LOST, 0])
    assert bench.states("gpu_lost") == {"f0h0/0": "acknowledged"}
    assert [each["rule"] for each in bench.pages()].count("gpu_lost") == 1
    row = bench.rows("select state from incidents where rule = 'gpu_lost'")[0]
    assert row["state"] == "acknowledged"
    for _ in range(9):
        bench.live(10)
    history = bench.rows("select to_state, author from alert_transitions order by transition_id")
    assert [(row["to_state"], row["author"]) for row in history] == [
        ("firing", "evaluator"),
        ("acknowledged", "ann"),
        ("resolved", "evaluator"),
    ]


def test_an_unacknowledged_incident_rings_again(bench: Bench) -> None:
    fleet(bench)
    for _ in range(30):
        bench.live(600, reader_status_code=[LOST, 0])
    assert kinds(bench) == [("gpu_lost", "opened", True), ("gpu_lost", "reminder", True)]


def test_one_that_fires_again_has_to_be_acknowledged_again(bench: Bench) -> None:
    fleet(bench)
    bench.ledger.state("f0h0", reader_status_code=[LOST, 0])
    bench.run(1)
    acknowledge(bench)
    for _ in range(8):
        bench.live(10)
    bench.live(10, reader_status_code=[LOST, 0])
    row = bench.rows("select state, acknowledged_by from alerts where rule = 'gpu_lost'")[0]
    assert row == {"state": "firing", "acknowledged_by": None}


# F43, F47 ----------------------------------------------------------------------------------------


def test_one_that_lost_its_lease_writes_nothing(bench: Bench, alerts_url: str) -> None:
    fleet(bench)
    bench.ledger.state("f0h0", reader_status_code=[LOST, 0])
    bench.connection.execute("update alert_lease set expires_at = now() - interval '1 second'")
    other = Lease("somebody else", 15)
    assert other.acquire(bench.connection)
    with pytest.raises(LeaseLost):
        bench.run(10)
    assert bench.states("gpu_lost") == {}
    assert bench.notices() == []
    assert not bench.lease.acquire(bench.connection)


def test_the_fencing_token_rises_with_each_holder_only(bench: Bench) -> None:
    first = bench.lease.token
    assert bench.lease.acquire(bench.connection)
    assert bench.lease.token == first
    bench.lease.release(bench.connection)
    other = Lease("other", 15)
    assert other.acquire(bench.connection)
    assert first is not None
    assert other.token == first + 1


def test_a_successor_goes_on_where_the_last_one_was(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    fleet(bench, hosts=20)
    for host in bench.ledger.hosts:
        bench.ledger.state(host, reader_status_code=LOST)
    bench.run(1)
    bench.run(2)
    assert len(bench.notices()) == 1
    bench.connection.execute("update alert_lease set expires_at = now() - interval '1 second'")
    successor = make_bench()
    successor.clock.seconds = bench.clock.seconds
    successor.run(10)
    assert len(successor.states("gpu_lost")) == 40
    assert len(successor.notices()) == 1
    successor.ledger.hosts, successor.ledger.gpus = bench.ledger.hosts, bench.ledger.gpus
    for _ in range(9):
        successor.live(10)
    assert kinds(successor) == [("gpu_lost", "opened", True), ("gpu_lost", "resolved", False)]
    assert successor.notices()[0]["dedup_key"] == successor.notices()[1]["dedup_key"]


def test_what_is_pending_survives_too(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    fleet(bench)
    bench.ledger.state("f0h0", temperature_margin_celsius=-1)
    bench.run(10)
    bench.connection.execute("update alert_lease set expires_at = now() - interval '1 second'")
    successor = make_bench()
    successor.clock.seconds = bench.clock.seconds
    successor.run(20)
    assert set(successor.states("thermal").values()) == {"firing"}


# What people get ---------------------------------------------------------------------------------


def test_a_notice_names_the_place_and_what_to_do(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(dashboard_url="https://fleet.example.com")
    fleet(bench)
    bench.ledger.event("f0h2", "xid", gpu=1, code=48)
    bench.run(1)
    notice = bench.notices()[0]
    assert (
        notice["summary"] == "f0 / h1 / a / r2 / f0h2 GPU 1: Xid 48: double-bit (uncorrectable) ECC"
    )
    assert notice["action"] == "Drain the host, then reset the GPU."
    place = notice["alerts"][0]["place"]
    assert (place["facility"], place["rack"], place["host"]) == ("f0", "r2", "f0h2")
    assert (place["gpu_index"], place["serial"]) == (1, "f0h2-1")
    assert notice["link"] == "https://fleet.example.com/alerts?incident=1"


def test_receivers_get_what_they_asked_for_and_every_end_of_it(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(
        receivers={
            "all": Receiver(kind="log"),
            "grave": Receiver(kind="log", severity_min="critical"),
            "pager": Receiver(kind="log", severity_min="critical", pages_only=True),
        }
    )
    fleet(bench)
    bench.ledger.state("f0h0", temperature_margin_celsius=-1)
    for _ in range(4):
        bench.ledger.collector()
        bench.run(10)
    bench.ledger.event("f0h1", "xid", gpu=0, code=95)
    bench.run(10)
    for _ in range(380):
        bench.live(10)
    rows = bench.rows(
        "select receiver, body::jsonb->>'rule' as rule, body::jsonb->>'kind' as kind "
        "from outbox order by message_id"
    )
    by_receiver: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        by_receiver.setdefault(row["receiver"], []).append((row["rule"], row["kind"]))
    thermal = [("thermal", "opened"), ("thermal", "resolved")]
    xid = [("fatal_xid", "opened"), ("fatal_xid", "resolved")]
    assert by_receiver["grave"] == xid
    assert by_receiver["pager"] == xid
    assert sorted(by_receiver["all"]) == sorted(thermal + xid)
