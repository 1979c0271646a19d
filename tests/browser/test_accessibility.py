"""Every page in both themes under axe-core: what it can find by itself is not there.

https://github.com/dequelabs/axe-core, installed by .ci/services. What it cannot judge (order of
focus, keys, names that make sense) is in test_reader.py.
"""

import psycopg
import pytest
from playwright.sync_api import Page

from simulator.services.installed import installed
from simulator.services.place import ServiceError
from tests.fix_browser import MakePage
from tests.fix_dashboard_stage import Stage, go, show
from tests.fix_services import skip_or_fail

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

# What a script of ours puts on a page once it is live.
ADDED = {"incident": "#acts form", "alerts": ".end-silence button"}
SCAN = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations.map(
    ({id, nodes}) => `${id}: ${nodes.slice(0, 3).map(({html}) => html.slice(0, 160)).join(' | ')}`
)"""


@pytest.fixture
def scanned(make_page: MakePage) -> Page:
    try:
        folder = installed("axe", "complete")
    except ServiceError as error:
        skip_or_fail(str(error))
    page = make_page(1440, 900, "dark")
    # Not a script tag: the page lets nobody else's scripts in.
    page.add_init_script(path=folder / "node_modules/axe-core/axe.min.js")
    return page


def test_a_scan_of_every_page_in_both_themes_finds_nothing(scanned: Page, stage: Stage) -> None:
    with psycopg.connect(stage.database.address) as db:
        db.execute(
            "insert into audit (author, role, act, incident_id, comment)"
            " values ('grace', 'operator', 'comment', 2, 'the pump is off')"
        )
    found = []
    show(scanned, stage.address + "/audit")
    for name, path in stage.cast.pages().items():
        go(scanned, path)
        if name in ADDED:
            scanned.locator(ADDED[name]).first.wait_for()
        for theme in ("dark", "light"):
            scanned.evaluate(
                "(theme) => { fleetgauge.settle(theme, 'utc');"
                " document.dispatchEvent(new CustomEvent('fleetgauge-restyle')); }",
                theme,
            )
            found += [f"{name}, {theme}: {told}" for told in scanned.evaluate(SCAN)]
    assert found == []
