"""The doctor's subcommand, with the choice of a simulated driver under it.

Owns `--simulate`, as `fleetgauge/agent.py` does for the agent.
"""

import argparse

from agent import doctor_command

__doc__ = doctor_command.__doc__  # shown by --help


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the doctor's flags and that of the simulated driver."""
    parser.add_argument(
        "--simulate",
        metavar="BOARDS",
        help="look at simulated boards instead of real ones: h100, h200x4 …",
    )
    doctor_command.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Put the simulated driver in its place, if asked to, and look."""
    if arguments.simulate:
        # Only needed here; a GPU host has real boards.
        from simulator.nvml.host import make_driver  # noqa: PLC0415
        from simulator.nvml.install import install  # noqa: PLC0415
        from telemetry.clock import SystemClock  # noqa: PLC0415

        install(make_driver(arguments.simulate, SystemClock(), host="simulated"))
    return doctor_command.run(arguments)
