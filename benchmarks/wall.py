"""A map of every accelerator: what an update costs the server, the network and the browser.

Makes a fleet's rows, of which a tenth changes each second, and looks at the Map page and at the
Fleet page from three sides: the server's code with a stopwatch, a viewer's bytes on the live line
of a real dashboard process, and a real Chromium without a GPU.
"""

import argparse
import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import psycopg

from benchmarks.chromium import chromium, why_absent
from benchmarks.fleet_rows import FleetRows, Shape
from benchmarks.live_line import Heard, watch
from benchmarks.mover import Mover
from benchmarks.progress import Progress
from benchmarks.report import Figures, Report
from benchmarks.rig import Rig, rig, stack_of
from benchmarks.wall_build import measure_builds
from benchmarks.wall_paint import measure_paints

PAGES = {"": "/map", "fleet": "/"}
PAST = timedelta(hours=2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this bench."""
    parser.add_argument("--gpus", type=int, default=220_000, help="accelerators [220000]")
    parser.add_argument("--updates", type=int, default=20, help="updates to look at [20]")


def measure(arguments: argparse.Namespace) -> Report:
    """Look at both pages."""
    progress = Progress("wall")
    shape = Shape(arguments.gpus)
    absent = why_absent()
    runs: list[Figures] = []
    with ExitStack() as stack:
        made = stack.enter_context(rig(with_broker=False))
        fill(made, shape, progress)
        address = made.start_dashboard()
        stack.enter_context(Mover(made.database_url, shape))
        for number in range(arguments.runs):
            progress.say(f"run {number + 1} of {arguments.runs}")
            runs.append(_one_run(made, address, arguments.updates, progress, browse=not absent))
        services = stack_of(made.database_url, broker=False)
    progress.end()
    notes = [
        (
            "server_build is rendering and encoding in a process without viewers; server_refresh "
            "is the reading of what changed, before it, once for all pages"
        ),
        "update_bytes are of the message and its frames as they cross the network",
        "update_paint is from the message, whose frame came before it, to the painted canvas",
    ]
    return Report(
        bench="wall",
        parameters={"gpus": shape.gpus_made, "updates": arguments.updates, "changed_share": 0.1},
        stack=services,
        runs=runs,
        notes=[absent, *notes] if absent else notes,
    )


def fill(made: Rig, shape: Shape, progress: Progress) -> None:
    """Make the fleet and the past that the Fleet page draws."""
    progress.say(f"making {shape.gpus_made} accelerators")
    with psycopg.connect(made.database_url, autocommit=True) as connection:
        rows = FleetRows(connection, shape)
        rows.make_places()
        now = datetime.now(UTC)
        rows.make_facility_rollups(now - PAST, now)


def _one_run(
    made: Rig, address: str, updates: int, progress: Progress, *, browse: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, path in PAGES.items():
        progress.say(f"{path}: building")
        figures: dict[str, Any] = dict(measure_builds(made.database_url, path, updates))
        progress.say(f"{path}: bytes")
        figures |= asyncio.run(_bytes(address, path, updates))
        if browse:
            progress.say(f"{path}: painting")
            # Playwright holds the thread's event loop while it lives, hence one for each page.
            with chromium() as browser:
                figures |= measure_paints(browser, address, path, updates)
        else:
            figures |= dict.fromkeys(("first_paint_ms", "update_paint_ms_p50"))
        found |= {name: figures} if name else figures
    return found


async def _bytes(address: str, path: str, updates: int) -> dict[str, Any]:
    """Return the size of the first message with its frames, and of those that follow."""
    heard: list[Heard] = []
    async for message in watch(address, path):
        heard.append(message)
        # What comes before the first picture is there says that nothing is.
        if not any(h.frame_bytes for h in heard):
            heard.clear()
        if len(heard) > updates:
            break
    later = [h.message_bytes + h.frame_bytes for h in heard[1:] if h.frame_bytes]
    return {
        "first_bytes": heard[0].message_bytes + heard[0].frame_bytes,
        "update_bytes": median(later) if later else None,
        "update_message_bytes": median(h.message_bytes for h in heard[1:]),
    }
