"""The agent's subcommand, with the choice of a simulated driver under it.

Owns `--simulate` and `--scenario`: nvidia-ml-py then talks to simulated boards, and everything
above it is the agent that runs on a GPU host. The agent itself knows nothing of it.
"""

import argparse
from pathlib import Path

from agent import command

__doc__ = command.__doc__  # shown by --help


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the agent's flags and those of the simulated driver."""
    simulated = parser.add_argument_group("simulated driver")
    simulated.add_argument(
        "--simulate",
        metavar="BOARDS",
        help="read simulated boards instead of real ones: h100, h200x4 …",
    )
    simulated.add_argument(
        "--scenario", type=Path, metavar="FILE", help="faults that happen to them, as TOML"
    )
    command.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Put the simulated driver in its place, if asked to, and run the agent."""
    if not arguments.simulate:
        return command.run(arguments)
    # Only needed here; a GPU host has real boards.
    from simulator.nvml.child import Simulation  # noqa: PLC0415

    simulation = Simulation.checked(arguments.simulate, arguments.scenario)
    return command.run(arguments, simulation.command(), simulation.install)
