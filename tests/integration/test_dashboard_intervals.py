"""What the Host page asks of stored intervals: all that reaches into a span, and no more rows."""

from typing import Any

import psycopg
import pytest

import sql
from tests.fix_dashboard_troubles import moment
from tests.fix_tenants import Site, Tenants

QUERIES = sql.queries("dashboard_host")
START_S, END_S = 1_700_000_000, 1_700_003_600
Connection = psycopg.Connection[Any]


@pytest.fixture
def db(tenants: Tenants) -> Any:
    with psycopg.connect(tenants.url) as connection:
        yield connection
        connection.rollback()


def asked(db: Connection, name: str, gpu_ids: list[int], role: str = "viewer") -> list[Any]:
    audience = {"tenant": "acme", "facility": "acme-north", "role": role}
    db.execute("set local search_path = visible, public")
    db.execute(sql.queries("dashboard_access")["enter"], audience)
    values = {"gpu_ids": gpu_ids, "start_s": START_S, "end_s": END_S, "step_s": 60}
    return db.execute(QUERIES[name], values).fetchall()


def put_state(db: Connection, site: Site, state: str, at_s: float, until_s: float | None) -> None:
    db.execute(
        "insert into state_intervals (host_id, gpu_id, subject, state, started_at, ended_at)"
        " values (%s, %s, 'slowdown', %s, %s, %s)",
        (site.host_ids[0], site.gpu_ids[0], state, moment(at_s),
         None if until_s is None else moment(until_s)),
    )  # fmt: skip


def put_work(db: Connection, site: Site, job: str, at_s: float, until_s: float | None) -> None:
    for gpu_id in site.gpu_ids[:2]:
        db.execute(
            "insert into workload_intervals (host_id, gpu_id, source, job, user_name, started_at,"
            " seen_at, ended_at, processes, memory_mebibytes)"
            " values (%s, %s, 'slurm', %s, 'p', %s, %s, %s, 1, 1)",
            (site.host_ids[0], gpu_id, job, moment(at_s), moment(at_s),
             None if until_s is None else moment(until_s)),
        )  # fmt: skip


def test_states_of_a_span_are_those_that_reach_into_it_by_step(
    db: Connection, tenants: Tenants
) -> None:
    site = tenants.sites["acme-north"]
    put_state(db, site, "heat", START_S - 900, START_S - 800)
    put_state(db, site, "heat", START_S - 100, START_S + 30)
    for n in range(4):
        put_state(db, site, "heat", START_S + 1201 + 10 * n, START_S + 1203 + 10 * n)
    put_state(db, site, "heat", END_S - 10, None)
    put_state(db, site, "power_brake", END_S + 10, END_S + 20)
    rows = asked(db, "states", site.gpu_ids[:1])
    told = [(row[2], row[3] - START_S, row[5], row[6], row[7]) for row in rows]
    assert told == [
        ("heat", -100, False, 1, 30), ("heat", 1201, False, 4, 8), ("heat", 3590, True, 1, 10),
    ]  # fmt: skip


def test_work_of_a_span_is_told_once_for_all_its_accelerators(
    db: Connection, tenants: Tenants
) -> None:
    site = tenants.sites["acme-north"]
    put_work(db, site, "1", START_S - 900, START_S - 800)
    put_work(db, site, "2", START_S - 900, START_S + 10)
    put_work(db, site, "3", START_S + 900, None)
    put_work(db, site, "4", END_S + 900, None)
    rows = asked(db, "work", site.gpu_ids[:2])
    assert [(row[1], sorted(row[3]), row[7]) for row in rows] == [
        ("3", sorted(site.gpu_ids[:2]), True), ("2", sorted(site.gpu_ids[:2]), False),
    ]  # fmt: skip


def test_t07_a_landlord_is_told_states_and_no_work(db: Connection, tenants: Tenants) -> None:
    site = tenants.sites["acme-north"]
    put_state(db, site, "heat", START_S + 5, None)
    put_work(db, site, "secret", START_S + 5, None)
    assert len(asked(db, "states", site.gpu_ids[:1], "landlord")) == 1
    assert asked(db, "work", site.gpu_ids[:2], "landlord") == []


def test_a_long_history_is_not_read_for_an_hour(db: Connection, tenants: Tenants) -> None:
    site = tenants.sites["acme-north"]
    db.execute(
        "insert into state_intervals (host_id, gpu_id, subject, state, started_at, ended_at)"
        " select %s, %s, 'slowdown', 'heat', to_timestamp(%s - n * 60), to_timestamp(%s - n * 60"
        " + 5) from generate_series(1, 20000) n",
        (site.host_ids[0], site.gpu_ids[0], START_S, START_S),
    )
    db.execute(
        "insert into workload_intervals (host_id, gpu_id, source, job, started_at, seen_at,"
        " ended_at, processes, memory_mebibytes) select %s, %s, 'slurm', n::text,"
        " to_timestamp(%s - n * 60), to_timestamp(%s), to_timestamp(%s - n * 60 + 50), 1, 1"
        " from generate_series(1, 20000) n",
        (site.host_ids[0], site.gpu_ids[0], START_S, START_S, START_S),
    )
    db.execute("analyze state_intervals")
    db.execute("analyze workload_intervals")
    values = {"gpu_ids": site.gpu_ids[:1], "start_s": START_S, "end_s": END_S, "step_s": 60}
    for name, table in (("states", "state_intervals"), ("work", "workload_intervals")):
        text = f"explain (analyze, costs off, timing off, summary off) {QUERIES[name]}"
        plan = "\n".join(row[0] for row in db.execute(text.encode(), values))
        assert f"Seq Scan on {table}" not in plan, plan
        assert "rows=20000" not in plan, plan
        assert "Rows Removed by Filter: 20000" not in plan, plan
