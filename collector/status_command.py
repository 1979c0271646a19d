"""Say what was sent, stored and dropped, and what the collectors are doing.

Counts are messages, per host and stream: always sent = stored + dropped + not arrived. An agent
says in its heartbeats what it has sent; a gap in its numbers is "not arrived" until the message
comes or somebody says why it never will. --json prints everything, for a program to read.

Reads the database once and waits for nothing: exit code 1 where it does not answer.
"""

import argparse
import json
import os
import sys
from typing import cast

from collector import database, status
from collector.settings import StatusSettings
from telemetry import logs, settings

STATEMENT_TIMEOUT_S = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this subcommand."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    settings.add_flags(parser, StatusSettings)


def run(arguments: argparse.Namespace) -> int:
    """Print the status."""
    chosen = settings.load(StatusSettings, arguments, os.environ)
    logs.configure("status", cast(logs.Level, chosen.log_level))
    with database.connect(chosen.database_url, "status", STATEMENT_TIMEOUT_S) as connection:
        found = status.read(connection)
    if arguments.json:
        sys.stdout.write(json.dumps(found, default=str, indent=1) + "\n")
    else:
        sys.stdout.writelines(line + "\n" for line in status.describe(found))
    return 0
