"""Queries of the dashboard end with whoever waits for them, and at their limit."""

import json
from collections.abc import Callable

import httpx
import psycopg
import pytest
from websockets.sync.client import ClientConnection

from tests.fix_live import live_line
from tests.fix_tenants import Tenants
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PATIENCE_S = 120
CONNECTIONS = 3
GOOD = "facility=acme-north&host=acme-north-host-0&gpu=0&incident=1"


def line_to(client: httpx.Client) -> ClientConnection:
    return live_line(str(client.base_url))


def waiting(url: str) -> int:
    """How many queries of the dashboard wait for a lock."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where state = 'active'"
            " and application_name = 'fleetgauge-dashboard' and wait_event_type = 'Lock'"
        ).fetchone()
    return row[0] if row else 0


def test_f39_a_query_ends_when_nobody_waits_for_it_any_more(
    tenants: Tenants, serve_dashboard: Callable[..., str]
) -> None:
    address = serve_dashboard(
        database_url=tenants.url, statement_timeout_ms=60_000, database_connections_max=CONNECTIONS
    )
    with httpx.Client(base_url=address, timeout=PATIENCE_S) as client:
        client.get("/find?q=acme")  # the first look is over
        with psycopg.connect(tenants.url) as holder:
            holder.execute("lock table events in access exclusive mode")
            for _ in range(CONNECTIONS + 1):  # each gives its connection back
                with client.stream("GET", f"/export/events.csv?{GOOD}"):
                    until(lambda: waiting(tenants.url) == 1, PATIENCE_S)
                until(lambda: waiting(tenants.url) == 0, PATIENCE_S)
            with line_to(client) as line:
                line.send(json.dumps({"path": "/facility", "search": "?facility=acme-north"}))
                until(lambda: waiting(tenants.url) > 0, PATIENCE_S)
            until(lambda: waiting(tenants.url) == 0, PATIENCE_S)
        assert "incomplete" not in client.get(f"/export/events.csv?{GOOD}").text


def test_f39_a_query_that_takes_too_long_is_stopped_and_the_file_says_so(
    tenants: Tenants, serve_dashboard: Callable[..., str]
) -> None:
    address = serve_dashboard(database_url=tenants.url, statement_timeout_ms=200)
    with httpx.Client(base_url=address, timeout=PATIENCE_S) as client:
        client.get("/find?q=acme")
        with psycopg.connect(tenants.url) as holder:
            holder.execute("lock table events in access exclusive mode")
            answer = client.get(f"/export/events.csv?{GOOD}")
            assert answer.status_code == 200
            assert "incomplete: the query events took too long" in answer.text
            assert waiting(tenants.url) == 0
