"""`fleetgauge SUBCOMMAND`: dispatch, and the one place where errors become exit codes.

Owns no behaviour. A subcommand is a module with `add_arguments(parser)` and
`run(arguments) -> exit code`; it is imported only when it was asked for, so that a GPU host
needs no web framework to run the agent.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from telemetry.errors import ConfigError, FleetgaugeError

EXIT_FAILED = 1
EXIT_CONFIG = 2


@dataclass(frozen=True, slots=True)
class Subcommand:
    """Where a subcommand lives, what it is for, and which extra brings its libraries."""

    module: str
    sentence: str
    extra: str


SUBCOMMANDS = {
    "agent": Subcommand("fleetgauge.agent", "read this host's accelerators and send them", "agent"),
    "agent enroll": Subcommand(
        "agent.enroll_command", "make this host's key and the request to trust it", "agent"
    ),
    "doctor": Subcommand("fleetgauge.doctor", "say what this host can read, and why not", "agent"),
    "collector": Subcommand("collector.command", "store what the agents send", "collector"),
    "alerts": Subcommand("alerts.command", "watch the database and tell people", "alerts"),
    "dashboard": Subcommand("dashboard.command", "show the fleet in a browser", "dashboard"),
    "migrate": Subcommand(
        "collector.migrate_command", "bring schema and topics up to date", "collector"
    ),
    "keys": Subcommand(
        "collector.keys_command", "decide which keys speak for which hosts", "collector"
    ),
    "status": Subcommand(
        "collector.status_command", "say what was sent, stored and dropped", "collector"
    ),
    "simulate": Subcommand(
        "simulator.simulate_command", "run a facility of simulated hosts", "demo"
    ),
    "replay": Subcommand(
        "simulator.replay_command", "send recorded telemetry through the pipe", "demo"
    ),
    "demo": Subcommand(
        "simulator.demo_command",
        "run everything on this machine, with simulated facilities",
        "demo",
    ),
    "bench": Subcommand("benchmarks.command", "measure, and print the figures", "demo"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit code: 0, 1 failed, 2 wrong settings or usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in SUBCOMMANDS:
        _overview().parse_args(words or ["--help"])
        return EXIT_CONFIG
    # A subcommand may have two words; none of them is a prefix of an argument of another.
    size = 2 if " ".join(words[:2]) in SUBCOMMANDS else 1
    name, rest = " ".join(words[:size]), words[size:]
    subcommand = SUBCOMMANDS[name]
    try:
        module = importlib.import_module(subcommand.module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] == subcommand.module.split(".")[0]:
            raise
        _say(
            f"`fleetgauge {name}` needs {error.name}; "
            f"install it with: pip install 'fleetgauge[{subcommand.extra}]'"
        )
        return EXIT_FAILED
    parser = argparse.ArgumentParser(
        f"fleetgauge {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    try:
        return int(module.run(parser.parse_args(rest)))
    except ConfigError as error:
        for problem in error.problems:
            _say(problem)
        return EXIT_CONFIG
    except FleetgaugeError as error:
        _say(str(error))
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_FAILED


def _overview() -> argparse.ArgumentParser:
    # It loads a tenth of what an agent loads before its first sample, for one word.
    from importlib.metadata import version  # noqa: PLC0415

    width = max(map(len, SUBCOMMANDS))
    lines = [f"  {name:<{width}}  {entry.sentence}" for name, entry in SUBCOMMANDS.items()]
    parser = argparse.ArgumentParser(
        "fleetgauge",
        description="Real-time telemetry and health for accelerator fleets.",
        epilog="subcommands:\n"
        + "\n".join(lines)
        + "\n\n`fleetgauge SUBCOMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=version("fleetgauge"))
    parser.add_argument("subcommand", choices=SUBCOMMANDS, metavar="SUBCOMMAND", nargs="?")
    return parser


def _say(text: str) -> None:
    sys.stderr.write(f"fleetgauge: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
