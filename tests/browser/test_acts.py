"""What an operator does in a browser: the acts of an incident, and the end of a silence."""

from collections.abc import Callable

import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.fix_browser import MakePage
from tests.fix_dashboard_stage import show
from tests.fix_tenants import Tenants

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


def act(page: Page, label: str, **fields: str) -> None:
    form = page.locator("#acts form").filter(has=page.get_by_role("button", name=label, exact=True))
    for name, value in fields.items():
        form.locator(f"input[name={name}]").fill(value)
    form.get_by_role("button").click()


def test_an_operator_acts_and_ends_a_silence_and_the_audit_tells(
    make_page: MakePage,
    tenants: Tenants,
    serve_dashboard: Callable[..., str],
    console_errors: list[str],
) -> None:
    address = serve_dashboard(database_url=tenants.url, tick_interval_s=0.2)
    incident = tenants.sites["acme-north"].incident_id
    page = make_page(1440, 900, "dark")
    show(page, f"{address}/alerts?incident={incident}")
    told = page.locator("#acts .told")
    act(page, "Acknowledge", comment="mine")
    expect(told).to_have_text("1 alerts acknowledged")
    act(page, "Comment", comment="the pump is off")
    expect(told).to_have_text("comment kept")
    expect(page.locator("#incident-notes")).to_contain_text("the pump is off")
    act(page, "Assign", to="grace")
    expect(told).to_have_text("assigned to grace")
    act(page, "Silence", comment="known", hours="2")
    expect(told).to_contain_text("silenced until")
    show(page, f"{address}/alerts")
    row = page.locator("#alerts-silences tr").filter(has_text="known")
    expect(row).to_have_count(1)
    row.get_by_role("button", name="End").click()
    expect(page.locator("#alerts-silences tr").filter(has_text="known")).to_have_count(0)
    show(page, f"{address}/audit")
    for word in ("acknowledge", "comment", "assign", "silence", "end silence"):
        expect(page.locator("main")).to_contain_text(word)
    assert console_errors == []
    with psycopg.connect(tenants.url) as db:
        authors = db.execute("select distinct author, count(*) from audit group by 1").fetchall()
    assert authors == [("local", 5)]
