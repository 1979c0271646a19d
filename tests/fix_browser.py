"""A real Chromium for tests of rendered pages, driven by Playwright.

`make_page(width, height, scheme)` opens a page of its own context; `page` is the usual 1440x900.
Errors of all of a test's pages gather in `console_errors`, for the test to look at.
`open_page` is for pages that outlive a test.
"""

import shutil
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.fix_services import skip_or_fail

FLAGS = (
    "--no-sandbox",  # Chromium refuses its sandbox to root, and containers run tests as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

MakePage = Callable[..., Page]


# NOTE: for a module, not for the run: while it lives, Playwright holds the main thread's event
# loop, and an `asyncio.run` in another test would fail.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        skip_or_fail("no Chromium on this machine; Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield instance
        instance.close()


@pytest.fixture
def console_errors() -> list[str]:
    return []


def open_page(
    browser: Browser,
    tell: Callable[[str], None],
    width_px: int = 1440,
    height_px: int = 900,
    scheme: Literal["light", "dark"] = "light",
    zone: str = "UTC",
    dots: float = 1.0,
) -> Page:
    """Open a page of its own context, with `dots` of the screen a pixel; its errors are told."""
    context = browser.new_context(
        viewport={"width": width_px, "height": height_px},
        color_scheme=scheme,
        timezone_id=zone,
        device_scale_factor=dots,
    )

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            tell(message.text)

    page = context.new_page()
    page.on("console", on_console)
    page.on("pageerror", lambda error: tell(str(error)))
    return page


@pytest.fixture
def make_page(browser: Browser, console_errors: list[str]) -> Iterator[MakePage]:
    pages: list[Page] = []

    def make(*looks: Any, **more: Any) -> Page:
        pages.append(open_page(browser, console_errors.append, *looks, **more))
        return pages[-1]

    yield make
    for page in pages:
        page.context.close()


@pytest.fixture
def page(make_page: MakePage) -> Page:
    return make_page()
