"""A moving fleet with the dashboard in front of it, and pages of it in Chromium.

A stage moves only while somebody looks. `stage` is the one with the believable fleet, one a run.
`visit(path, width, height, scheme)` goes to a page of it by a link, on the page that the test
before has left, since to load one takes seconds; `load` does. `go(page, path)` follows a link.
With FLEETGAUGE_SCREENSHOTS=1 `picture(page, name)` takes the pictures of docs/screens/ anew.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect

from simulator.services.postgres import Postgres
from tests.fix_browser import MakePage, open_page
from tests.fix_dashboard_data import make_schema
from tests.fix_dashboard_serve import Serving
from tests.fix_dashboard_sizes import SIZES

SCREENS = Path(__file__).parent.parent / "docs" / "screens"
TAKE = os.environ.get("FLEETGAUGE_SCREENSHOTS") == "1"
PATIENCE_MS = 60_000
# For how long after a page was opened the fleet goes on moving.
WATCHED_S = 120

# What a reader chose is forgotten.
AS_NEW = """() => {
  localStorage.clear();
  document.activeElement.blur();
  fleetgauge.settle('', 'utc');
  document.dispatchEvent(new CustomEvent('fleetgauge-restyle'));
}"""

Visit = Callable[..., Page]
Scheme = Literal["light", "dark"]


class Stage:
    """A database with a moving fleet, and the dashboard in front of it."""

    def __init__(self, database: Postgres, size: str = "believable") -> None:
        self.database = database
        self.size = size
        self.cast = SIZES[size](database.address)
        self.serving = Serving(database_url=database.address)
        self.address = self.serving.address
        self.watched_s = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._move)

    def start(self) -> None:
        make_schema(self.database.address)
        now_s = time.time()
        self.cast.fill(now_s)
        self.serving.start()
        self._thread.start()

    def watch(self) -> None:
        """Go on moving for a while: somebody looks."""
        self.watched_s = time.monotonic()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        self.serving.stop()

    def _move(self) -> None:
        while not self._ended.wait(self.cast.every_s):
            if time.monotonic() - self.watched_s > WATCHED_S:
                continue
            try:
                self.cast.tick(time.time())
            except psycopg.Error:
                continue  # a test has stopped the database


@pytest.fixture(scope="session")
def whole_stage() -> Iterator[Stage]:
    with Postgres(durable=False) as database:
        stage = Stage(database)
        stage.start()
        yield stage
        stage.stop()


@pytest.fixture
def stage(whole_stage: Stage) -> Stage:
    whole_stage.watch()
    return whole_stage


@pytest.fixture
def load(stage: Stage, make_page: MakePage) -> Visit:
    def open_it(path: str, width: int = 1440, height: int = 900, scheme: str = "dark") -> Page:
        page = make_page(width, height, scheme)
        show(page, stage.address + path)
        return page

    return open_it


class Left:
    """The page that the test before has left, and to whom its errors are told."""

    def __init__(self) -> None:
        self.page: Page | None = None
        self.errors: list[str] = []

    def tell(self, error: str) -> None:
        self.errors.append(error)

    def close(self) -> None:
        if self.page is not None:
            self.page.context.close()
        self.page = None


@pytest.fixture(scope="module")
def left(browser: Browser) -> Iterator[Left]:
    left = Left()
    yield left
    left.close()


@pytest.fixture
def visit(
    request: pytest.FixtureRequest,
    stage: Stage,
    browser: Browser,
    left: Left,
    console_errors: list[str],
) -> Iterator[Visit]:
    left.errors = console_errors

    def go_there(path: str, width: int = 1440, height: int = 900, scheme: Scheme = "dark") -> Page:
        page = left.page
        if page is None:
            left.page = page = open_page(browser, left.tell, width, height, scheme)
            show(page, stage.address + path)
            return page
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        page.mouse.move(0, 0)
        page.evaluate(AS_NEW)
        if page.url == stage.address + path:  # nothing would be asked for
            go(page, "/pipeline" if path == "/audit" else "/audit")
        go(page, path)
        expect(page.locator("#live")).to_contain_text("live ·")
        return page

    failed = request.session.testsfailed
    yield go_there
    if request.session.testsfailed > failed:
        left.close()  # who knows what is on it


def show(page: Page, address: str) -> None:
    """Open a page and wait until it is live and all its parts have come."""
    expect.set_options(timeout=PATIENCE_MS)
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    # What came with the document has given its place to Dash's page.
    expect(page.locator("#first")).to_have_count(0)
    expect(page.locator("#live")).to_contain_text("live ·")
    expect(page.locator("main .slot:not(.filled)")).to_have_count(0)


def go(page: Page, path: str) -> None:
    """Follow a link on an open page and wait until all parts of the next one have come."""
    arrive(page, depart(page, path))


def depart(page: Page, path: str) -> int:
    """Follow a link on an open page; return how often it had asked for something before."""
    asked: int = page.evaluate("fleetgauge.state.ask")
    page.evaluate("(path) => fleetgauge.go(path)", path)
    return asked


def arrive(page: Page, asked: int) -> None:
    """Wait until all parts of the page that a link leads to have come."""
    wait_until(page, f"fleetgauge.state.ask > {asked}")
    expect(page.locator("main .slot:not(.filled)")).to_have_count(0)


def wait_until(page: Page, told: str) -> None:
    """Wait until an expression of the page is true; Playwright's own would need `unsafe-eval`."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not page.evaluate(told):
        assert time.monotonic() < deadline, told
        page.wait_for_timeout(100)


def picture(page: Page, name: str) -> None:
    """Take a picture for docs/screens/, if asked to, once nothing on the page moves any more."""
    if not TAKE:
        return
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)
    # On a wall nobody points: its controls would lie over what it says.
    page.evaluate("document.documentElement.classList.remove('pointed')")
    page.screenshot(path=SCREENS / f"{name}.png")
