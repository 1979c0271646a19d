"""How soon a backlog is stored while live readings go on coming.

Hosts are met first; then the collectors stop, and the sender fills the log with so many rows as
fast as the broker takes them. Then collectors start again, and the sender goes on at the live rate.
The drain ends when all that was waiting is stored. A log gives its messages in order, so a live
message waits behind the backlog of its partition: its lag is that of the drain, reported as it is.
"""

import argparse
import time
from typing import Any

import psycopg

from benchmarks.ingest import (
    ACCELERATORS,
    TICKS_PER_MESSAGE,
    make_places,
    start_collectors,
    start_sender,
)
from benchmarks.processes import cpu_seconds_of, memory
from benchmarks.progress import Progress
from benchmarks.report import Figures, Report, percentile
from benchmarks.rig import Rig, rig, stack_of
from sql import queries

LOOK_EVERY_S = 1.0
DRAIN_S_MAX = 3600.0
ROWS_PER_MESSAGE = ACCELERATORS * TICKS_PER_MESSAGE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this bench."""
    parser.add_argument("--backlog-rows", type=int, default=1_320_000, help="waiting [1320000]")
    parser.add_argument("--gpus", type=int, default=22_000, help="live GPUs [22000]")
    parser.add_argument("--hz", type=float, default=1.0, help="samples a second and GPU [1]")
    parser.add_argument("--collectors", type=int, default=1, help="collector processes [1]")
    parser.add_argument("--compression", default="", help="of the sender: zstd, gzip [none]")
    parser.add_argument(
        "--broker", default="", help="kafka, or HOST:PORT, instead of the embedded broker"
    )
    parser.add_argument("--database", default="", help="URL instead of the embedded database")
    parser.set_defaults(minutes=DRAIN_S_MAX / 60, backlog_s=60.0)


def measure(arguments: argparse.Namespace) -> Report:
    """Fill a log, and empty it."""
    progress = Progress("drain")
    runs: list[Figures] = []
    stack = None
    for _ in range(arguments.runs):
        with rig(database_url=arguments.database, bootstrap=arguments.broker) as made:
            runs.append(_one_run(made, arguments, progress))
            stack = stack_of(made.database_url, bootstrap=arguments.broker)
    progress.end()
    assert stack is not None  # noqa: S101 - there is at least one run
    return Report(
        bench="drain",
        parameters={
            "backlog_rows": arguments.backlog_rows,
            "live_rows_per_second": arguments.gpus * arguments.hz,
            "collectors": arguments.collectors,
            "broker": arguments.broker or "embedded",
        },
        stack=stack,
        runs=runs,
        notes=("live messages wait behind the backlog of their partition",),
    )


def _one_run(made: Rig, arguments: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    backlog = arguments.backlog_rows // ROWS_PER_MESSAGE
    make_places(made, arguments.gpus)
    start_collectors(made, arguments.collectors)
    sender, _ = start_sender(made, arguments, backlog)
    assert sender.process.stdin is not None  # noqa: S101 - made with a pipe
    _wait_for(made, sender, "settled", progress)
    first = sender.last["messages"]
    made.stop()
    sender.process.stdin.write("go\n")
    sender.process.stdin.flush()
    _wait_for(made, sender, "steady", progress)
    wanted = first + backlog
    used_s = cpu_seconds_of(made.service_pids.values())
    names = start_collectors(made, arguments.collectors)
    started_s = time.monotonic()
    waiting: list[tuple[float, int]] = []
    lags_ms: list[float] = []
    rss_mib = 0.0
    with psycopg.connect(made.database_url, autocommit=True) as connection:
        while (stored := _stored(connection)) < wanted:
            now_s = time.monotonic()
            waiting.append((now_s, sender.last["messages"]))
            lags_ms += [1000 * (now_s - at_s) for at_s, count in waiting if count <= stored]
            waiting = [entry for entry in waiting if entry[1] > stored]
            progress.say(f"draining: {max(0, wanted - stored) * ROWS_PER_MESSAGE:,} rows wait")
            made.wait(lambda: True, "the programs")  # says so if one has ended
            pids = [pid for name in names if (pid := made.programs[name].pid) is not None]
            rss_mib = max([rss_mib, *(memory(pid).rss_mib for pid in pids)])
            time.sleep(LOOK_EVERY_S)
        drain_s = time.monotonic() - started_s
        lags_ms += [1000 * (time.monotonic() - at_s) for at_s, _ in waiting]
        used_s = cpu_seconds_of(made.cpu_pids().values()) - used_s
    sender.process.terminate()
    sender.process.wait()
    return {
        "backlog_rows": backlog * ROWS_PER_MESSAGE,
        "drain_seconds": drain_s,
        "rows_per_second": backlog * ROWS_PER_MESSAGE / drain_s,
        "live_lag_ms_p99": percentile(lags_ms, 99),
        "cpu_seconds_per_million_rows": 1e6 * used_s / (backlog * ROWS_PER_MESSAGE),
        "collector_rss_mib_max": rss_mib,
    }


def _wait_for(made: Rig, sender: Any, phase: str, progress: Progress) -> None:
    deadline_s = time.monotonic() + DRAIN_S_MAX
    while sender.last["phase"] != phase and time.monotonic() < deadline_s:
        progress.say(f"{sender.last['phase']}: {sender.last['rows']:,} rows sent")
        made.wait(lambda: sender.process.poll() is None, "the sender")
        time.sleep(LOOK_EVERY_S / 4)


def _stored(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(queries("bench")["stored_messages"]).fetchone()
    return int(row[0]) if row else 0
