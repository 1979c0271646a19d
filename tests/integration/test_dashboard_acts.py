"""What operators do, over HTTP to the database: done, audited, and for nobody else."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.fix_dashboard_access import as_role
from tests.fix_tenants import Site, Tenants

BROWSER = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def desk(tenants: Tenants, front_door: Callable[[str], str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=front_door(tenants.url), headers=BROWSER, timeout=60) as client:
        yield client


def do(desk: httpx.Client, act: str, who: str = "operator", **body: Any) -> httpx.Response:
    return desk.post(f"/act/{act}", json=body, headers=as_role(who))


def rows(tenants: Tenants, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(tenants.url) as connection:
        return connection.execute(statement).fetchall()


def everything(site: Site) -> list[tuple[str, dict[str, Any]]]:
    incident = site.incident_id
    return [
        ("acknowledge", {"incident": incident, "comment": "mine"}),
        ("assign", {"alert": site.alert_id, "to": "grace"}),
        ("comment", {"incident": incident, "comment": "the pump is off"}),
        ("silence", {"incident": incident, "comment": "known", "hours": 2}),
        ("end-silence", {"silence": 1}),
    ]


def test_t22_each_act_is_done_and_is_in_the_audit(desk: httpx.Client, tenants: Tenants) -> None:
    site = tenants.sites["acme-north"]
    for act, body in everything(site):
        answer = do(desk, act, **body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["told"]
    found = rows(
        tenants,
        "select author, role, act, facility_id, before, after from audit order by audit_id",
    )
    acts = ["acknowledge", "assign", "comment", "silence", "end silence"]
    assert [row[2] for row in found] == acts
    assert {row[:2] for row in found} == {("operator-person", "operator")}
    assert {row[3] for row in found} == {site.facility_id}
    assert found[0][4:] == ({"state": "firing"}, {"acknowledged": [site.alert_id]})
    state = f"select state, acknowledged_by from alerts where alert_id = {site.alert_id}"
    assert rows(tenants, state) == [("acknowledged", "operator-person")]
    note = (
        "select to_state, author, note from alert_transitions order by transition_id desc limit 1"
    )
    assert rows(tenants, note) == [("acknowledged", "operator-person", "mine")]
    assert rows(tenants, "select ends_at <= now() from silences where silence_id = 1") == [(True,)]


def test_t22_whoever_only_looks_changes_nothing(desk: httpx.Client, tenants: Tenants) -> None:
    for who in ("viewer", "landlord"):
        for act, body in everything(tenants.sites["acme-north"]):
            assert do(desk, act, who, **body).status_code == 403
    assert rows(tenants, "select count(*) from audit") == [(0,)]


def test_t07_nobody_acts_on_what_is_anothers(desk: httpx.Client, tenants: Tenants) -> None:
    for act, body in everything(tenants.sites["acme-north"]):
        assert do(desk, act, "zeta", **body).status_code == 404
    for act, body in everything(tenants.sites["zeta-east"])[:4]:
        assert do(desk, act, "admin", **body).status_code == 404
    assert rows(tenants, "select count(*) from audit") == [(0,)]


ODD_ACTS: list[tuple[str, Any]] = [
    ("silence", {"incident": 1, "comment": "x", "hours": 721}),
    ("silence", {"incident": 1, "comment": "x", "hours": 0}),
    ("silence", {"incident": 1, "comment": "x", "hours": "NaN"}),
    ("silence", {"incident": 1, "comment": "", "hours": 1}),
    ("silence", {"incident": 1, "hours": 1}),
    ("silence", {"comment": "x", "hours": 1}),
    ("comment", {"incident": 1, "comment": "   "}),
    ("comment", {"incident": 1, "comment": "a\x00b"}),
    ("comment", {"incident": 1, "comment": "x" * 1001}),
    ("comment", {"incident": "1 or 1=1", "comment": "x"}),
    ("comment", {"incident": 1, "alert": 1, "comment": "x"}),
    ("comment", {"incident": 1, "comment": "x", "author": "somebody else"}),
    ("acknowledge", {"incident": -1}),
    ("acknowledge", {"incident": 2**70}),
    ("acknowledge", []),
    ("end-silence", {}),
]


def test_an_odd_act_is_refused_with_a_reason(desk: httpx.Client, tenants: Tenants) -> None:
    for act, body in ODD_ACTS:
        answer = desk.post(f"/act/{act}", json=body, headers=as_role("operator"))
        assert answer.status_code == 400, (act, body)
        assert answer.json()["error"]
    assert rows(tenants, "select count(*) from audit") == [(0,)]


def test_t22_the_audit_is_only_added_to(desk: httpx.Client, tenants: Tenants) -> None:
    do(desk, "comment", incident=tenants.sites["acme-north"].incident_id, comment="x")
    for statement in ("update audit set author = 'x'", "delete from audit", "truncate audit"):
        with (
            psycopg.connect(tenants.url) as connection,
            pytest.raises(psycopg.Error, match="added"),
        ):
            connection.execute(statement)


def test_t15_the_role_that_acts_can_do_nothing_else(tenants: Tenants) -> None:
    with psycopg.connect(tenants.url, autocommit=True) as connection:
        connection.execute("set role fleetgauge_desk")
        for statement in (
            "select * from incidents", "select * from audit", "delete from silences",
            "insert into audit (author, role, act) values ('x', 'admin', 'y')",
            "select incident_to_act_on(1, null)",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
        for role in ("", "viewer", "landlord", "ADMIN"):
            connection.execute("select set_config('fleetgauge.role', %s, false)", (role,))
            connection.execute("select set_config('fleetgauge.tenant', '*', false)")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("select act_acknowledge('x', 1, null, '')")


def test_controls_are_laid_out_for_operators_only(desk: httpx.Client, tenants: Tenants) -> None:
    route = {
        "output": "..._pages_content.children..._pages_store.data..".replace("...", "..", 1),
        "outputs": [
            {"id": "_pages_content", "property": "children"},
            {"id": "_pages_store", "property": "data"},
        ],
        "inputs": [
            {"id": "_pages_location", "property": "pathname", "value": "/alerts"},
            {"id": "_pages_location", "property": "search", "value": "?incident=1"},
        ],
        "changedPropIds": ["_pages_location.pathname"],
    }
    for who, is_there in (("viewer", False), ("operator", True), ("admin", True)):
        answer = desk.post("/_dash-update-component", json=route, headers=as_role(who))
        assert answer.status_code == 200, answer.text
        assert ('"acts"' in json.dumps(answer.json())) is is_there
