"""Every page with none, one, some thousand and 220,000 accelerators: whole, readable and honest.

All pages in three windows and both themes, with live data and then with the database stopped. A
page is opened once; windows and themes are switched on it, and while it is looked at the next one
comes in another tab. With FLEETGAUGE_SCREENSHOTS=1 the pictures of docs/screens/ are taken anew.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, expect

from simulator.services.postgres import Postgres
from tests.fix_browser import open_page
from tests.fix_dashboard_looks import LOOKS, faults_of, turn
from tests.fix_dashboard_sizes import SIZES
from tests.fix_dashboard_stage import Stage, arrive, depart, picture, show

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

# Of the believable fleet there are pictures of every page, of the others these.
USUAL = {"desk-dark": "dark", "desk-light": "light", "phone-dark": "phone"}
TELLING = {
    "believable-fleet-wide-dark": "fleet-wide",
    "believable-fleet-desk-dark-stopped": "fleet-no-database",
    "believable-pipeline-desk-dark-stopped": "pipeline-no-database",
    "none-fleet-desk-dark": "fleet-of-none",
    "one-fleet-desk-dark": "fleet-of-one",
    "one-host-phone-dark": "host-of-one-phone",
    "all-fleet-desk-dark": "fleet-of-220000",
    "all-map-desk-dark": "map-of-220000",
    "all-map-phone-light": "map-of-220000-phone",
    "all-facility-desk-light": "facility-of-44000",
    "all-wall-wide-dark": "wall-of-220000",
}
# What a page says where there is nothing to show: a text of its own, not a blank.
SAYS_SO = "main .empty, main .all-well"
CHECKED = "main .tick"
BRIGHT = "ticks => ticks.filter((tick) => getComputedStyle(tick).opacity === '1').length"


TABS = 2


@dataclass
class Show:
    """A fleet of one size, and tabs in which its pages come by turns.

    Attributes:
        errors: what the browser has complained of.
    """

    stage: Stage
    tabs: list[Page] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, browser: Browser) -> None:
        for _ in range(TABS):
            self.tabs.append(open_page(browser, self.errors.append, 1440, 900, "dark"))
            show(self.tabs[-1], self.stage.address + "/audit")

    def pages(self) -> Iterator[tuple[str, Page]]:
        """Yield each page once all its parts have come, while the next one is on its way."""
        pages = list(self.stage.cast.pages().items())
        asked = depart(self.tabs[0], pages[0][1])
        for n, (name, _) in enumerate(pages):
            self.stage.watch()
            tab = self.tabs[n % TABS]
            arrive(tab, asked)
            if n + 1 < len(pages):
                asked = depart(self.tabs[(n + 1) % TABS], pages[n + 1][1])
            yield name, tab

    def look_at_all(self, honest: Callable[[str, Page], None], state: str = "") -> list[str]:
        """Look at every page in each window and theme; say what is wrong."""
        found = []
        for n, (name, page) in enumerate(self.pages()):
            honest(name, page)
            # A tab is left as it is, and the page after the next begins with that.
            for window, theme in LOOKS if n // TABS % 2 == 0 else reversed(LOOKS):
                turn(page, window, theme)
                where = f"{self.stage.size}-{name}-{window}-{theme}{state}"
                found += [f"{where}: {fault}" for fault in faults_of(page)]
                take(page, where, name)
        return found


def take(page: Page, where: str, name: str) -> None:
    usual = {f"believable-{name}-{look}": f"{name}-{word}" for look, word in USUAL.items()}
    if file := TELLING.get(where, usual.get(where)):
        picture(page, file)


@pytest.fixture(scope="module", params=SIZES)
def sized(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Show]:
    if request.param == "believable":
        seen = Show(request.getfixturevalue("whole_stage"))
        seen.open(browser)
        yield seen
    else:
        with Postgres(durable=False) as database:
            seen = Show(Stage(database, request.param))
            seen.stage.start()
            seen.open(browser)
            yield seen
            seen.stage.stop()
    for tab in seen.tabs:
        tab.context.close()


def test_every_page_is_whole_with_live_data(sized: Show) -> None:
    def honest(name: str, page: Page) -> None:
        expect(page.locator("#live")).to_contain_text("live ·")
        if not sized.stage.cast.gpus:
            expect(page.locator(SAYS_SO).first).to_be_visible()
            assert page.locator(CHECKED).count() == 0, f"{name} says that nothing is well"

    assert sized.look_at_all(honest) == []
    assert sized.errors == []


def test_every_page_says_how_old_it_is_without_a_database(sized: Show) -> None:
    def honest(name: str, page: Page) -> None:
        expect(page.locator("#banner")).to_contain_text("Data as of")
        expect(page.locator("#live")).to_have_text("not live")
        assert page.locator(CHECKED).evaluate_all(BRIGHT) == 0, f"{name} calls it well"

    sized.stage.database.kill()
    try:
        for tab in sized.tabs:
            expect(tab.locator("#live")).to_have_text("not live")
        assert sized.look_at_all(honest, "-stopped") == []
    finally:
        sized.stage.database.start()
    assert sized.errors == []
