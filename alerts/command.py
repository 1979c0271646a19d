"""Watch the database and tell people.

Evaluates the alert rules on what the collectors stored, groups what they find into incidents, and
notifies receivers (webhooks, or the log where none is configured) until they took it. Several may
run: one is active, the others stand by and take over within seconds.

  fleetgauge alerts                                    run it
  fleetgauge alerts check                              read all rules, say what is wrong with them
  fleetgauge alerts list                               print what is wrong now
  fleetgauge alerts acknowledge --incident 7 --author ann
  fleetgauge alerts silence --rule thermal --facility east --hours 2 --author ann --comment "..."

Receivers stand in the settings file:

  [receivers.pager]
  kind = "webhook"
  url = "https://events.example.org/fleet"
  secret_file = "/etc/fleetgauge/pager.key"
  severity_min = "critical"
"""

import argparse
import os
from typing import cast

from alerts import desk
from alerts.run import Service
from alerts.settings import AlertSettings
from telemetry import logs, settings
from telemetry.clock import SystemClock
from telemetry.stop import StopSignal

ACTIONS = ("run", "check", "list", "acknowledge", "silence")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action, what it needs, and a flag for each setting."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="run", help="[run]")
    group = parser.add_argument_group("for acknowledge and silence")
    group.add_argument("--incident", type=int, help="number of the incident")
    group.add_argument("--author", help="who says so")
    group.add_argument("--comment", help="why")
    group.add_argument("--rule", help="silence this rule")
    group.add_argument("--facility", help="silence this facility")
    group.add_argument("--host", help="silence this host")
    group.add_argument("--hours", type=float, help="for how long, at most 720")
    settings.add_flags(parser, AlertSettings)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; return the exit code."""
    record = settings.load(AlertSettings, arguments, os.environ)
    logs.configure("alerts", cast("logs.Level", record.log_level))
    match arguments.action:
        case "check":
            return desk.check_rules(record)
        case "list":
            return desk.list_incidents(record)
        case "acknowledge":
            return desk.acknowledge(record, arguments)
        case "silence":
            return desk.silence(record, arguments)
    stop = StopSignal()
    stop.install()
    return Service(record, SystemClock(), stop).run()
