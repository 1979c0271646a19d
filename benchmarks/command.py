"""Measure the product, and print the figures.

Each bench starts what it needs on this machine (embedded services, the product's own programs as
processes), measures, and prints medians with their spread; progress goes to standard error. Without
a name all run, one after the other, with their default sizes.

    fleetgauge bench agent
    fleetgauge bench latency --json
    fleetgauge bench wall --help
    fleetgauge bench --runs 5 --json

A figure is worth what its surroundings are: docs/benchmarks.md says how to run them and what is
unfair about each.
"""

import argparse
import json
import logging
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from benchmarks.machine import Machine
from benchmarks.report import SPREAD
from telemetry import logs
from telemetry.errors import FleetgaugeError


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a bench is and what it measures."""

    module: str
    sentence: str


# A bench is a module with `add_arguments(parser)` and `measure(arguments) -> Report`.
BENCHES = {
    "ingest": Bench("benchmarks.ingest", "rows stored a second, and what they cost"),
    "drain": Bench("benchmarks.drain", "how soon a backlog is stored, live load going on"),
    "peers": Bench("benchmarks.side_by_side", "the same load here and in peers, beside each other"),
    "storage": Bench("benchmarks.storage", "bytes a value, here and with peers"),
    "agent": Bench("benchmarks.agent", "what an agent costs its host"),
    "start": Bench("benchmarks.start", "how soon the demo is live"),
    "latency": Bench("benchmarks.latency", "from reading to screen, from Xid to webhook"),
    "wall": Bench("benchmarks.wall", "a map of every accelerator, from table to pixels"),
    "viewers": Bench("benchmarks.viewers", "what a crowd of viewers costs the dashboard"),
    "query": Bench("benchmarks.query", "what the pages ask of a large fleet with a long past"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one parser a bench; what all of them know may stand before or after the name."""
    _add_shared(parser, json_default=False, runs_default=1)
    choices = parser.add_subparsers(dest="bench", metavar="NAME", help="one of these; [all]")
    for name, bench in BENCHES.items():
        module = import_module(bench.module)
        own = choices.add_parser(
            name,
            help=bench.sentence,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add_shared(own, json_default=argparse.SUPPRESS, runs_default=argparse.SUPPRESS)
        module.add_arguments(own)
        own.set_defaults(measure=module.measure)
    parser.set_defaults(parsers=choices.choices)


def _add_shared(
    parser: argparse.ArgumentParser, *, json_default: bool | str, runs_default: int | str
) -> None:
    parser.add_argument(
        "--json", action="store_true", default=json_default, help="print one JSON object a bench"
    )
    parser.add_argument(
        "--runs", type=int, default=runs_default, help="repetitions [1]; publish five"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run one bench and print its figures; without a name all, one after the other."""
    _quieten()
    if arguments.bench is not None:
        _run_one(arguments)
        return 0
    failed = False
    for name, parser in arguments.parsers.items():
        chosen = argparse.Namespace(json=arguments.json, runs=arguments.runs)
        try:
            _run_one(parser.parse_args([], chosen))
        except FleetgaugeError as error:
            failed = True
            sys.stderr.write(f"{name}: {error}\n")
    return int(failed)


def _quieten() -> None:
    logs.configure("bench", "warning")
    logging.getLogger("collector").setLevel(logging.ERROR)


def _run_one(arguments: argparse.Namespace) -> None:
    machine = Machine()
    report = arguments.measure(arguments)
    document = report.document(machine.description())
    lines = [json.dumps(document)] if arguments.json else _lines(document)
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _lines(document: dict[str, Any]) -> list[str]:
    """Return the figures for a person."""
    machine = document["machine"]
    lines = [
        (
            f"{document['bench']}: {len(document['runs'])} runs, {machine['cores']} cores of "
            f"{machine['cpu']}, load {machine['load_average_at_start'][0]} before, "
            f"{machine['busy_percent']} % busy, {machine['stolen_percent']} % stolen"
        )
    ]
    lines += _figures(document["figures"], "  ")
    return lines + [f"  note: {note}" for note in document["notes"]]


def _figures(figures: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for name, value in figures.items():
        if name.endswith(SPREAD):
            continue
        if isinstance(value, dict):
            lines += [f"{indent}{name}", *_figures(value, indent + "  ")]
            continue
        spread = figures.get(name + SPREAD)
        between = f"   [{spread[0]} .. {spread[1]}]" if spread and spread[0] != spread[1] else ""
        lines.append(f"{indent}{name:<48} {'not measured' if value is None else value}{between}")
    return lines
