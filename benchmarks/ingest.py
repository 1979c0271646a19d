"""How many GPU rows a second are stored, and what that costs.

A sender of noisy hosts, a real broker, `fleetgauge collector` as processes, and a database share
this machine; marks, host state, sums and quarantine are on, as always. Every host first sends one
message (its rows in the tables of hosts and accelerators are made then), and after that all send at
the target rate; where the collectors cannot follow, the sender waits, and the rate that is reported
is the one that was stored. At the end counts and checksums are compared with what was sent.

Without --broker and --database the embedded ones are used. The embedded broker keeps its log in
memory: ten minutes at 440,000 rows/s do not fit, so that takes a broker with a disk (`--broker
kafka`). What runs on this machine is measured, whoever started it.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from benchmarks.noisy_hosts import CHECKED
from benchmarks.processes import cpu_seconds_of, memory
from benchmarks.progress import Progress
from benchmarks.report import Figures, Report
from benchmarks.rig import Rig, rig, stack_of
from benchmarks.sender import Load, Sender, sending
from sql import queries

ACCELERATORS = 8
TICKS_PER_MESSAGE = 10
ROWS_PER_MESSAGE = ACCELERATORS * TICKS_PER_MESSAGE
LOOK_EVERY_S = 1.0
DRAIN_S_MAX = 300.0
JOIN_S = 4.0
LAGS_SHOWN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this bench."""
    parser.add_argument("--gpus", type=int, default=220_000, help="simulated GPUs [220000]")
    parser.add_argument("--hz", type=float, default=1.0, help="samples a second and GPU [1]")
    parser.add_argument("--minutes", type=float, default=1.0, help="steady load [1]")
    parser.add_argument("--collectors", type=int, default=1, help="collector processes [1]")
    parser.add_argument("--backlog-s", type=float, default=20.0, help="the sender waits then [20]")
    parser.add_argument("--compression", default="", help="of the sender: zstd, gzip [none]")
    parser.add_argument(
        "--broker", default="", help="kafka, or HOST:PORT, instead of the embedded broker"
    )
    parser.add_argument("--database", default="", help="URL instead of the embedded database")


def measure(arguments: argparse.Namespace) -> Report:
    """Run the load and count what arrives."""
    progress = Progress("ingest")
    runs: list[Figures] = []
    stack = None
    for number in range(arguments.runs):
        with rig(database_url=arguments.database, bootstrap=arguments.broker) as made:
            label = f"run {number + 1} of {arguments.runs}"
            runs.append(one_run(made, arguments, progress, label))
            stack = stack_of(made.database_url, bootstrap=arguments.broker)
    progress.end()
    assert stack is not None  # noqa: S101 - there is at least one run
    return Report(
        bench="ingest",
        parameters={
            "gpus": arguments.gpus,
            "hz": arguments.hz,
            "minutes": arguments.minutes,
            "target_rows_per_second": arguments.gpus * arguments.hz,
            "accelerators_per_host": ACCELERATORS,
            "ticks_per_message": TICKS_PER_MESSAGE,
            "collectors": arguments.collectors,
            "compression": arguments.compression or "none",
            "broker": arguments.broker or "embedded",
        },
        stack=stack,
        runs=runs,
        notes=(
            (
                "one producer sends for all hosts, so a batch of the broker holds several "
                "messages; real agents send batches of one"
            ),
            "message bodies come from a pool of 256, each with its own times",
        ),
    )


@dataclass(slots=True)
class Look:
    """What was seen at one moment of the steady phase."""

    at_s: float
    rows: int
    messages_behind: int
    rss_mib: float
    cpu_s: dict[str, float]


def one_run(
    made: Rig, arguments: argparse.Namespace, progress: Progress, label: str
) -> dict[str, Any]:
    """Run the load once, in services that have seen nothing yet, and return its figures."""
    make_places(made, arguments.gpus)
    names = start_collectors(made, arguments.collectors)
    wait_for_collectors(made, arguments.collectors)
    with sending(made, load_of(arguments)) as sender:
        looks = _watch(made, sender, names, progress, label)
        sender.join(DRAIN_S_MAX)
    return _figures(looks, sender.last, _stored(made, sender.last["rows"], progress, label))


def make_places(made: Rig, gpus: int) -> None:
    """Make facilities, racks and hosts, so that sums by rack have as many racks as real ones."""
    with psycopg.connect(made.database_url) as connection:
        for step in ("noisy_facilities", "noisy_racks", "noisy_hosts"):
            connection.execute(queries("bench")[step], {"hosts": gpus // ACCELERATORS})


def start_collectors(made: Rig, count: int) -> list[str]:
    """Start collectors and return their names."""
    names = [f"collector-{number + 1}" for number in range(count)]
    for name in names:
        made.start(name, "collector", "--collector-instance", name)
    return names


def wait_for_collectors(made: Rig, count: int) -> None:
    """Wait until collectors have joined the group."""
    made.wait(lambda: _collectors(made) == count, "the collectors")
    time.sleep(JOIN_S)  # the group's first assignment


def load_of(arguments: argparse.Namespace, backlog_messages: int = 0) -> Load:
    """Return what the sender is to do, by this bench's flags."""
    return replace(
        steady_load(arguments.gpus, arguments.hz, arguments.minutes * 60, arguments.backlog_s),
        backlog_messages=backlog_messages,
        compression=arguments.compression,
    )


def steady_load(gpus: int, hz: float, seconds: float, backlog_s: float) -> Load:
    """Return what so many GPUs send; the sender waits where so many seconds are unstored."""
    rate = gpus * hz / ROWS_PER_MESSAGE
    return Load(
        hosts=gpus // ACCELERATORS,
        accelerators=ACCELERATORS,
        ticks=TICKS_PER_MESSAGE,
        messages_per_second=rate,
        seconds=seconds,
        backlog_max=int(rate * backlog_s),
    )


def _watch(
    made: Rig, sender: Sender, names: Sequence[str], progress: Progress, label: str
) -> list[Look]:
    """Look once a second while the load is steady."""
    looks: list[Look] = []
    while sender.runs and sender.last["phase"] != "done":
        time.sleep(LOOK_EVERY_S)
        made.wait(lambda: True, "the programs")  # says so if one has ended
        rows, messages = _progress(made)
        said = sender.last
        progress.say(f"{label}: {said['phase']}, {rows:,} rows stored")
        if said["phase"] != "steady":
            continue
        pids = made.cpu_pids() | {"sender": sender.pid}
        looks.append(
            Look(
                time.monotonic(),
                rows,
                said["messages"] - messages,
                max(memory(pid).rss_mib for name in names if (pid := pids[name])),
                {name: cpu_seconds_of([pid]) for name, pid in pids.items()},
            )
        )
    return looks


def _figures(looks: list[Look], sent: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    first, last = looks[0], looks[-1]
    rows = last.rows - first.rows
    per_second = rows / (last.at_s - first.at_s)
    used = {name: last.cpu_s[name] - first.cpu_s[name] for name in first.cpu_s}
    measured = sum(seconds for name, seconds in used.items() if name != "sender")
    rows_per_message = sent["rows"] / sent["messages"]
    lags = [look.messages_behind * rows_per_message / per_second for look in looks]
    return {
        "rows_per_second": per_second,
        "cpu_seconds_per_million_rows": 1e6 * measured / rows,
        "cpu_seconds_by_process": used,
        "cpu_seconds_per_million_rows_by_process": {
            name: 1e6 * seconds / rows for name, seconds in used.items()
        },
        "lost_rows": max(0, sent["rows"] - stored["rows"]),
        "duplicate_rows": max(0, stored["rows"] - sent["rows"]),
        "checksums_wrong": sum(stored["sums"][name] != sent["sums"][name] for name in CHECKED),
        "lag_seconds_max": max(lags),
        "lag_seconds_at": {
            f"{looks[at].at_s - first.at_s:.0f} s": lags[at]
            for at in range(0, len(looks), max(1, len(looks) // LAGS_SHOWN))
        },
        "collector_rss_mib_max": max(look.rss_mib for look in looks),
        "wire_bytes_per_row": sent["bytes"] / sent["rows"],
        "table_bytes_per_row": stored["bytes"] / max(1, stored["rows"]),
        "sender_waited_s": sent["waited_s"],
        "rows_sent": sent["rows"],
    }


def _stored(made: Rig, expected: int, progress: Progress, label: str) -> dict[str, Any]:
    """Wait until nothing more comes, and add up what is there."""
    deadline_s = time.monotonic() + DRAIN_S_MAX
    while _progress(made)[0] < expected and time.monotonic() < deadline_s:
        progress.say(f"{label}: draining")
        time.sleep(LOOK_EVERY_S)
    time.sleep(LOOK_EVERY_S)
    progress.say(f"{label}: adding up")
    sums = ", ".join(f"coalesce(sum({name}), 0)" for name in CHECKED)
    with psycopg.connect(made.database_url) as connection:
        total = f"select count(*), {sums} from samples"  # noqa: S608 - names of our catalogue
        row = connection.execute(total).fetchone()
        size = connection.execute(queries("bench")["sample_bytes"]).fetchone()
    assert row is not None  # noqa: S101 - aggregates always give a row
    assert size is not None  # noqa: S101 - so does this one
    count, *totals = row
    found = {name: int(total) for name, total in zip(CHECKED, totals, strict=True)}
    return {"rows": int(count), "sums": found, "bytes": int(size[0] or 0)}


def _collectors(made: Rig) -> int:
    with psycopg.connect(made.database_url) as connection:
        row = connection.execute("select count(*) from collectors").fetchone()
    return int(row[0]) if row else 0


def _progress(made: Rig) -> tuple[int, int]:
    """Return rows and messages stored so far, as the collectors report them."""
    with psycopg.connect(made.database_url) as connection:
        row = connection.execute(
            "select coalesce(sum(rows_stored), 0), coalesce(sum(messages_stored), 0) "
            "from collectors"
        ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)
