"""How long the pages' own questions take on a large fleet with a long past.

Makes a fleet's places, rollups, events and some raw samples inside the database, then asks what the
pages ask, with the statements and the parameters that they use, and reads the rows scanned from
their plans. First with one day of past, then with all of it: what is kept longer must not make a
page slower.

Raw samples are made for `--raw-gpus` accelerators only (a day of 220,000 at 1 Hz is 19 billion
rows), so a question that reads whole partitions looks better here than it is: see `rows_scanned`.
"""

import argparse
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from benchmarks.fleet_rows import Connection, FleetRows, Shape
from benchmarks.progress import Progress
from benchmarks.report import Report, percentile
from benchmarks.rig import rig, stack_of
from dashboard.view import View
from sql import queries

EVENT_DAYS = 30
EVENTS_PER_GPU_DAY = 0.02
RAW_HOURS = 24
WORST_DAYS = 30
# As the dashboard's pool sets them, but for the time limit: a slow answer is to be measured.
SESSION = "-c default_transaction_read_only=on -c timezone=UTC -c jit=off"


@dataclass(frozen=True, slots=True)
class Question:
    """A named query with the parameters that a page gives it."""

    file: str
    name: str
    parameters: Mapping[str, Any]

    @property
    def statement(self) -> LiteralString:
        """The SQL."""
        return queries(self.file)[self.name]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this bench."""
    parser.add_argument("--gpus", type=int, default=220_000, help="accelerators [220000]")
    parser.add_argument("--facilities", type=int, default=5, help="facilities [5]")
    parser.add_argument("--days", type=int, default=7, help="days of rollups [7]")
    parser.add_argument("--raw-gpus", type=int, default=64, help="with raw samples for a day [64]")
    parser.add_argument("--asks", type=int, default=20, help="times each question is asked [20]")
    parser.add_argument("--database-url", default="", help="an empty database [embedded]")
    parser.add_argument("--plans", type=Path, metavar="FOLDER", help="save the plans there")


def measure(arguments: argparse.Namespace) -> Report:
    """Make the rows, and ask."""
    progress = Progress("query")
    shape = Shape(arguments.gpus, arguments.facilities)
    with (
        rig(with_broker=False, database_url=arguments.database_url) as made,
        psycopg.connect(made.database_url, autocommit=True) as connection,
    ):
        stack = stack_of(made.database_url, broker=False)
        rows = FleetRows(connection, shape)
        end = datetime.now(UTC)
        _make_young(rows, connection, arguments, progress, end, tier=stack.tier or "")
        questions = ask_about(rows, arguments.raw_gpus, end)
        young = _ask_all(made.database_url, questions, arguments.asks, progress, "one day")
        progress.say(f"making {arguments.days} days of rollups")
        for day in range(1, arguments.days):
            rows.make_rollups(end - timedelta(days=day + 1), end - timedelta(days=day))
        runs = []
        for number in range(arguments.runs):
            words = f"run {number + 1} of {arguments.runs}"
            run = _ask_all(made.database_url, questions, arguments.asks, progress, words)
            for name, figures in run.items():
                figures["one_day_ms_p50"] = young[name]["ms_p50"]
            runs.append(run)
        sizes: dict[str, int] = dict(connection.execute(queries("bench")["sizes"]).fetchall())
        if arguments.plans:
            _save_plans(made.database_url, questions, arguments.plans)
    progress.end()
    return Report(
        bench="query",
        parameters={
            "gpus": shape.gpus_made,
            "facilities": shape.facilities,
            "days": arguments.days,
            "raw_gpus": arguments.raw_gpus,
            "asks": arguments.asks,
            "events": _events(shape),
            "table_mebibytes": sizes,
        },
        stack=stack,
        runs=runs,
        notes=(
            "answers come from memory as far as they fit: each question was asked once before",
            "top_50_hottest is answered from memory in the product; here it is asked in SQL",
            "raw samples are those of raw_gpus accelerators; rows_scanned says what a plan reads",
        ),
    )


def ask_about(rows: FleetRows, raw_gpus: int, end: datetime) -> dict[str, Question]:
    """Return what is asked, by the name of its figure."""
    facility = {"facility_id": rows.one("some_facility", {})}
    day = _window("24h", end)
    whole_fleet = {"facility_id": None}
    worst = {"start_s": end.timestamp() - WORST_DAYS * 86_400, "end_s": end.timestamp()}
    gpu = {"gpu_id": rows.one("middle_gpu", {"raw_gpus": raw_gpus})}
    rack = {"rack_id": rows.one("some_rack", {})}
    racks = {"rack_step_s": max(60, day["step_s"])}
    return {
        "fleet_1h": Question("dashboard_fleet", "load", _window("1h", end)),
        "facility_24h": Question("dashboard_facility", "rollup", day | facility),
        "facility_racks_24h": Question("dashboard_facility", "racks", day | facility | racks),
        "rack_24h": Question("dashboard_host", "rack", day | rack),
        "gpu_24h_raw": Question("dashboard_host", "gpu_fast", day | gpu),
        "top_50_hottest": Question("bench", "hottest", {}),
        "worst_30d": Question("dashboard_health", "worst_hosts", worst | whole_fleet),
        "offenders_30d": Question("dashboard_health", "offenders", whole_fleet),
    }


def _window(name: str, end: datetime) -> dict[str, float]:
    window = View.of("/", {"range": name}).window(end.timestamp())
    return {"start_s": window.start_s, "end_s": window.end_s, "step_s": window.step_s}


def _events(shape: Shape) -> int:
    return round(shape.gpus_made * EVENTS_PER_GPU_DAY * EVENT_DAYS)


def _make_young(
    rows: FleetRows,
    connection: Connection,
    arguments: argparse.Namespace,
    progress: Progress,
    end: datetime,
    *,
    tier: str,
) -> None:
    """Make the places, the first day of rollups, the events and the raw samples."""
    progress.say("making places")
    rows.make_places()
    progress.say("making a day of rollups")
    rows.make_rollups(end - timedelta(days=1), end)
    rows.make_events(end - timedelta(days=EVENT_DAYS), end, _events(rows.shape))
    progress.say("making raw samples")
    start = end - timedelta(hours=RAW_HOURS)
    if tier == "postgres":
        hour = start.replace(minute=0, second=0, microsecond=0)
        while hour <= end:
            span = {"starts_at": hour, "ends_at": hour + timedelta(hours=1)}
            statement = queries("collector_maintenance")["make_partition"]
            connection.execute(statement, {"parent": "samples", **span})
            hour = span["ends_at"]
    rows.make_samples(start, end, arguments.raw_gpus)


def _ask_all(
    url: str, questions: Mapping[str, Question], asks: int, progress: Progress, words: str
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    with psycopg.connect(url, autocommit=True, options=SESSION) as connection:
        for name, question in questions.items():
            progress.say(f"{words}: {name}")
            times_ms = [_ask_ms(connection, question) for _ in range(asks + 1)][1:]
            plan = explain(connection, question)
            found[name] = {
                "ms_p50": percentile(times_ms, 50),
                "ms_p95": percentile(times_ms, 95),
                "rows_scanned": rows_scanned(plan),
            }
    return found


def _ask_ms(connection: Connection, question: Question) -> float:
    started_s = time.perf_counter()
    connection.execute(question.statement, question.parameters, binary=True).fetchall()
    elapsed_ms = 1000 * (time.perf_counter() - started_s)
    time.sleep(random.random() / 1000)
    return elapsed_ms


def explain(connection: Connection, question: Question) -> dict[str, Any]:
    """Return the plan of a question as it was carried out."""
    # The one statement that is put together: a word before a page's own.
    statement = "explain (analyze, timing off, format json) " + question.statement
    row = connection.execute(statement, question.parameters).fetchone()
    if row is None:
        return {}
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def rows_scanned(plan: Mapping[str, Any]) -> int:
    """Return how many rows a plan read from tables, those thrown away as well."""
    inner: int = sum(rows_scanned(part) for part in plan.get("Plans", ()))
    if "Relation Name" not in plan:
        return inner
    removed = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
    return inner + int((plan["Actual Rows"] + removed) * plan["Actual Loops"])


def _save_plans(url: str, questions: Mapping[str, Question], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with psycopg.connect(url, autocommit=True, options=SESSION) as connection:
        for name, question in questions.items():
            text = json.dumps(explain(connection, question), indent=1)
            (folder / f"{name}.json").write_text(text, encoding="utf-8")
