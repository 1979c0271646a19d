"""From a reading on a host to a picture, and from an Xid to somebody's telephone.

Everything runs at once on this machine: agents, broker, collector, database, alerts, dashboard, a
browser, and a facility of simulated hosts that keeps the pipe busy at a message rate. One probe
agent sends each reading by itself; its times are compared with those at which they are stored, are
on the dashboard's live line, and are drawn by Chromium. Others have one Xid each, alone in their
facility, and the clock runs until a webhook has the alert.

An agent with default settings sends ten readings together, so its own readings are up to nine
seconds older than the probe's when they arrive; `--probe-ticks-per-message 10` measures that.
"""

import argparse
import random
import time
from typing import Any

from benchmarks.chromium import browser_cpu_seconds
from benchmarks.latency_watch import Seen, Watchers
from benchmarks.probes import Probes
from benchmarks.processes import cpu_seconds
from benchmarks.progress import Progress
from benchmarks.report import Figures, Report, percentile
from benchmarks.rig import Rig, rig, stack_of

TICKS_PER_MESSAGE = 10
MESSAGES_PER_SECOND = 2750
SETTLE_S = 20.0
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


def measure(arguments: argparse.Namespace) -> Report:
    """Run the pipe under load and look at the probes."""
    progress = Progress("latency")
    runs: list[Figures] = []
    notes: list[str] = []
    for number in range(arguments.runs):
        with rig() as made:
            stack = stack_of(made.database_url)
            label = f"run {number + 1} of {arguments.runs}"
            runs.append(_one_run(made, arguments, progress, label, notes))
    progress.end()
    notes += [
        "all programs, the load and the browser share this machine, and one clock",
        "sample_to_screen ends with the frame after the figure changed; null without Chromium",
        "the live views are computed once a second, so half a second of every figure is waiting",
    ]
    return Report(
        bench="latency",
        parameters={
            "messages_per_second": arguments.messages_per_second,
            "gpus_of_load": arguments.messages_per_second * TICKS_PER_MESSAGE * 8,
            "seconds": arguments.seconds,
            "xids": arguments.xids,
            "probe_ticks_per_message": arguments.probe_ticks_per_message,
        },
        stack=stack,
        runs=runs,
        notes=tuple(dict.fromkeys(notes)),
    )


def _one_run(
    made: Rig, arguments: argparse.Namespace, progress: Progress, label: str, notes: list[str]
) -> dict[str, Any]:
    seen = Seen()
    with Watchers(made.database_url, seen) as watchers:
        made.start("collector", "collector", "--session-timeout-ms", "3000")
        made.start(
            "alerts", "alerts", "--webhook-url", watchers.webhook_address,
            "--webhook-allow-networks", WEBHOOK_NETWORK,
        )  # fmt: skip
        address = made.start_dashboard()
        _start_load(made, arguments.messages_per_second)
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


def _start_load(made: Rig, messages_per_second: int) -> None:
    if messages_per_second:
        hosts = messages_per_second * TICKS_PER_MESSAGE
        made.start(
            "load", "simulate", "--facility", "load", "--hosts", str(hosts), "--gpus", "8",
            "--ticks-per-message", str(TICKS_PER_MESSAGE), "--hosts-per-rack", "8",
        )  # fmt: skip


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
