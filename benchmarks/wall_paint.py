"""A map in Chromium: how long until it is first painted, and how long an update takes.

Owns the script that notes times inside the page. A message's time is when the socket has it, its
frame is there by then; an update is painted with the frame after the canvas says so.
"""

import time
from typing import TYPE_CHECKING, Any

from benchmarks.chromium import HEIGHT_PX, WIDTH_PX
from benchmarks.report import Figure, percentile

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FIRST_S_MAX = 60.0
UPDATES_S_MAX = 120.0
NOTE_PAINTS = """
window.paints = [];
window.heard = 0;
window.WebSocket = class extends WebSocket {
  constructor(...words) {
    super(...words);
    this.addEventListener("message", ({ data }) => {
      if (typeof data === "string") window.heard = performance.now();
    });
  }
};
new MutationObserver((changes) => {
  if (!changes.some((change) => change.target.dataset.paint === "mosaic")) return;
  const done = performance.now();
  const heard = window.heard;
  if (heard === window.painted) return;  // once more what is there: another size, Dash's own page
  window.painted = heard;
  requestAnimationFrame(() => setTimeout(
    () => window.paints.push({ heard, done, shown: performance.now() }), 0));
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["data-painted"] });
"""


def measure_paints(browser: "Browser", address: str, path: str, updates: int) -> dict[str, Figure]:
    """Open a page anew and look at so many updates of its map."""
    context = browser.new_context(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
    try:
        page = context.new_page()
        page.add_init_script(NOTE_PAINTS)
        page.goto(f"{address}{path}", wait_until="commit")
        first = _take(page, 1, FIRST_S_MAX)
        paints = _take(page, updates, UPDATES_S_MAX) if first else []
    finally:
        context.close()
    return figures_of(first, paints)


def figures_of(first: list[dict[str, float]], paints: list[dict[str, float]]) -> dict[str, Figure]:
    """Return the figures of a first paint and of those that followed, all in page time."""
    alone = [p["done"] - p["heard"] for p in paints if p["heard"] > 0]
    whole = [p["shown"] - p["heard"] for p in paints if p["heard"] > 0]
    return {
        "first_paint_ms": first[0]["shown"] if first else None,
        "update_paint_ms_p50": percentile(alone, 50),
        "update_message_to_screen_ms_p50": percentile(whole, 50),
        "updates_painted": len(paints),
    }


def _take(page: "Page", count: int, seconds: float) -> list[dict[str, float]]:
    """Return the next paints, or those there are when the time is over."""
    found: list[dict[str, Any]] = []
    deadline_s = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline_s:
        found += page.evaluate("() => window.paints.splice(0)")
        time.sleep(0.2)
    return found
