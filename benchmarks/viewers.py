"""What a crowd of viewers costs the dashboard, and how late the last of them is.

Viewers of the Fleet page and of the Map, as many of each, watch a real dashboard process over the
page's own protocol, without browsers: a socket each, over which the frames come too. Beneath them a
made fleet changes, a tenth of the hosts a second. The server's processor time is looked at twice,
with one viewer of each page and with the crowd; the difference is what viewers cost.
"""

import argparse
import json
import subprocess
import sys
import time
from typing import Any

from benchmarks.fleet_rows import Shape
from benchmarks.mover import Mover
from benchmarks.processes import cpu_seconds, memory
from benchmarks.progress import Progress
from benchmarks.report import Figures, Report, percentile
from benchmarks.rig import Rig, rig, stack_of
from benchmarks.wall import fill

PATHS = ("/", "/map")
JOINING_S = 15.0
CROWD_S_MAX = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this bench."""
    parser.add_argument("--viewers", type=int, default=100, help="viewers, all in all [100]")
    parser.add_argument("--gpus", type=int, default=220_000, help="accelerators [220000]")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to look [60]")


def measure(arguments: argparse.Namespace) -> Report:
    """Let few and then many look."""
    progress = Progress("viewers")
    shape = Shape(arguments.gpus)
    runs: list[Figures] = []
    with rig(with_broker=False) as made:
        fill(made, shape, progress)
        address = made.start_dashboard("--viewers-max", str(2 * arguments.viewers + 10))
        with Mover(made.database_url, shape):
            for number in range(arguments.runs):
                progress.say(f"run {number + 1} of {arguments.runs}")
                runs.append(_one_run(made, address, arguments, progress))
        stack = stack_of(made.database_url, broker=False)
    progress.end()
    return Report(
        bench="viewers",
        parameters={
            "viewers": arguments.viewers,
            "pages": list(PATHS),
            "gpus": shape.gpus_made,
            "seconds": arguments.seconds,
        },
        stack=stack,
        runs=runs,
        notes=(
            (
                "server_cpu holds reading the fleet from the database and computing both pages, "
                "which is the same for one viewer and for all"
            ),
            (
                "viewer_lag is the age of the data when a viewer has message and frames: it begins "
                "when the server begins to ask the database"
            ),
        ),
    )


def _one_run(
    made: Rig, address: str, arguments: argparse.Namespace, progress: Progress
) -> dict[str, Any]:
    few = _look(made, address, len(PATHS), arguments.seconds / 2, progress)
    many = _look(made, address, arguments.viewers, arguments.seconds, progress)
    pid = made.programs["dashboard"].pid
    return {
        "viewers": arguments.viewers,
        "server_cpu_percent_of_core": many["cpu_percent"],
        "server_cpu_percent_of_core_one_viewer_a_page": few["cpu_percent"],
        "viewer_lag_ms_p50": percentile(many["ages_ms"], 50),
        "viewer_lag_ms_p99": percentile(many["ages_ms"], 99),
        "viewer_lag_ms_p99_one_viewer_a_page": percentile(few["ages_ms"], 99),
        "behind_first_viewer_ms_p99": percentile(many["behind_ms"], 99),
        "updates_per_viewer_per_second": len(many["ages_ms"])
        / arguments.viewers
        / arguments.seconds,
        "bytes_per_viewer_per_second": many["received_bytes"]
        / arguments.viewers
        / arguments.seconds,
        "viewers_cut_off": many["failures"],
        "server_rss_mib": memory(pid).rss_mib if pid is not None else None,
    }


def _look(
    made: Rig, address: str, viewers: int, seconds: float, progress: Progress
) -> dict[str, Any]:
    """Let so many viewers look; return what they saw and what the server used meanwhile."""
    from_s = time.time() + JOINING_S
    words = [address, str(viewers), str(from_s), str(from_s + seconds), *PATHS]
    crowd = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.crowd", *words], stdout=subprocess.PIPE
    )
    try:
        progress.wait(from_s - time.time(), f"{viewers} viewers: coming")
        pid = made.programs["dashboard"].pid or 0
        used_s, started_s = cpu_seconds(pid), time.monotonic()
        progress.wait(seconds, f"{viewers} viewers: looking")
        percent = 100 * (cpu_seconds(pid) - used_s) / (time.monotonic() - started_s)
        output, _ = crowd.communicate(timeout=CROWD_S_MAX)
    finally:
        crowd.kill()
        crowd.wait()
    found: dict[str, Any] = json.loads(output)
    return found | {"cpu_percent": percent}
