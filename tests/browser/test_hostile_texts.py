"""Texts that agents and people send, full of markup, on every page in Chromium: nothing is made.

Every text column that takes one holds a payload, another one in each row. No script may run, and
pages, charts and what is told under the pointer must show payloads as the letters they are.
"""

import itertools
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Page
from psycopg import sql

from tests.fix_browser import MakePage
from tests.fix_dashboard_stage import show, wait_until
from tests.fix_tenants import Tenants

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(400)]

RUNS = "window.ran=1"
PAYLOADS = (
    f"<script>{RUNS}</script>", f"<img src=x onerror={RUNS}>", f"<svg onload={RUNS}>",
    f'"><img src=x onerror={RUNS}>', f"'><svg/onload={RUNS}>", f"</title><script>{RUNS}</script>",
    f'<a href="javascript:{RUNS}">x</a>', f"<iframe srcdoc='<script>parent.{RUNS}</script>'>",
    f"<details open ontoggle={RUNS}>", f"<body onload={RUNS}>", f"<input autofocus onfocus={RUNS}>",
    f"<math><mi xlink:href='javascript:{RUNS}'>", f"javascript:{RUNS}//", "<base href=//x.test/>",
    "<style>@import'data:text/css,*{}'</style>", "<meta http-equiv=refresh content=0;url=/x>",
    f"<object data='data:text/html,<script>{RUNS}</script>'>", f"${{{RUNS}}}{{{{{RUNS}}}}}",
    f"\\x3cimg src=x onerror={RUNS}\\x3e", f"&lt;img src=x onerror={RUNS}&gt;",
    f"<br><b>x</b><sup onmouseover={RUNS}>", f"%{{x}}%{{customdata}}<extra>{RUNS}</extra>",
    f"<a href='data:text/html,<script>{RUNS}</script>'>x</a>", f"<form action=javascript:{RUNS}>",
)  # fmt: skip
# Ends each payload: whoever reads one as markup shows the word without its tags.
MARK = "<b>made</b>"
TEXTS = """
    select c.table_name, c.column_name
    from information_schema.columns c
    join information_schema.tables t using (table_schema, table_name)
    where c.table_schema = 'public' and t.table_type = 'BASE TABLE' and c.data_type = 'text'
        and c.is_generated = 'NEVER'
"""
# By these the pages are found.
KEPT = {("facilities", "facility"), ("facilities", "tenant")}
WANTED = {
    ("facilities", "display_name"), ("racks", "rack"), ("hosts", "host"), ("events", "message"),
    ("accelerators", "model"), ("accelerators", "serial"), ("workload_intervals", "job"),
    ("workload_intervals", "user_name"), ("queue_state", "queue"), ("queue_samples", "queue"),
    ("incidents", "title"), ("incidents", "summary"), ("alerts", "summary"), ("alerts", "action"),
    ("alert_transitions", "note"), ("silences", "comment"), ("silences", "author"),
    ("outbox", "receiver"), ("delivery_attempts", "error"), ("quarantine", "detail"),
    ("state_intervals", "reason"), ("incident_notes", "text"),
}  # fmt: skip
PAGES = (
    "/", "/facility?facility=acme-north", "/host", "/host?facility=acme-north&host=known",
    "/host?facility=acme-north&host=known&gpu=0", "/host?facility=acme-north&rack=known",
    "/queues", "/health", "/alerts", "/alerts?incident=1", "/pipeline", "/wall", "/audit",
    "/map",
)  # fmt: skip
# Before anything of a page runs; an inline script would be a violation of its policy.
WATCH = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => {
  if (event.effectiveDirective.startsWith('script')) {
    window.violations.push(`policy: ${event.sample || event.blockedURI}`);
  }
});
"""
DRAWN = """[...document.querySelectorAll('.dash-graph')].every(
  (graph) => graph.querySelector('.js-plotly-plot')?._fullData?.length)"""
# With what each chart tells of its last points, as if the pointer were there.
MADE = """() => {
  for (const plot of document.querySelectorAll('.js-plotly-plot')) {
    const points = plot._fullData.filter((each) => each.visible === true && each.y?.length).map(
      (each) => ({curveNumber: each.index, pointNumber: each.y.findLastIndex((y) => y !== null)}));
    if (points.length) Plotly.Fx.hover(plot, points);
  }
  const found = [...window.violations, ...(window.ran ? ['it ran'] : [])];
  const made = 'img[src=x], iframe, object, base, math, details[ontoggle], input[onfocus],'
    + '[onerror], [onload], [onmouseover], [*|href^="javascript:" i], [*|href^="data:text" i]';
  for (const each of document.querySelectorAll(made)) found.push(each.outerHTML.slice(0, 200));
  const texts = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
  let shown = 0;
  while (texts.nextNode()) {
    const text = texts.currentNode.data;
    if (/(?<!<b>)made</.test(text) || /^made/.test(text)) {
      found.push(`read as markup: ${texts.currentNode.parentNode.outerHTML.slice(0, 200)}`);
    }
    shown += text.includes('<b>made');
  }
  return {found, shown, told: document.querySelectorAll('.hoverlayer text').length};
}"""


def fill_with_payloads(url: str) -> set[tuple[str, str]]:
    """Put a payload into every text column that takes it; return these columns."""
    filled = set()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(
            "insert into incident_notes (incident_id, time, author, kind, text)"
            " values (1, now(), 'x', 'comment', 'x')"
        )
        db.execute(
            "insert into audit (author, role, act, facility_id, incident_id, comment, before)"
            " select text, 'operator', text, 1, 1, text, jsonb_build_object(text, text)"
            " from unnest(%s::text[]) as text",
            ([payload + MARK for payload in PAYLOADS],),
        )
        columns = [each for each in db.execute(TEXTS).fetchall() if each not in KEPT]
        for number, (table, column) in enumerate(columns):
            # Unique, and at another payload in each column.
            statement = sql.SQL(
                "update {table} set {column} = ctid::text || (%(payloads)s::text[])"
                "[1 + (%(n)s + (ctid::text::point)[1]::integer) %% %(count)s] || %(mark)s"
            ).format(table=sql.Identifier(table), column=sql.Identifier(column))
            values = {"payloads": [*PAYLOADS], "n": number * 7, "count": len(PAYLOADS)}
            try:
                if db.execute(statement, values | {"mark": MARK}).rowcount:
                    filled.add((table, column))
            except psycopg.Error:
                continue  # a word of ours, as a state or a severity: no text from outside
        db.execute("update hosts set host = 'known' where host_id = 1")
        db.execute("update racks set rack = 'known' where rack_id = 1")
        db.execute("update events set detail = jsonb_build_object(message, message)")
    return filled


def look(page: Page, address: str) -> dict[str, Any]:
    """Return what was found on a page, how many payloads it shows, and how much its charts tell."""
    show(page, address)
    wait_until(page, DRAWN)
    seen: dict[str, Any] = page.evaluate(MADE)
    return seen


def point_at_a_cell(page: Page) -> None:
    """Have the map tell what is under the pointer."""
    canvas, tip = page.locator("main canvas[data-paint=mosaic]").first, page.locator("#tip")
    for n in itertools.count():
        box = canvas.bounding_box()
        if box is not None:
            page.mouse.move(box["x"] + 4 + n % 3, box["y"] + box["height"] / 2)
        page.wait_for_timeout(200)
        if MARK in (tip.text_content() or ""):
            return


@pytest.mark.parametrize("database_server", ["postgres"], indirect=True)  # any does
def test_t10_no_text_from_outside_is_read_as_markup_on_any_page(
    make_page: MakePage, tenants: Tenants, serve_dashboard: Callable[..., str]
) -> None:
    filled = fill_with_payloads(tenants.url)
    assert filled >= WANTED
    address = serve_dashboard(database_url=tenants.url, tick_interval_s=0.2)
    page = make_page(1440, 900, "dark")
    page.add_init_script(WATCH)
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog: {dialog.message}"))
    seen = {path: look(page, address + path) for path in PAGES}
    assert {path: each["found"] for path, each in seen.items() if each["found"]} == {}
    assert [path for path, each in seen.items() if not each["shown"]] == [], "nothing to see"
    assert sum(each["told"] for each in seen.values()) > 10
    point_at_a_cell(page)  # of the map, which is open
    assert page.evaluate(MADE)["found"] == []
