"""Say what this host can and cannot read, why, and what to do about it.

It asks the driver, each GPU and each group of metrics, looks at the kernel log, the spool's folder,
the clock and the broker with its topics, and changes nothing. Give it the agent's own settings, and
run it as the agent's user, or its findings are about somebody else.

  sudo -u fleetgauge fleetgauge doctor --config /etc/fleetgauge/agent.toml
  fleetgauge doctor --simulate h100        how it looks where all is well
  fleetgauge doctor --json | jq '.findings[] | select(.verdict != "ok")'

Exit code: 0 the agent can work, 1 something keeps it from its work, 2 a setting is wrong.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from agent.accelerators import AcceleratorReader, load_reader
from agent.doctor import Finding, as_json, as_text, exit_code
from agent.doctor_broker import check_broker
from agent.doctor_driver import check_driver
from agent.doctor_host import check_host
from agent.kernel_log.witness import KernelLogSettings
from agent.settings import AgentSettings
from telemetry import logs, settings
from telemetry.clock import Clock, SystemClock


@dataclass(frozen=True, kw_only=True)
class DoctorSettings(AgentSettings, KernelLogSettings):
    """The agent's own settings: the doctor looks at what they name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this program."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    settings.add_flags(parser, DoctorSettings)


def run(arguments: argparse.Namespace) -> int:
    """Look at everything and tell."""
    chosen = settings.load(DoctorSettings, arguments, os.environ)
    logs.configure("doctor", cast("logs.Level", chosen.log_level))
    if chosen.log_level != "debug":
        # What a library logs stands in a finding, said better.
        logging.getLogger().setLevel(logging.CRITICAL)
    make_reader = cast("Callable[[Clock], AcceleratorReader]", load_reader(chosen.reader))
    findings = list(examine(chosen, make_reader(SystemClock())))
    sys.stdout.write(as_json(findings) if arguments.json else as_text(findings))
    return exit_code(findings)


def examine(chosen: DoctorSettings, reader: AcceleratorReader) -> Iterator[Finding]:
    """Yield all findings, in the order in which a person would look."""
    parts: list[Iterable[Finding]] = [
        check_driver(reader),
        check_host(Path(chosen.spool_path), chosen.spool_bytes_max, chosen.kernel_log_path),
    ]
    if chosen.sink == "kafka":
        parts.append(check_broker(chosen))
    for part in parts:
        yield from part
