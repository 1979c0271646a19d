"""The dashboard's work for one update of a page, in this process and with a stopwatch.

Owns calling the parts of the dashboard that a tick consists of: reading what changed into the
picture, rendering a page, encoding its slots. It is the same code that the server runs; the socket
and the viewers are not in it.
"""

import asyncio
import time
from dataclasses import dataclass, field
from importlib import import_module

from benchmarks.report import Figure, percentile
from dashboard.broadcast import Broadcaster
from dashboard.markup import encode
from dashboard.pages import PAGES
from dashboard.queries import Queries
from dashboard.settings import DashboardSettings
from dashboard.view import View
from dashboard.watch import Watch
from telemetry.clock import SystemClock
from telemetry.errors import RetryableError

OPEN_S_MAX = 120.0
TICK_S = 1.0


@dataclass(slots=True)
class Spent:
    """Milliseconds of each tick."""

    refresh_ms: list[float] = field(default_factory=list)
    build_ms: list[float] = field(default_factory=list)
    build_cpu_ms: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Figure]:
        """Return the medians."""
        return {
            "server_build_ms_p50": percentile(self.build_ms, 50),
            "server_build_cpu_ms_p50": percentile(self.build_cpu_ms, 50),
            "server_refresh_ms_p50": percentile(self.refresh_ms, 50),
        }


def measure_builds(url: str, path: str, updates: int) -> dict[str, Figure]:
    """Build so many updates of a page, one a second, and return what they took."""
    return asyncio.run(_measure(url, path, updates))


async def _measure(url: str, path: str, updates: int) -> dict[str, Figure]:
    # The first reading of a whole fleet may take longer than the server allows for itself.
    queries = Queries(DashboardSettings(database_url=url, statement_timeout_ms=60_000))
    clock, spent = SystemClock(), Spent()
    module = import_module(PAGES[path])
    # Its pictures are the measured ones; only what stands beside them is the broadcaster's.
    broadcaster = Broadcaster(queries, {path: module.render}, clock)
    watch = Watch(queries, clock)
    view = View.parse(path, "")
    await queries.open()
    try:
        await _first(watch)
        for number in range(updates + 1):
            started_s = time.monotonic()
            await watch.refresh()
            refreshed_s = time.monotonic()
            sources = broadcaster.sources()
            sources.picture, sources.as_of_s, sources.trouble = watch.picture, watch.as_of_s, ""
            cpu_s, built_s = time.thread_time(), time.monotonic()
            for slot in (await module.render(view, sources)).values():
                encode(slot)
            if number:  # the first one makes the layout
                spent.refresh_ms.append(1000 * (refreshed_s - started_s))
                spent.build_ms.append(1000 * (time.monotonic() - built_s))
                spent.build_cpu_ms.append(1000 * (time.thread_time() - cpu_s))
            await asyncio.sleep(max(0.0, started_s + TICK_S - time.monotonic()))
    finally:
        await queries.close()
    return spent.figures()


async def _first(watch: Watch) -> None:
    """Read the fleet for the first time, as soon as the pool is connected."""
    until_s = time.monotonic() + OPEN_S_MAX
    while True:
        try:
            return await watch.refresh()
        except RetryableError:
            if time.monotonic() > until_s:
                raise
        await asyncio.sleep(0.1)
