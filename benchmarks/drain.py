"""How soon a backlog is stored while live readings go on coming.

Hosts are met first; then the collectors stop, and the sender fills the log with so many rows as
fast as the broker takes them. Then the collectors' processes start again, and the sender goes on at
the live rate. The drain, which has begun with their start, ends when all that waited is stored.
Meanwhile the newest tick of every host is looked at several times a second: a live message is late
by the time from its making until a look shows it; a host of which none is shown counts with all the
time since the last.
"""

import argparse
import time
from typing import Any

import psycopg

from benchmarks.ingest import (
    ROWS_PER_MESSAGE,
    TICKS_PER_MESSAGE,
    load_of,
    make_places,
    start_collectors,
    wait_for_collectors,
)
from benchmarks.processes import cpu_seconds_of, memory
from benchmarks.progress import Progress
from benchmarks.report import Figures, Report, percentile
from benchmarks.rig import Rig, rig, stack_of
from benchmarks.sender import Sender, sending
from sql import queries

LOOK_EVERY_S = 0.25
DRAIN_S_MAX = 3600.0


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
        notes=(
            "the backlog was sent as fast as the broker takes it, so it tells of as many seconds",
        ),
    )


def _one_run(made: Rig, arguments: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    backlog = arguments.backlog_rows // ROWS_PER_MESSAGE
    make_places(made, arguments.gpus)
    start_collectors(made, arguments.collectors)
    wait_for_collectors(made, arguments.collectors)
    with sending(made, load_of(arguments, backlog)) as sender:
        return _drained(made, arguments, progress, sender, backlog)


def _drained(
    made: Rig, arguments: argparse.Namespace, progress: Progress, sender: Sender, backlog: int
) -> dict[str, Any]:
    """Let so many messages wait, and return how they were stored."""
    sender.wait_for(made, "settled", progress, DRAIN_S_MAX)
    first = sender.last["messages"]
    made.stop()
    sender.go()
    sender.wait_for(made, "steady", progress, DRAIN_S_MAX)
    wanted = first + backlog
    used_s = cpu_seconds_of(made.service_pids.values())
    started_s = time.monotonic()
    live = Freshness(time.time())
    names = start_collectors(made, arguments.collectors)
    rss_mib = 0.0
    with psycopg.connect(made.database_url, autocommit=True) as connection:
        while (left := _left(connection, wanted)) > 0:
            live.look(connection)
            progress.say(f"draining: {left * ROWS_PER_MESSAGE:,} rows wait")
            made.wait(lambda: True, "the programs")  # says so if one has ended
            pids = [pid for name in names if (pid := made.programs[name].pid) is not None]
            rss_mib = max([rss_mib, *(memory(pid).rss_mib for pid in pids)])
            time.sleep(LOOK_EVERY_S)
        drain_s = time.monotonic() - started_s
        live.end()
        used_s = cpu_seconds_of(made.cpu_pids().values()) - used_s
    return {
        "backlog_rows": backlog * ROWS_PER_MESSAGE,
        "drain_seconds": drain_s,
        "rows_per_second": backlog * ROWS_PER_MESSAGE / drain_s,
        "live_lag_ms_p50": percentile(live.lags_ms, 50),
        "live_lag_ms_p99": percentile(live.lags_ms, 99),
        "live_messages_seen": len(live.lags_ms),
        "cpu_seconds_per_million_rows": 1e6 * used_s / (backlog * ROWS_PER_MESSAGE),
        "collector_rss_mib_max": rss_mib,
    }


def _left(connection: psycopg.Connection[Any], wanted: int) -> int:
    """Return how many messages of the backlog are not stored: of the spans, or of the one lane."""
    row = connection.execute(queries("bench")["backlog_left"], {"wanted": wanted}).fetchone()
    return int(row[0]) if row else wanted


class Freshness:
    """How late live messages are seen.

    Attributes:
        lags_ms: one a message that was seen, and one a host of which none was seen in time.
    """

    def __init__(self, since_s: float) -> None:
        self.lags_ms: list[float] = []
        self._since_s = since_s
        self._newest_s: dict[int, float] = {}

    def look(self, connection: psycopg.Connection[Any]) -> None:
        """Note what is shown now that was not at the last look."""
        rows = connection.execute(queries("bench")["newest_of_all"]).fetchall()
        now_s = time.time()
        for host_id, newest_s in rows:
            known_s = self._newest_s.setdefault(host_id, self._since_s)
            if newest_s > known_s:
                self.lags_ms.append(1000 * (now_s - newest_s))
                self._newest_s[host_id] = newest_s

    def end(self) -> None:
        """Count the hosts whose next message is overdue."""
        now_s = time.time()
        overdue = [now_s - known_s - TICKS_PER_MESSAGE for known_s in self._newest_s.values()]
        self.lags_ms += [1000 * late_s for late_s in overdue if late_s > 0]
