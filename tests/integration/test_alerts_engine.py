"""Whole passes on a real database: mistakes in rules, silences, hand-over, what people get."""

from collections.abc import Callable
from datetime import timedelta
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

# F48: rules and templates that do not work.

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


def test_f48_broken_rules_fail_alone_and_are_told(
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


def test_f48_a_rule_that_fails_for_a_while_ends_no_alert(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.make_fleet(hosts=1)
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
    bench.make_fleet(hosts=1)
    bench.ledger.state("f0h0", reader_status_code=[LOST, 0])
    bench.run(10)
    rules = load_rules()
    del rules.rules["gpu_lost"]
    engine = Engine(rules, bench.settings, bench.lease, bench.clock)
    engine.start(bench.connection, [])
    engine.run_pass(bench.connection, on_data=True)
    assert bench.states("gpu_lost") == {}


# Silences and acknowledgements.


def silence(bench: Bench, seconds: float, **columns: object) -> None:
    values = {"rule": None, "facility_id": None, "host_id": None, **columns}
    bench.connection.execute(
        "insert into silences (rule, facility_id, host_id, author, comment, starts_at, ends_at) "
        "values (%(rule)s, %(facility_id)s, %(host_id)s, 'ann', 'works', %(from)s, %(to)s)",
        {
            **values, "from": bench.clock.now, "to": bench.clock.now + timedelta(seconds=seconds),
        },
    )  # fmt: skip


def test_f49_a_silence_is_quiet_until_it_ends_and_then_rings(bench: Bench) -> None:
    bench.make_fleet()
    silence(bench, 60, rule="gpu_lost", host_id=bench.ledger.hosts["f0h0"])
    for _ in range(5):
        bench.live(10, reader_status_code=[LOST, 0])
    assert bench.passes[-1].wake_at is None
    assert bench.notices() == []
    assert bench.states("gpu_lost") == {"f0h0/0": "firing"}
    bench.live(15, reader_status_code=[LOST, 0])
    assert bench.kinds() == [("gpu_lost", "opened", True)]


def test_f49_a_silence_covers_no_more_than_it_says(bench: Bench) -> None:
    bench.make_fleet()
    silence(bench, 600, rule="gpu_lost", host_id=bench.ledger.hosts["f0h0"])
    bench.ledger.state("f0h0", reader_status_code=[LOST, 0])
    bench.ledger.state("f0h1", reader_status_code=[0, LOST])
    bench.run(2)
    bench.run(2)
    notice = bench.notices()[0]
    assert "f0h1 GPU 1" in notice["summary"]
    assert notice["counts"]["silenced"] == 1


def test_t22_whoever_silences_much_is_told_of_to_everybody_and_it_stays_counted(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(receivers={name: Receiver(kind="log") for name in ("pager", "chief")})
    bench.make_fleet(hosts=3)
    bench.ledger.silence(facility="f0", author="mallory", seconds=6000)
    bench.ledger.silence(rule="mass_silence", author="mallory", seconds=6000)
    for _ in range(6):
        bench.live(10, reader_status_code=[LOST, LOST])
    rows = bench.rows(
        "select receiver, body::jsonb->>'summary' as summary from outbox"
        " where body::jsonb->>'kind' = 'opened'"
    )
    told = {
        row["receiver"] for row in rows if "mallory silenced every rule in f0" in row["summary"]
    }
    assert told == {"pager", "chief"}
    assert not [row for row in rows if "mallory" not in row["summary"]]
    counted = bench.rows(
        "select count(*) as n from alerts where rule = 'gpu_lost' and silenced_by is not null"
        " and severity = 'critical' and state = 'firing'"
    )
    assert counted == [{"n": 2}]


@pytest.mark.parametrize(
    ("zone", "starts"),
    [
        ("Europe/Berlin", "2026-10-25 00:30:00+00"), ("Europe/Berlin", "2026-03-29 00:30:00+00"),
        ("America/New_York", "2026-11-01 05:30:00+00"), ("America/New_York", "2026-03-08 06:30Z"),
        ("Australia/Lord_Howe", "2026-04-04 14:30:00+00"), ("UTC", "2026-12-31 23:30:00+00"),
    ],
)  # fmt: skip
def test_f49_a_silence_is_as_long_as_it_says_when_clocks_change(
    bench: Bench, zone: str, starts: str
) -> None:
    bench.connection.execute("select set_config('timezone', %s, false)", (zone,))
    row = bench.connection.execute(
        "insert into silences (rule, author, comment, starts_at, ends_at)"
        " values ('thermal', 'ann', 'x', %(at)s, %(at)s::timestamptz + 2.0 * interval '1 hour')"
        " returning extract(epoch from ends_at - starts_at)::float8 as seconds",
        {"at": starts},
    ).fetchone()
    assert row == {"seconds": 7200.0}


@pytest.mark.parametrize(
    ("columns", "author", "days"),
    [
        ("rule", "", 1),
        ("rule", "ann", 31),
        ("rule", "ann", -1),
        ("none", "ann", 1),
    ],
)
def test_f49_a_silence_without_author_end_or_aim_is_refused(
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
    bench.make_fleet()
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
    bench.make_fleet()
    for _ in range(30):
        bench.live(600, reader_status_code=[LOST, 0])
    assert bench.kinds() == [("gpu_lost", "opened", True), ("gpu_lost", "reminder", True)]


def test_one_that_fires_again_has_to_be_acknowledged_again(bench: Bench) -> None:
    bench.make_fleet()
    bench.ledger.state("f0h0", reader_status_code=[LOST, 0])
    bench.run(1)
    acknowledge(bench)
    for _ in range(8):
        bench.live(10)
    bench.live(10, reader_status_code=[LOST, 0])
    row = bench.rows("select state, acknowledged_by from alerts where rule = 'gpu_lost'")[0]
    assert row == {"state": "firing", "acknowledged_by": None}


# F43, F47: two evaluators, and one after the other.


def test_f43_one_that_lost_its_lease_writes_nothing(bench: Bench, alerts_url: str) -> None:
    bench.make_fleet()
    bench.ledger.state("f0h0", reader_status_code=[LOST, 0])
    bench.connection.execute("update alert_lease set expires_at = now() - interval '1 second'")
    other = Lease("somebody else", 15)
    assert other.acquire(bench.connection)
    with pytest.raises(LeaseLost):
        bench.run(10)
    assert bench.states("gpu_lost") == {}
    assert bench.notices() == []
    assert not bench.lease.acquire(bench.connection)


def test_f43_the_fencing_token_rises_with_each_holder_only(bench: Bench) -> None:
    first = bench.lease.token
    assert bench.lease.acquire(bench.connection)
    assert bench.lease.token == first
    bench.lease.release(bench.connection)
    other = Lease("other", 15)
    assert other.acquire(bench.connection)
    assert first is not None
    assert other.token == first + 1


def test_f47_a_successor_goes_on_where_the_last_one_was(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.make_fleet(hosts=20)
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
    assert successor.kinds() == [("gpu_lost", "opened", True), ("gpu_lost", "resolved", False)]
    assert successor.notices()[0]["dedup_key"] == successor.notices()[1]["dedup_key"]


def test_f47_what_is_pending_survives_too(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.make_fleet()
    bench.ledger.state("f0h0", temperature_margin_celsius=-1)
    bench.run(10)
    bench.connection.execute("update alert_lease set expires_at = now() - interval '1 second'")
    successor = make_bench()
    successor.clock.seconds = bench.clock.seconds
    successor.run(20)
    assert set(successor.states("thermal").values()) == {"firing"}


# What people get.


def test_a_notice_names_the_place_and_what_to_do(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(dashboard_url="https://fleet.example.com")
    bench.make_fleet()
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
    bench.make_fleet()
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


def test_history_goes_when_it_is_old_and_never_before(bench: Bench) -> None:
    bench.make_fleet()
    bench.ledger.state("f0h0", reader_status_code=[LOST, 0])
    bench.run(1)
    for _ in range(10):
        bench.live(10)
    bench.live(10, reader_status_code=[LOST, 0])
    assert bench.states("gpu_lost") == {"f0h0/0": "firing"}
    bench.ledger.state("f0h1", reader_status_code=[LOST, 0])
    bench.run(1)
    for _ in range(10):
        bench.clock.seconds += 10
        bench.ledger.all_well()
        bench.ledger.state("f0h0", reader_status_code=[LOST, 0])
        bench.run()
    bench.connection.execute(
        "update outbox set state = 'sent', finished_at = %s", (bench.clock.now,)
    )
    for days, left in ((0, 2), (1, 1)):
        now = bench.clock.now + timedelta(days=days)
        before = now - timedelta(hours=1)
        for _ in range(2):
            bench.connection.execute(queries("alerts")["purge"], {"now": now, "before": before})
        assert len(bench.rows("select 1 from alerts")) == left
    assert bench.states("gpu_lost") == {"f0h0/0": "firing"}
    assert len(bench.rows("select 1 from incidents where state <> 'resolved'")) == 1
