"""Ten thousand tries at what is another's: another's id gives what an id gives that nobody has.

Asked of the database: by the dashboard's own queries, and of each relation that it may read by each
of its ids. What a served dashboard answers is in test_dashboard_foreign_addresses.py.
"""

import random
import re
import time
from importlib.resources import files
from typing import Any, NamedTuple

import psycopg
import pytest

import sql
from tests.fix_services import DatabaseServer
from tests.fix_tenants import Site, Tenants

pytestmark = pytest.mark.slow

# By storage tier; TimescaleDB takes three times as long for each.
ASKED_OF_DATABASE = {"postgres": 9600, "timescale-apache": 1500, "timescale": 1500}
NOBODYS = 2_000_000_000
READABLE = """
    select a.attrelid::regclass::text, a.attname
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    where c.relkind in ('r', 'p', 'v', 'm')
        and c.relnamespace in ('public'::regnamespace, 'visible'::regnamespace)
        and has_table_privilege('fleetgauge_reader', c.oid, 'select')
        and a.attname = any(%s)
    order by 1, 2
"""

Ids = dict[str, list[int]]
Values = dict[str, Any]
Connection = psycopg.Connection[Any]


class Question(NamedTuple):
    """A statement, and which of its parameters are ids: of a plural name, lists of them."""

    statement: Any
    ids: tuple[str, ...]


def ids_of(site: Site) -> Ids:
    return {
        "facility_id": [site.facility_id], "rack_id": [site.rack_id], "host_id": site.host_ids,
        "gpu_id": site.gpu_ids, "incident_id": [site.incident_id], "alert_id": [site.alert_id],
    }  # fmt: skip


def questions(db: Connection, kinds: Ids) -> list[Question]:
    """Return whatever the dashboard asks by id, and each relation that it may read by each id."""
    found = []
    names = (file.name.removesuffix(".sql") for file in (files(sql) / "queries").iterdir())
    for name in sorted(n for n in names if n.startswith("dashboard_") and n != "dashboard_acts"):
        for statement in sql.queries(name).values():
            taken = sorted(set(re.findall(r"%\((\w+)\)s", statement)))
            if ids := tuple(key for key in taken if key.removesuffix("s") in kinds):
                found.append(Question(statement, ids))
    for relation, column in db.execute(READABLE, ([*kinds],)).fetchall():
        asked = f"select t::text from {relation} t where {column} = any(%({column}s)s) order by 1"
        found.append(Question(asked, (f"{column}s",)))
    return found


def times(db: Connection, now_s: float) -> list[Values]:
    row = db.execute(sql.queries("dashboard_picture")["horizon"]).fetchone()
    assert row is not None
    # What is no id: of the past, of now, and so that only hosts that are named are told.
    common = {"limit": 100, "since": str(row[0]), "spread_s": 60, "rollup_s": 10}
    return [
        {"start_s": now_s - span_s, "end_s": now_s + 60, "step_s": step_s, **common}
        for span_s, step_s in ((900, 10), (3600, 60), (86_400, 600))
    ]


def swapped(ids: tuple[str, ...], mine: Ids, other: Ids, chance: random.Random) -> Values:
    """Return ids of which one at least is another's."""
    values: Values = {}
    certain = chance.choice(ids)
    for key in ids:
        kind = key.removesuffix("s")
        both = mine[kind] + other[kind]
        first = chance.choice(other[kind] if key == certain else both)
        values[key] = first if key == kind else [first, *chance.sample(both, chance.randint(0, 2))]
    return values


def without(values: Values, other: Ids) -> Values:
    """Return the same with ids that nobody has in place of another's."""

    def own(kind: str, value: int) -> int:
        return NOBODYS if value in other[kind] else value

    found = dict(values)
    for key, value in values.items():
        if isinstance(value, list):
            found[key] = [own(key.removesuffix("s"), each) for each in value]
        elif key in other:
            found[key] = own(key, value)
    return found


def test_t07_ids_of_another_ask_the_database_for_nothing(
    tenants: Tenants, database_server: DatabaseServer
) -> None:
    mine, other = ids_of(tenants.sites["acme-north"]), ids_of(tenants.sites["zeta-east"])
    chance = random.Random(7)
    enter = sql.queries("dashboard_access")["enter"]
    with psycopg.connect(tenants.url, options="-c search_path=visible,public") as db:
        asked, moments = questions(db, mine), times(db, time.time())

        def answer(question: Question, values: Values) -> list[Any]:
            return db.execute(question.statement, values).fetchall()

        db.execute(enter, {"tenant": "zeta", "facility": "", "role": "viewer"})
        told = 0
        for question in asked:
            theirs = moments[0] | swapped(question.ids, other, other, chance)
            told += answer(question, theirs) != answer(question, without(theirs, other))
        assert told >= 50, "so few of the questions tell their owner anything"
        for who in (
            {"tenant": "acme", "facility": "", "role": "viewer"},
            {"tenant": "acme", "facility": "acme-north", "role": "landlord"},
        ):
            db.execute(enter, who)
            nothing: dict[str, list[Any]] = {}
            for _ in range(ASKED_OF_DATABASE[database_server.tier] // 2):
                question = chance.choice(asked)
                tried = chance.choice(moments) | swapped(question.ids, mine, other, chance)
                nobodys = without(tried, other)
                key = f"{question} {nobodys}"
                if key not in nothing:
                    nothing[key] = answer(question, nobodys)
                assert answer(question, tried) == nothing[key], (question, tried)
