"""The desk: what a person does with alerts at the command line.

Owns listing, acknowledging and silencing. The dashboard does the same with the same tables.
"""

import argparse
import sys
from datetime import UTC, datetime
from typing import Any

import psycopg

from alerts.database import Connection, connect, translated
from alerts.rules import load_rules
from alerts.settings import AlertSettings
from sql import queries
from telemetry.errors import ConfigError

EXIT_FAILED = 1


def check_rules(settings: AlertSettings) -> int:
    """Read every rule and say what is wrong with any; 1 when something is."""
    rule_set = load_rules(settings.rules_folder)
    for rule in rule_set.rules.values():
        _say(f"{rule.name:<24} {rule.severity:<9} {rule.description}")
    for name, error in rule_set.broken.items():
        _say(f"{name:<24} BROKEN    {error}")
    return EXIT_FAILED if rule_set.broken else 0


def list_incidents(settings: AlertSettings) -> int:
    """Print what is wrong now."""
    with translated(), connect(settings.database_url, "list") as connection:
        rows = connection.execute(queries("alerts_desk")["list_open"]).fetchall()
    for row in rows:
        _say(_line(row))
    if not rows:
        _say("nothing is wrong that the rules know of")
    return 0


def acknowledge(settings: AlertSettings, arguments: argparse.Namespace) -> int:
    """Take an incident over; 1 when nothing of it fires."""
    _need(arguments, "incident", "author")
    parameters = {
        "incident_id": arguments.incident,
        "author": arguments.author,
        "comment": arguments.comment or "",
        "now": datetime.now(UTC),
    }
    with translated(), connect(settings.database_url, "acknowledge") as connection:
        count = connection.execute(queries("alerts_desk")["acknowledge"], parameters).rowcount
    _say(f"{count} alerts acknowledged")
    return 0 if count else EXIT_FAILED


def silence(settings: AlertSettings, arguments: argparse.Namespace) -> int:
    """Be quiet about something for a while; 1 when there is no such place."""
    _need(arguments, "author", "comment", "hours")
    parameters = {
        "rule": arguments.rule,
        "facility": arguments.facility,
        "host": arguments.host,
        "author": arguments.author,
        "comment": arguments.comment,
        "hours": arguments.hours,
        "now": datetime.now(UTC),
    }
    with translated(), connect(settings.database_url, "silence") as connection:
        row = _insert_silence(connection, parameters)
    if row is None:
        _say("there is no such facility or host")
        return EXIT_FAILED
    _say(f"silence {row['silence_id']} holds until {row['ends_at']:%Y-%m-%d %H:%M} UTC")
    return 0


def _insert_silence(connection: Connection, parameters: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return connection.execute(queries("alerts_desk")["silence"], parameters).fetchone()
    except psycopg.errors.CheckViolation as error:
        raise ConfigError(
            ["silence: give a rule, facility or host, and at most 30 days (720 hours)"]
        ) from error


def _need(arguments: argparse.Namespace, *names: str) -> None:
    problems = [f"--{name}: must be given" for name in names if not getattr(arguments, name)]
    if problems:
        raise ConfigError(problems)


def _line(row: dict[str, Any]) -> str:
    marks = f"{' flapping' if row['flapping'] else ''}"
    if row["muted_count"]:
        marks += f" {row['muted_count']} muted"
    return (
        f"#{row['incident_id']} {row['severity']} {row['state']}{marks} "
        f"since {row['opened_at']:%Y-%m-%d %H:%M} UTC: {row['summary']}"
    )


def _say(text: str) -> None:
    # Names were checked on their way in, but a terminal obeys more than names may hold.
    sys.stdout.write("".join(c if c.isprintable() else repr(c)[1:-1] for c in text) + "\n")
