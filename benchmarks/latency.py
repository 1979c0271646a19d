"""From a reading on a host to a picture, and from an Xid to somebody's telephone.

Everything runs at once on this machine: agents, broker, collectors, database, alerts, dashboard, a
browser, and the sender of `fleetgauge bench ingest`, which keeps the pipe busy at a message rate as
a fleet of as many hosts would. Where the collectors fall behind it waits, so the rate that is
reported is the one that was stored. One probe agent sends each reading by itself; its times are
compared with those at which they are stored, are on the dashboard's live line, and are drawn by
Chromium. Others have one Xid each, alone in their facility, and the clock runs until a webhook has
the alert.

An agent with default settings sends ten readings together, so its own readings are up to nine
seconds older than the probe's when they arrive; `--probe-ticks-per-message 10` measures that.
"""

import argparse
import random
import time
from contextlib import ExitStack
from typing import Any

from benchmarks.chromium import browser_cpu_seconds
from benchmarks.ingest import (
    ROWS_PER_MESSAGE,
    make_places,
    start_collectors,
    steady_load,
    wait_for_collectors,
)
from benchmarks.latency_watch import Seen, Watchers
from benchmarks.probes import Probes
from benchmarks.processes import cpu_seconds
from benchmarks.progress import Progress
from benchmarks.report import Figures, Report, percentile
from benchmarks.rig import Rig, rig, stack_of
from benchmarks.sender import sending

MESSAGES_PER_SECOND = 2750
SETTLE_S = 20.0
# Of the load, before the sender waits.
BACKLOG_S_MAX = 20.0
LOAD_START_S_MAX = 300.0
# The sender is ended by the bench, long before that.
LOAD_S = 24 * 3600.0
# What is on its way when the last Xid was raised may still come.
LAST_S_MAX = 20.0
WEBHOOK_NETWORK = "127.0.0.0/8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this bench."""
    parser.add_argument(
        "--messages-per-second",
        type=int,
        default=MESSAGES_PER_SECOND,
        help=f"samples messages of ten ticks of eight GPUs as load [{MESSAGES_PER_SECOND}]",
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to look [120]")
    parser.add_argument("--xids", type=int, default=20, help="Xids, one an agent [20]")
    parser.add_argument(
        "--probe-ticks-per-message", type=int, default=1, help="readings in a probe's message [1]"
    )
    parser.add_argument("--collectors", type=int, default=1, help="collector processes [1]")
    parser.add_argument(
        "--broker", default="", help="kafka, or HOST:PORT, instead of the embedded broker"
    )
    parser.add_argument("--database", default="", help="URL instead of the embedded database")


def measure(arguments: argparse.Namespace) -> Report:
    """Run the pipe under load and look at the probes."""
    progress = Progress("latency")
    runs: list[Figures] = []
    notes: list[str] = []
    for number in range(arguments.runs):
        with rig(database_url=arguments.database, bootstrap=arguments.broker) as made:
            stack = stack_of(made.database_url, bootstrap=arguments.broker)
            label = f"run {number + 1} of {arguments.runs}"
            runs.append(_one_run(made, arguments, progress, label, notes))
    progress.end()
    notes += [
        "all programs, the load and the browser share this machine, and one clock",
        "sample_to_screen ends with the frame after the figure changed; null without Chromium",
        "one producer sends for all hosts of the load, as in the bench of ingest",
    ]
    return Report(
        bench="latency",
        parameters={
            "messages_per_second": arguments.messages_per_second,
            "gpus_of_load": arguments.messages_per_second * ROWS_PER_MESSAGE,
            "seconds": arguments.seconds,
            "xids": arguments.xids,
            "probe_ticks_per_message": arguments.probe_ticks_per_message,
            "collectors": arguments.collectors,
            "broker": arguments.broker or "embedded",
        },
        stack=stack,
        runs=runs,
        notes=tuple(dict.fromkeys(notes)),
    )


def _one_run(
    made: Rig, arguments: argparse.Namespace, progress: Progress, label: str, notes: list[str]
) -> dict[str, Any]:
    seen = Seen()
    gpus = arguments.messages_per_second * ROWS_PER_MESSAGE
    make_places(made, gpus)
    with Watchers(made.database_url, seen) as watchers, ExitStack() as load:
        start_collectors(made, arguments.collectors)
        wait_for_collectors(made, arguments.collectors)
        made.start(
            "alerts", "alerts", "--webhook-url", watchers.webhook_address,
            "--webhook-allow-networks", WEBHOOK_NETWORK,
        )  # fmt: skip
        address = made.start_dashboard()
        if arguments.messages_per_second:
            steady = steady_load(gpus, 1.0, LOAD_S, BACKLOG_S_MAX)
            sender = load.enter_context(sending(made, steady))
            sender.wait_for(made, "steady", progress, LOAD_START_S_MAX)
        with Probes(made, arguments.xids, arguments.probe_ticks_per_message, seen) as probes:
            made.wait(lambda: seen.ticks, "the probe's first reading")
            notes += watchers.look_at(address)
            made.wait(lambda: seen.on_line, "the probe on the live line")
            progress.wait(SETTLE_S, f"{label}: settling")
            seen.forget()
            before = _used(made), watchers.stored_messages(), time.monotonic()
            _raise_xids(probes, arguments, progress, label)
            after = _used(made), watchers.stored_messages(), time.monotonic()
            deadline_s = time.monotonic() + LAST_S_MAX
            while len(seen.webhooks) < len(seen.xids) and time.monotonic() < deadline_s:
                time.sleep(0.1)
    elapsed_s = after[2] - before[2]
    return {
        **_figures(seen),
        "messages_per_second_stored": (after[1] - before[1]) / elapsed_s,
        "cpu_percent_of_core_by_process": {
            name: 100 * (after[0][name] - before[0][name]) / elapsed_s for name in before[0]
        },
    }


def _raise_xids(
    probes: Probes, arguments: argparse.Namespace, progress: Progress, label: str
) -> None:
    """Spend the time of the measurement, with the Xids at random moments of equal parts of it."""
    part_s = arguments.seconds / max(1, arguments.xids)
    started_s = time.monotonic()
    for number in range(arguments.xids):
        at_s = started_s + (number + random.random()) * part_s
        progress.wait(at_s - time.monotonic(), f"{label}: {number} of {arguments.xids} Xids")
        probes.raise_xid(number)
    progress.wait(started_s + arguments.seconds - time.monotonic(), f"{label}: looking")


def _used(made: Rig) -> dict[str, float]:
    pids = made.cpu_pids()
    used = {name: cpu_seconds(pid) for name, pid in pids.items() if pid is not None}
    return used | {"browser": browser_cpu_seconds()}


def _figures(seen: Seen) -> dict[str, Any]:
    delays = {
        "sample_to_screen": delays_ms(seen.ticks, seen.on_screen),
        "sample_to_live_line": delays_ms(seen.ticks, seen.on_line),
        "sample_to_stored": delays_ms(seen.ticks, seen.in_database),
        "xid_to_webhook": [
            1000 * (arrived_s - seen.xids[facility])
            for facility, arrived_s in seen.webhooks.items()
            if facility in seen.xids
        ],
    }
    found: dict[str, Any] = {}
    for name, values in delays.items():
        found[f"{name}_ms_p50"] = percentile(values, 50)
        found[f"{name}_ms_p99"] = percentile(values, 99)
        found[f"{name}_count"] = len(values)
    found["xids_without_webhook"] = len(seen.xids.keys() - seen.webhooks.keys())
    return found


def delays_ms(ticks: dict[str, float], seen: dict[str, float]) -> list[float]:
    """Return how long after its reading each tick was first seen.

    A tick that was never seen by itself was overtaken by a newer one between two looks; it was seen
    when that one was.

    Args:
        ticks: unix time of each reading by its name, a time to a tenth of a second.
        seen: unix time at which each name was first seen.
    """
    found = []
    later: float | None = None
    for name in sorted(ticks, key=float, reverse=True):
        later = seen.get(name, later)
        if later is not None:
            found.append(1000 * (later - ticks[name]))
    return found
