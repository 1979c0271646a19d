"""Every page with no accelerator and with one: whole, readable and honest.

All pages in three windows and both themes, with live data and then with the database stopped. A
page is opened once; windows and themes are switched on it. FLEETGAUGE_SCREENSHOTS=1 does the same
with some thousand and with 220,000 accelerators, and takes the pictures of docs/screens/ anew.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from simulator.services.postgres import Postgres
from tests.fix_browser import MakePage
from tests.fix_dashboard_looks import THEMES, WINDOWS, faults_of, turn
from tests.fix_dashboard_sizes import SIZES
from tests.fix_dashboard_stage import TAKE, Stage, go, picture, show

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

# Besides every page of the believable fleet, in the dark and at a desk.
TELLING = {
    "believable-fleet-desk-light": "fleet-light",
    "believable-fleet-wide-dark": "fleet-wide",
    "believable-fleet-phone-dark": "fleet-phone",
    "believable-facility-phone-dark": "facility-phone",
    "believable-alerts-phone-light": "alerts-phone",
    "believable-host-desk-light": "host-light",
    "believable-gpu-phone-dark": "gpu-phone",
    "believable-fleet-desk-dark-stopped": "fleet-no-database",
    "none-fleet-desk-dark": "fleet-of-none",
    "one-fleet-desk-dark": "fleet-of-one",
    "one-host-phone-dark": "host-of-one-phone",
    "all-fleet-desk-dark": "fleet-of-220000",
    "all-map-desk-dark": "map-of-220000",
    "all-map-phone-light": "map-of-220000-phone",
    "all-facility-desk-light": "facility-of-44000",
}
# What a page says where there is nothing to show: a text of its own, not a blank.
SAYS_SO = "main .empty, main .all-well"
CHECKED = "main .tick"
BRIGHT = "ticks => ticks.filter((tick) => getComputedStyle(tick).opacity === '1').length"


@pytest.fixture(scope="module", params=SIZES if TAKE else ("none", "one"))
def sized_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    if request.param == "believable":
        yield request.getfixturevalue("whole_stage")
        return
    with Postgres(durable=False) as database:
        stage = Stage(database, request.param)
        stage.start()
        yield stage
        stage.stop()


def look(page: Page, size: str, name: str, state: str = "") -> list[str]:
    """Look at an open page in each window and theme; say what is wrong."""
    found = []
    for theme in THEMES:
        for window in WINDOWS:
            turn(page, window, theme)
            where = f"{size}-{name}-{window}-{theme}{state}"
            found += [f"{where}: {fault}" for fault in faults_of(page)]
            usual = f"{name}-dark" if where == f"believable-{name}-desk-dark" else ""
            if file := TELLING.get(where, usual):
                picture(page, file)
    return found


def test_every_page_is_whole_with_live_data(
    sized_stage: Stage, make_page: MakePage, console_errors: list[str]
) -> None:
    page = make_page(1440, 900, "dark")
    found: list[str] = []
    show(page, sized_stage.address + "/audit")
    for name, path in sized_stage.cast.pages().items():
        sized_stage.watch()
        go(page, path)
        expect(page.locator("#live")).to_contain_text("live ·")
        if not sized_stage.cast.gpus:
            expect(page.locator(SAYS_SO).first).to_be_visible()
            assert page.locator(CHECKED).count() == 0, f"{name} says that nothing is well"
        found += look(page, sized_stage.size, name)
    assert found == []
    assert console_errors == []


def test_every_page_says_how_old_it_is_without_a_database(
    sized_stage: Stage, make_page: MakePage, console_errors: list[str]
) -> None:
    page = make_page(1440, 900, "dark")
    found: list[str] = []
    show(page, sized_stage.address + "/audit")
    sized_stage.database.kill()
    try:
        expect(page.locator("#live")).to_have_text("not live")
        for name, path in sized_stage.cast.pages().items():
            go(page, path)
            expect(page.locator("#banner")).to_contain_text("Data as of")
            expect(page.locator("#live")).to_have_text("not live")
            expect(page.locator("main .slot:not(.filled)")).to_have_count(0)
            assert page.locator(CHECKED).evaluate_all(BRIGHT) == 0, f"{name} calls it well"
            found += look(page, sized_stage.size, name, "-stopped")
    finally:
        sized_stage.database.start()
    assert found == []
    assert console_errors == []
