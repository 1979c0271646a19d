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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from benchmarks.fleet_past import FleetPast, end_of, events_of
from benchmarks.fleet_rows import Connection, FleetRows, Shape
from benchmarks.progress import Progress
from benchmarks.report import Report, percentile
from benchmarks.rig import rig, stack_of
from collector.tier import Tier
from dashboard.view import View
from sql import queries
from telemetry.errors import PermanentError

WORST_DAYS = 30
# As the dashboard's pool sets them, but for the time limit: a slow answer is to be measured.
SESSION = (
    "-c default_transaction_read_only=on -c search_path=visible,public -c timezone=UTC -c jit=off"
)
AUDIENCE = {"tenant": "*", "facility": "", "role": "viewer"}


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
    parser.add_argument(
        "--made",
        action="store_true",
        help="ask what an earlier run has made in --database-url, with the same --gpus and --days",
    )
    parser.add_argument("--plans", type=Path, metavar="FOLDER", help="save the plans there")


def measure(arguments: argparse.Namespace) -> Report:
    """Make the rows, and ask.

    Raises:
        PermanentError: with `--made`, what is there is not what was asked for.
    """
    if arguments.made and not arguments.database_url:
        raise PermanentError("--made needs the --database-url of an earlier run")
    progress = Progress("query")
    shape = Shape(arguments.gpus, arguments.facilities)
    with (
        rig(with_broker=False, database_url=arguments.database_url) as made,
        psycopg.connect(made.database_url, autocommit=True) as connection,
    ):
        stack = stack_of(made.database_url, broker=False)
        rows = FleetRows(connection, shape)
        days, raw_gpus = arguments.days, arguments.raw_gpus
        young: dict[str, dict[str, Any]] = {}
        if arguments.made:
            end = end_of(connection, shape.gpus_made, days)
            questions = ask_about(rows, raw_gpus, end)
        else:
            end = datetime.now(UTC)
            tier = Tier(stack.tier or "")
            past = FleetPast(rows, connection, tier, days, raw_gpus, end, progress)
            past.make_young()
            questions = ask_about(rows, raw_gpus, end)
            young = _ask_all(made.database_url, questions, arguments.asks, progress, "one day")
            past.make_rest()
        runs = []
        for number in range(arguments.runs):
            words = f"run {number + 1} of {arguments.runs}"
            run = _ask_all(made.database_url, questions, arguments.asks, progress, words)
            for name, figures in young.items():
                run[name]["one_day_ms_p50"] = figures["ms_p50"]
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
            "events": events_of(shape),
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
    whole_fleet = {"facility_id": None, "rack_ids": None}
    worst = {"start_s": end.timestamp() - WORST_DAYS * 86_400, "end_s": end.timestamp()}
    gpu = {"gpu_id": rows.one("middle_gpu", {"raw_gpus": raw_gpus})}
    rack = {"rack_id": rows.one("some_rack", {})}
    gpu |= {"host_id": rows.one("host_of", gpu)}
    host = {"gpu_ids": rows.one("gpus_of", gpu), "host_id": gpu["host_id"]}
    hour = day | {"start_s": end.timestamp() - 7200, "end_s": end.timestamp() - 3600, "step_s": 10}
    return {
        "fleet_1h": Question("dashboard_fleet", "load", _window("1h", end)),
        "facility_24h": Question("dashboard_facility", "rollup", day | facility),
        "facility_racks_24h": Question("dashboard_facility", "racks", day | facility),
        "facility_racks_7d": Question("dashboard_facility", "racks", _window("7d", end) | facility),
        "rack_24h": Question("dashboard_host", "rack", day | rack),
        "gpu_24h": Question("dashboard_host", "gpu_rollup", day | gpu),
        "gpu_1h_raw": Question("dashboard_host", "gpu_fast", hour | gpu),
        "host_24h": Question("dashboard_host", "trail", day | host),
        "top_50_hottest": Question("bench", "hottest", {}),
        "worst_30d": Question("dashboard_health", "worst_hosts", worst | whole_fleet),
        "offenders_30d": Question("dashboard_health", "offenders", whole_fleet),
    }


def _window(name: str, end: datetime) -> dict[str, float]:
    window = View.of("/", {"range": name}).window(end.timestamp())
    return {
        "start_s": window.start_s,
        "end_s": window.end_s,
        "step_s": window.step_s,
        "rollup_s": window.rollup_s,
        "spread_s": window.spread_s,
    }


def _ask_all(
    url: str, questions: Mapping[str, Question], asks: int, progress: Progress, words: str
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    with _session(url) as connection:
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


@contextmanager
def _session(url: str) -> Iterator[Connection]:
    """Connect like the dashboard, with its role and for everybody's eyes."""
    with psycopg.connect(url, options=SESSION) as connection:
        enter(connection)
        yield connection


def enter(connection: Connection) -> None:
    """Take the dashboard's role, for everybody's eyes, until the transaction ends."""
    connection.execute(queries("dashboard_access")["enter"], AUDIENCE)


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
    with _session(url) as connection:
        for name, question in questions.items():
            text = json.dumps(explain(connection, question), indent=1)
            (folder / f"{name}.json").write_text(text, encoding="utf-8")
