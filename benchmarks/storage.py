"""How many bytes a stored value takes, here and with peers that get the same values.

A simulated facility's readings of some minutes go through the broker and a collector into the
database, as always; then the tables of raw samples are measured. The same values go to
VictoriaMetrics and Prometheus, where they are installed. What the tier offers decides our figure:
plain PostgreSQL compresses nothing (`--database-url` takes a TimescaleDB with its own licence).
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from benchmarks.peers import Absent, Peer, prometheus, victoria_metrics
from benchmarks.processes import cpu_seconds_of
from benchmarks.progress import Progress
from benchmarks.recorded import FACILITY, Recording
from benchmarks.report import Figures, Report
from benchmarks.rig import Rig, rig, stack_of
from benchmarks.stored import sample_bytes
from simulator.sender import KafkaSender
from sql import queries
from telemetry.stop import StopSignal
from telemetry.streams import KafkaSettings

PEERS: dict[str, Peer] = {
    "victoria_metrics": victoria_metrics.store,
    "prometheus": prometheus.store,
}
STORE_S_MAX = 600.0
CONFIRM_S_MAX = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this bench."""
    parser.add_argument("--hosts", type=int, default=32, help="hosts with eight GPUs [32]")
    parser.add_argument("--seconds", type=int, default=600, help="readings, one a second [600]")
    parser.add_argument("--database-url", default="", help="an empty database [embedded]")


def measure(arguments: argparse.Namespace) -> Report:
    """Store the same readings everywhere."""
    progress = Progress("storage")
    runs: list[Figures] = []
    notes: list[str] = []
    for number in range(arguments.runs):
        progress.say(f"run {number + 1} of {arguments.runs}: making readings")
        recording = Recording(
            arguments.hosts, 8, arguments.seconds, time.time_ns() // 1000, seed=number + 1
        )
        with rig(database_url=arguments.database_url) as made:
            stack = stack_of(made.database_url)
            progress.say("storing here")
            run: dict[str, Any] = _store(made, recording)
        run["peers"] = {}
        for name, peer in PEERS.items():
            progress.say(f"storing in {name}")
            run["peers"][name] = _store_in(peer, recording, notes)
        runs.append(run)
    progress.end()
    notes += [
        (
            "peers get whole series at once, the cheapest way; ours come message by message, with "
            "marks, host state and sums stored beside them, which bytes_per_value leaves out"
        ),
        "bytes of a short span hold more index than those of a long one, with peers above all",
        "the processor time of a peer is of storing alone, without agents or scraping",
    ]
    return Report(
        bench="storage",
        parameters={
            "hosts": arguments.hosts,
            "gpus": arguments.hosts * 8,
            "seconds": arguments.seconds,
        },
        stack=stack,
        runs=runs,
        notes=tuple(dict.fromkeys(notes)),
    )


def _store(made: Rig, recording: Recording) -> dict[str, float | int | None]:
    """Send a recording through the pipe and measure what lies in the tables then."""
    collector = made.start("collector", "collector", "--session-timeout-ms", "3000")
    pids = [collector.pid, *made.service_pids.values()]
    with psycopg.connect(made.database_url, autocommit=True) as connection:
        working = queries("bench")["collector_works"]
        made.wait(lambda: connection.execute(working).fetchone(), "the collector")
        before_s = cpu_seconds_of(pids)
        sender = KafkaSender(KafkaSettings(kafka_bootstrap=made.bootstrap), StopSignal())
        try:
            for message in recording.messages:
                sender.send(message)
            sender.wait_confirmed(CONFIRM_S_MAX)
        finally:
            sender.close()
        wanted = {"facility": FACILITY, "messages": len(recording.messages)}
        ready = queries("bench")["has_messages"]
        made.wait(lambda: connection.execute(ready, wanted).fetchone(), "the rows", STORE_S_MAX)
        used_s = cpu_seconds_of(pids) - before_s
        as_copied = sample_bytes(connection, at_rest=False)
        found = sample_bytes(connection, at_rest=True)
        remade_s = cpu_seconds_of(pids) - before_s - used_s
        counted = connection.execute(queries("bench")["sample_rows"]).fetchone()
    assert counted is not None  # noqa: S101 - aggregates have a row
    return {
        "bytes_per_value": found / recording.values,
        "bytes_per_row": found / recording.rows,
        "bytes_per_value_as_copied": as_copied / recording.values,
        "rows": counted[0],
        "values": recording.values,
        "rows_missing": recording.rows - counted[0],
        "cpu_seconds_per_million_rows": 1e6 * used_s / recording.rows,
        "recompression_cpu_seconds_per_million_rows": 1e6 * remade_s / recording.rows,
    }


def _store_in(peer: Peer, recording: Recording, notes: list[str]) -> dict[str, float | None]:
    with TemporaryDirectory(prefix="fleetgauge-peer-") as folder:
        try:
            result = peer(recording, Path(folder))
        except Absent as absent:
            notes.append(str(absent))
            return {
                "bytes_per_value": None,
                "bytes_per_row": None,
                "cpu_seconds_per_million_rows": None,
            }
    notes.append(result.version)
    return {
        "bytes_per_value": result.disk_bytes / recording.values,
        "bytes_per_row": result.disk_bytes / recording.rows,
        "cpu_seconds_per_million_rows": 1e6 * result.cpu_s / recording.rows,
    }
