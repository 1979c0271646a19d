"""How long `fleetgauge demo` takes until somebody sees something live.

A Chromium that is already running asks for the first page until it answers, then looks at every
frame: the clock stops when a facility's row shows a figure that is live and the frame with it was
drawn. It started when the demo's process was started, in an empty folder, so the database is made
as well. What `make demo` does before (a virtual environment from cached wheels) is not in it.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.chromium import HEIGHT_PX, WIDTH_PX, chromium, why_absent
from benchmarks.processes import cpu_seconds
from benchmarks.progress import Progress
from benchmarks.report import Figures, Report
from benchmarks.rig import answers, stack_of
from simulator.services.place import free_port
from simulator.supervisor import Program
from telemetry.errors import PermanentError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

START_S_MAX = 90.0
POLL_S = 0.05
STOP_S = 30.0
# Rows of facilities whose utilisation is a number, once two frames were drawn with them.
LIVE_ROWS = """() => {
  const rows = [...document.querySelectorAll(".fleet-row")].filter((row) =>
    /[0-9]/.test(row.querySelector(".cell-load b")?.textContent || ""));
  if (!document.querySelector(".live.good")) return 0;
  return rows.length;
}"""
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this bench."""
    parser.add_argument(
        "--recording",
        default="../shared/data/gentd26",
        metavar="FOLDER",
        help="the demo's recorded facility; without the folder it has two [../shared/data/gentd26]",
    )


def measure(arguments: argparse.Namespace) -> Report:
    """Start the demo and look at it."""
    progress = Progress("start")
    parameters: dict[str, Any] = {"recording": Path(arguments.recording).is_dir()}
    absent = why_absent()
    if absent:
        runs: list[Figures] = [{"first_live_pixel_s": None}]
        return Report(bench="start", parameters=parameters, runs=runs, notes=(absent,))
    runs = []
    with chromium() as browser:
        for number in range(arguments.runs):
            progress.say(f"run {number + 1} of {arguments.runs}")
            runs.append(_one_run(browser, arguments.recording))
    progress.end()
    return Report(
        bench="start",
        parameters=parameters,
        stack=stack_of(),
        runs=runs,
        notes=(
            "from the start of `fleetgauge demo` with an empty folder; the browser ran before",
            "cpu_seconds_until_live is the demo's alone; a busy machine takes longer for them",
            "a person who types `make demo` also waits for the virtual environment to be checked",
        ),
    )


def _one_run(browser: "Browser", recording: str) -> dict[str, float | None]:
    with TemporaryDirectory(prefix="fleetgauge-bench-") as folder:
        address = f"http://127.0.0.1:{(port := free_port())}"
        words = ("demo", "--port", str(port), "--data", f"{folder}/demo", "--recording", recording)
        program = Program("demo", words, {}, Path(folder))
        context = browser.new_context(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
        started_s = time.monotonic()
        program.start()
        try:
            deadline_s = started_s + START_S_MAX
            while not answers(f"{address}/healthz"):
                _still_there(program, deadline_s)
                time.sleep(POLL_S)
            page_s = time.monotonic() - started_s
            page = context.new_page()
            page.goto(f"{address}/")
            first_s = _wait_rows(page, 1, program, deadline_s) - started_s
            used_s = cpu_seconds(program.pid or 0)
            second_s = _wait_rows(page, 2, program, deadline_s) - started_s
        finally:
            context.close()
            program.stop(STOP_S)
    return {
        "first_live_pixel_s": first_s,
        "server_answers_s": page_s,
        "two_facilities_s": second_s,
        "cpu_seconds_until_live": used_s,
    }


def _wait_rows(page: "Page", count: int, program: Program, deadline_s: float) -> float:
    """Return when so many facilities were live and drawn, on the monotonic clock."""
    while page.evaluate(LIVE_ROWS) < count:
        _still_there(program, deadline_s)
        time.sleep(0.01)
    page.evaluate(DRAWN)
    return time.monotonic()


def _still_there(program: Program, deadline_s: float) -> None:
    if program.pid is None or time.monotonic() > deadline_s:
        tail = "\n".join(program.log_path.read_text(errors="replace").splitlines()[-10:])
        raise PermanentError(f"the demo is not live after {START_S_MAX:.0f} s:\n{tail}")
