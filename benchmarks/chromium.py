"""A real browser for the benches: what a person sees, and when.

Owns finding and starting Chromium; a bench that wants it and has none reports null with the reason.
No GPU is used, as on the machine that the targets are for.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.processes import family

if TYPE_CHECKING:  # Playwright is in the extra `dev`; the other benches run without it
    from playwright.sync_api import Browser

FLAGS = (
    "--no-sandbox",  # Chromium refuses its sandbox to root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTH_PX, HEIGHT_PX = 1440, 900


def why_absent() -> str:
    """Return why there is no browser; empty when there is one."""
    if _program() is None:
        return "no Chromium on this machine (Debian: apt-get install chromium)"
    if find_spec("playwright") is None:
        return "no Playwright in this environment (it is in the extra `dev`)"
    return ""


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Run a Chromium inside the block; ask `why_absent` first."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - see above

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_program(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def browser_cpu_seconds() -> float:
    """Return the processor time that this process's browsers have used."""
    own = [member for member in family(os.getpid()) if member.name().startswith("chromium")]
    times = [member.cpu_times() for member in own]
    return sum(time.user + time.system for time in times)


def _program() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")
