"""What a page must look like in any window and theme: whole, nothing cut, nothing over another.

`turn(page, window, theme)` changes both on an open page; `faults_of(page)` says what is wrong with
its looks, in words, once it has settled.
"""

import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

WINDOWS = {"desk": (1440, 900), "wide": (1920, 1080), "phone": (390, 844)}
THEMES = ("dark", "light")
# Each window in each theme, and from one to the next but one of both changes.
LOOKS = (
    ("desk", "dark"), ("desk", "light"), ("wide", "light"),
    ("wide", "dark"), ("phone", "dark"), ("phone", "light"),
)  # fmt: skip
SETTLE_S = 60.0

FAULTS = (Path(__file__).parent / "browser" / "looks.js").read_text(encoding="utf-8")


def turn(page: Page, window: str, theme: str) -> None:
    """Give an open page another size and theme, as a reader would."""
    width, height = WINDOWS[window]
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate(
        "(theme) => { if (document.documentElement.dataset.theme === theme) return;"
        " fleetgauge.settle(theme, 'utc');"
        " document.dispatchEvent(new CustomEvent('fleetgauge-restyle')); }",
        theme,
    )


def faults_of(page: Page) -> list[str]:
    """Say what is wrong with a page's looks once it has settled; nothing if nothing is."""
    deadline_s = time.monotonic() + SETTLE_S
    found: Any = []
    while time.monotonic() < deadline_s:
        found = page.evaluate(FAULTS)
        if not found:
            return []
        page.wait_for_timeout(200)
    return [str(fault) for fault in found]
