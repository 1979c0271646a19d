"""Row security: what the dashboard's role can read, for whom, and that it can write nothing."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import psycopg
import pytest

import sql
from collector.migrate import migrate
from dashboard.access.identity import Audience
from dashboard.queries import Queries
from dashboard.settings import DashboardSettings
from tests.fix_tenants import Tenants

# Meanings of codes are the same for everybody; rules and programs belong to no tenant.
OWNERLESS = {
    "xid_policy", "alert_rules", "alert_evaluators", "collectors", "stream_offsets", "lost_ranges",
}  # fmt: skip
NOT_FILLED = {
    "quarantine", "facility_rollup_10s", "facility_rollup_1m", "facility_rollup_1h",
    "facility_rollup", "facility_spread", "rack_rollup_1m", "rack_rollup_1h", "rack_rollup",
    "rollup_progress", "gpu_rollup_parts", "gpu_rollup_1m", "gpu_rollup_1h", "identity_findings",
    "audit", "incident_notes",
}  # fmt: skip
Connection = psycopg.Connection[Any]

READABLE = """
    select n.nspname || '.' || c.relname, c.relname, c.relrowsecurity or n.nspname = 'visible'
            or 'security_invoker=true' = any(c.reloptions)
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
        and n.nspname not in ('pg_catalog', 'information_schema')
        and n.nspname not like '\\_timescaledb%' and n.nspname not like 'timescaledb%'
        and has_table_privilege('fleetgauge_reader', c.oid, 'select')
"""


@contextmanager
def seen(url: str, tenant: str, facility: str = "", role: str = "viewer") -> Iterator[Connection]:
    values = {"tenant": tenant, "facility": facility, "role": role}
    with psycopg.connect(url, options="-c search_path=visible,public") as connection:
        connection.execute(sql.queries("dashboard_access")["enter"], values)
        yield connection
        connection.rollback()


def readable(connection: Connection) -> dict[str, str]:
    return {name: relation for relation, name, _ in connection.execute(READABLE)}


def told(connection: Connection, relation: str) -> str:
    return "\n".join(str(row) for row in connection.execute(f"select t::text from {relation} t"))


def test_t07_whatever_the_dashboard_may_read_has_row_security(tenants: Tenants) -> None:
    with psycopg.connect(tenants.url) as connection:
        rows = connection.execute(READABLE).fetchall()
    assert len(rows) > 25
    assert [name for name, _, is_secured in rows if not is_secured] == []


def test_t07_without_an_audience_nothing_is_visible(tenants: Tenants) -> None:
    with seen(tenants.url, "", "", "") as connection:
        for name, relation in readable(connection).items():
            assert name == "xid_policy" or told(connection, relation) == "", name


@pytest.mark.parametrize(("mine", "other"), [("acme", "zeta"), ("zeta", "acme")])
def test_t07_a_tenant_sees_its_own_of_everything_and_nothing_of_another(
    tenants: Tenants, mine: str, other: str
) -> None:
    ids = {s.facility_id for s in tenants.sites.values() if s.tenant == mine}
    with seen(tenants.url, mine) as connection:
        found = connection.execute("select facility_id from facilities").fetchall()
        assert {row[0] for row in found} == ids
        for name, relation in readable(connection).items():
            text = told(connection, relation)
            assert other not in text, name
            if name not in OWNERLESS | NOT_FILLED:
                assert text, f"{name}: nothing of its own"


def test_t07_ids_of_another_tenant_find_nothing(tenants: Tenants) -> None:
    theirs = tenants.sites["zeta-east"]
    with seen(tenants.url, "acme") as connection:
        for relation, column, ids in (
            ("samples", "gpu_id", theirs.gpu_ids),
            ("slow_samples", "gpu_id", theirs.gpu_ids),
            ("events", "host_id", theirs.host_ids),
            ("events", "gpu_id", theirs.gpu_ids),
            ("host_state", "host_id", theirs.host_ids),
            ("incidents", "incident_id", [theirs.incident_id]),
            ("alerts", "alert_id", [theirs.alert_id]),
            ("alert_transitions", "alert_id", [theirs.alert_id]),
            ("outbox", "incident_id", [theirs.incident_id]),
        ):
            statement = f"select count(*) from {relation} where {column} = any(%s)"
            assert connection.execute(statement, (ids,)).fetchone() == (0,), relation


def test_a_single_tenant_sees_what_belongs_to_no_facility(
    make_database: Callable[..., str],
) -> None:
    url = make_database()
    with psycopg.connect(url, autocommit=True) as connection:
        migrate(connection)
        connection.execute("insert into facilities (tenant, facility) values ('acme', 'one')")
    with seen(url, "acme") as connection:
        assert connection.execute("select sees_everything()").fetchone() == (True,)
    with seen(url, "zeta") as connection:
        assert connection.execute("select sees_everything()").fetchone() == (False,)
    with seen(url, "acme", "one", "landlord") as connection:
        assert connection.execute("select sees_everything()").fetchone() == (False,)


def test_a_landlord_sees_hardware_of_one_facility_and_no_names(tenants: Tenants) -> None:
    with seen(tenants.url, "acme", "acme-north", "landlord") as connection:
        hosts = {row[0] for row in connection.execute("select host from hosts")}
        assert hosts == {"acme-north-host-0", "acme-north-host-1"}
        assert told(connection, "samples")
        [*events] = connection.execute("select kind, code, message, detail from events")
        assert events == [("xid", 31, "", {})] * 2
        for name, relation in readable(connection).items():
            text = told(connection, relation)
            for word in ("zeta", "acme-south", "secret-job", "acme-train", "acme-person"):
                assert word not in text, name
        for relation in ("queue_state", "queue_samples", "incidents", "alerts", "silences"):
            assert told(connection, relation) == ""


def test_a_landlord_of_all_facilities_sees_none(tenants: Tenants) -> None:
    with seen(tenants.url, "*", "", "landlord") as connection:
        assert told(connection, "facilities") == ""


def test_t15_the_dashboards_role_writes_nothing(tenants: Tenants) -> None:
    with psycopg.connect(tenants.url) as connection:
        rows = connection.execute(
            "select c.oid::regclass::text from pg_class c join pg_namespace n on"
            " n.oid = c.relnamespace where c.relkind in ('r', 'p', 'v') and n.nspname in"
            " ('public', 'visible') and (has_table_privilege('fleetgauge_reader', c.oid,"
            " 'insert, update, delete, truncate'))"
        ).fetchall()
    assert rows == []
    with seen(tenants.url, "*") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("update facilities set note = 'x'")


def test_every_query_of_the_dashboard_is_within_the_readers_rights(tenants: Tenants) -> None:
    names = [f.name for f in (files(sql) / "queries").iterdir() if f.name.startswith("dashboard_")]
    assert len(names) > 8
    with seen(tenants.url, "acme") as connection:
        for file in sorted(names):
            for name, statement in sql.queries(file.removesuffix(".sql")).items():
                values = dict.fromkeys(re.findall(r"%\((\w+)\)s", statement))
                if name != "enter" and file != "dashboard_acts.sql":
                    connection.execute(statement, values)


def test_what_a_query_is_for_ends_with_it(tenants: Tenants) -> None:
    """Connections are shared: nothing of one audience may stay on one."""

    async def ask() -> list[set[str]]:
        settings = DashboardSettings(database_url=tenants.url, database_connections_max=1)
        queries = Queries(settings)
        await queries.open()
        try:
            audiences = (Audience("acme"), Audience("zeta"), Audience("nobody"), Audience())
            found = []
            for audience in audiences * 2:
                rows = await queries.seen_by(audience).rows("picture", "facilities")
                found.append({row.tenant for row in rows})
            return found
        finally:
            await queries.close()

    assert asyncio.run(ask()) == [{"acme"}, {"zeta"}, set(), {"acme", "zeta"}] * 2
