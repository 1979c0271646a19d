"""The same noisy values at the same rate: here, in VictoriaMetrics and in Prometheus, one by one.

Each gets the cheapest way in that it has over the network: here messages through a broker and the
collector, there Prometheus remote write in large requests. Reported are the values a second that
were taken, the processor time of all that takes part but the sender, bytes a value once everything
is at rest, how long three of the pages' questions take, and the values that are missing afterwards.

    fleetgauge bench peers --gpus 2000 --minutes 0.5
    fleetgauge bench peers --gpus 22000 --hz 1 --minutes 2 --broker kafka --database URL --json
    FLEETGAUGE_VICTORIA_METRICS=FILE FLEETGAUGE_PROMETHEUS=FILE fleetgauge bench peers

A program is looked for in its variable, on the PATH, and where `.ci/services peers` unpacks
Debian's packages. docs/benchmarks.md says what is unfair, in both directions.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from benchmarks import ingest
from benchmarks.fleet_rows import Connection
from benchmarks.noisy_hosts import METRICS, NoisyHosts
from benchmarks.peers import Absent
from benchmarks.peers.feeding import feed
from benchmarks.peers.remote_write import RemoteWriteHosts
from benchmarks.peers.servers import KINDS, PeerServer, serving, version
from benchmarks.processes import cpu_seconds, memory
from benchmarks.progress import Progress
from benchmarks.query import SESSION, Question, enter
from benchmarks.report import Figures, Report, percentile
from benchmarks.rig import Rig, rig, stack_of
from benchmarks.stored import sample_bytes
from sql import queries

QUESTIONS = ("facility_chart", "one_gpu_raw", "top_50_hottest", "worst_hosts")
STEP_S = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this bench."""
    ingest.add_arguments(parser)
    parser.set_defaults(gpus=22_000)
    parser.add_argument("--asks", type=int, default=20, help="times each question is asked [20]")


def measure(arguments: argparse.Namespace) -> Report:
    """Feed one after the other."""
    progress = Progress("peers")
    runs: list[Figures] = []
    notes: list[str] = []
    stack = None
    for number in range(arguments.runs):
        label = f"run {number + 1} of {arguments.runs}"
        with rig(database_url=arguments.database, bootstrap=arguments.broker) as made:
            stack = stack_of(made.database_url, bootstrap=arguments.broker)
            run: dict[str, Any] = {"fleetgauge": _here(made, arguments, progress, label)}
        for name in KINDS:
            try:
                with TemporaryDirectory(prefix="fleetgauge-peer-") as folder:
                    run[name] = _there(name, Path(folder), arguments, progress, label)
                notes.append(version(name))
            except Absent as absent:
                notes.append(str(absent))
                run[name] = {"values_per_second": None}
        runs.append(run)
    progress.end()
    assert stack is not None  # noqa: S101 - there is at least one run
    return Report(
        bench="peers",
        parameters={
            "gpus": arguments.gpus,
            "hz": arguments.hz,
            "minutes": arguments.minutes,
            "metrics": len(METRICS),
            "target_values_per_second": arguments.gpus * arguments.hz * len(METRICS),
            "collectors": arguments.collectors,
            "asks": arguments.asks,
        },
        stack=stack,
        runs=runs,
        notes=(
            *dict.fromkeys(notes),
            "peers have no events: worst hosts cannot be asked of them",
            "questions are about the span that was stored, minutes and not days",
        ),
    )


def _here(
    made: Rig, arguments: argparse.Namespace, progress: Progress, label: str
) -> dict[str, Any]:
    """Store here."""
    start_s = time.time()
    figures = ingest.one_run(made, arguments, progress, f"{label}, fleetgauge")
    values_per_row = len(METRICS)
    with psycopg.connect(made.database_url, autocommit=True) as connection:
        progress.say(f"{label}, fleetgauge: to rest")
        size = sample_bytes(connection, at_rest=True)
    window = {"start_s": start_s, "end_s": time.time(), "step_s": STEP_S, "rollup_s": STEP_S}
    with psycopg.connect(made.database_url, options=SESSION) as connection:
        gpu, host, facility = (
            connection.execute(queries("bench")["noisy_gpu"]).fetchone() or (0,) * 3
        )
        enter(connection)
        gpu_of = {"gpu_id": gpu, "host_id": host, "facility_id": facility}
        questions = {
            "facility_chart": Question("dashboard_facility", "rollup", window | gpu_of),
            "one_gpu_raw": Question("dashboard_host", "gpu_fast", window | gpu_of),
            "top_50_hottest": Question("bench", "hottest", {}),
        }
        answers = {
            name: _ask_ms(partial(_rows, connection, question), arguments.asks)
            for name, question in questions.items()
        }
    return {
        "rows_per_second": figures["rows_per_second"],
        "values_per_second": values_per_row * figures["rows_per_second"],
        "cpu_seconds_per_million_rows": figures["cpu_seconds_per_million_rows"],
        "bytes_per_value": size / (values_per_row * figures["rows_sent"]),
        "lost_values": values_per_row * figures["lost_rows"],
        "values_twice": values_per_row * figures["duplicate_rows"],
        "memory_mib_max": figures["collector_rss_mib_max"],
        **answers,
    }


def _rows(connection: Connection, question: Question) -> object:
    return connection.execute(question.statement, question.parameters, binary=True).fetchall()


def _there(
    name: str, folder: Path, arguments: argparse.Namespace, progress: Progress, label: str
) -> dict[str, Any]:
    """Store in a peer."""
    hosts = NoisyHosts(
        arguments.gpus // ingest.ACCELERATORS, ingest.ACCELERATORS, ingest.TICKS_PER_MESSAGE
    )
    interval_ms = round(1000 / arguments.hz)
    first_span_ms = 2 * ingest.TICKS_PER_MESSAGE * interval_ms
    start_ms = time.time_ns() // 1_000_000 - first_span_ms
    source = RemoteWriteHosts(hosts, start_ms, interval_ms)
    rate = arguments.gpus * arguments.hz / hosts.rows_per_message
    with serving(name, folder) as server:
        words = f"{label}, {name}"
        feed(server, source, len(hosts.senders), rate, progress, f"{words}: first messages")
        used_s = cpu_seconds(server.pid)
        count = int(rate * arguments.minutes * 60)
        elapsed_s = feed(server, source, count, rate, progress, f"{words}: steady")
        used_s = cpu_seconds(server.pid) - used_s
        most_mib = memory(server.pid).rss_mib
        progress.say(f"{words}: to rest")
        folder_size = server.folder_bytes()
        before_s = cpu_seconds(server.pid)
        size = server.rest()
        rest_s = cpu_seconds(server.pid) - before_s
        sent = source.messages * source.values_per_message
        end_s = start_ms / 1000 + (source.messages / len(hosts.senders) + 1) * (
            ingest.TICKS_PER_MESSAGE * interval_ms / 1000
        )
        progress.say(f"{words}: counting")
        stored = _count(server, start_ms / 1000, end_s)
        progress.say(f"{words}: asking")
        answers = _ask(server, start_ms / 1000, end_s, arguments.asks)
    rows = count * hosts.rows_per_message
    return {
        "rows_per_second": rows / elapsed_s,
        "values_per_second": len(METRICS) * rows / elapsed_s,
        "cpu_seconds_per_million_rows": 1e6 * used_s / rows,
        "cpu_seconds_per_million_rows_to_rest": 1e6 * rest_s / rows,
        "bytes_per_value": size / sent,
        "bytes_per_value_with_log": folder_size / sent,
        "lost_values": max(0, sent - stored),
        "values_twice": max(0, stored - sent),
        "memory_mib_max": most_mib,
        **answers,
    }


def _count(server: PeerServer, start_s: float, end_s: float) -> int:
    """Return how many values of the catalogue's metrics are there."""
    span_s = round(end_s - start_s) + 60
    total = 0
    for metric in METRICS:
        query = f"sum(count_over_time({metric.name}[{span_s}s]))"
        found = server.ask("query", query=query, time=f"{end_s:.0f}")
        total += int(float(found[0]["value"][1])) if found else 0
    return total


def _ask(
    server: PeerServer, start_s: float, end_s: float, asks: int
) -> Mapping[str, dict[str, float | None]]:
    span_s = round(end_s - start_s)
    load = 'avg(utilization_gpu_percent{facility="site-1"})'
    chart = {"query": load, "start": f"{start_s:.0f}", "end": f"{end_s:.0f}", "step": str(STEP_S)}
    one = f'{{host="node-000002",gpu="3"}}[{span_s}s]'
    at = f"{end_s - ingest.TICKS_PER_MESSAGE * 2:.0f}"
    asked: dict[str, Callable[[], object]] = {
        "facility_chart": lambda: server.ask("query_range", **chart),
        "one_gpu_raw": lambda: server.ask("query", query=one, time=f"{end_s:.0f}"),
        "top_50_hottest": lambda: server.ask(
            "query", query="topk(50, temperature_gpu_celsius)", time=at
        ),
    }
    found = {name: _ask_ms(question, asks) for name, question in asked.items()}
    return found | {"worst_hosts": {"ms_p50": None, "ms_p95": None}}


def _ask_ms(question: Callable[[], object], asks: int) -> dict[str, float | None]:
    times_ms = []
    for _ in range(asks + 1):
        started_s = time.perf_counter()
        question()
        times_ms.append(1000 * (time.perf_counter() - started_s))
    return {"ms_p50": percentile(times_ms[1:], 50), "ms_p95": percentile(times_ms[1:], 95)}
