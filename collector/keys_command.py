"""Decide which keys may speak for which hosts.

An agent with a key signs every message it sends; a collector with `signatures = required` stores
only what an approved key of that host has signed. A host makes its key and its request with
`fleetgauge agent enroll`; bring the request here by whatever way installs your hosts, because that
way knows which host is which.

  fleetgauge keys request requests.jsonl      take requests in; - reads standard input
  fleetgauge keys list                        all keys, those that wait first
  fleetgauge keys approve SHA256:x1Yz…        trust a key (the first 8 characters will do)
  fleetgauge keys approve --facility east     trust all that wait there
  fleetgauge keys revoke SHA256:x1Yz…         trust it no more, within a minute
  fleetgauge keys history                     who did what

Approving a second key of a host lets the first one go on for --overlap-hours, so that a key can be
replaced without a gap. A key that somebody else may have is revoked, not replaced. Everything is
written down with --actor, by default the user who runs this.
"""

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import cast

from collector import agent_keys, database
from collector.settings import StatusSettings
from telemetry import logs, settings
from telemetry.errors import ConfigError, DecodeError

STATEMENT_TIMEOUT_S = 30
REQUESTS_BYTES_MAX = 64 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and flags of this subcommand."""
    parser.add_argument(
        "action", choices=["request", "list", "approve", "revoke", "history"], metavar="ACTION"
    )
    parser.add_argument("words", nargs="*", metavar="FILE|KEY", help="requests, or fingerprints")
    parser.add_argument("--tenant", default="default", help="with --facility [default]")
    parser.add_argument("--facility", default="", help="approve all that wait in this facility")
    parser.add_argument(
        "--valid-days", type=_between(1, 36_500), help="approve for so long [no end]"
    )
    parser.add_argument(
        "--overlap-hours",
        type=_between(0, 24 * 90),
        default=24,
        help="how long a host's other keys go on after an approval [24]",
    )
    parser.add_argument("--actor", default="", help="who decides [the user who runs this]")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    settings.add_flags(parser, StatusSettings)


def run(arguments: argparse.Namespace) -> int:
    """Do one thing with the keys."""
    chosen = settings.load(StatusSettings, arguments, os.environ)
    logs.configure("keys", cast(logs.Level, chosen.log_level))
    actor = arguments.actor or getpass.getuser()
    action, words = arguments.action, arguments.words
    if action in ("request", "revoke") and not words:
        raise ConfigError([f"keys {action}: which?"])
    if action == "approve" and bool(words) == bool(arguments.facility):
        raise ConfigError(["keys approve: either keys, or --facility"])
    with database.connect(chosen.database_url, "keys", STATEMENT_TIMEOUT_S) as connection:
        if action == "list":
            return _print(agent_keys.listed(connection), as_json=arguments.json)
        if action == "history":
            return _print(agent_keys.history(connection), as_json=arguments.json)
        if action == "request":
            return _request(connection, words, actor)
        found = (
            agent_keys.waiting(connection, arguments.tenant, arguments.facility)
            if arguments.facility
            else [agent_keys.find(connection, word) for word in words]
        )
        for key in found:
            if action == "approve":
                done = agent_keys.approve(
                    connection,
                    key,
                    actor,
                    valid_days=arguments.valid_days,
                    overlap_hours=arguments.overlap_hours,
                )
            else:
                done = agent_keys.revoke(connection, key, actor)
            _say(f"{action}d" if done else f"not {action}d, it is {key.state}", key)
    if not found:
        sys.stdout.write("nothing waits there\n")
    return 0


def _request(connection: database.Connection, names: list[str], actor: str) -> int:
    """Take in every request of every file; return 1 if one was refused."""
    refused = 0
    for name in names:
        try:
            text = sys.stdin.read(REQUESTS_BYTES_MAX) if name == "-" else _text(Path(name))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([f"{name}: {error}"]) from error
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                key, is_new = agent_keys.request(connection, line, actor)
            except DecodeError as error:
                refused += 1
                sys.stderr.write(f"{name}:{number}: {error.detail}\n")
            else:
                _say("waits for approval" if is_new else "was there already", key)
    return 1 if refused else 0


def _text(path: Path) -> str:
    if path.stat().st_size > REQUESTS_BYTES_MAX:
        raise ConfigError([f"{path}: larger than {REQUESTS_BYTES_MAX} bytes"])
    return path.read_text(encoding="utf-8")


def _say(what: str, key: agent_keys.Key) -> None:
    sys.stdout.write(f"{key.shown}  {key.place}  {what}\n")


def _print(rows: list[dict[str, object]], *, as_json: bool) -> int:
    for row in rows:
        if as_json:
            sys.stdout.write(agent_keys.as_json(row) + "\n")
        else:
            sys.stdout.write("  ".join(str(value) for value in row.values() if value) + "\n")
    return 0


def _between(least: int, most: int) -> "type[int]":
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"between {least} and {most}")
        return value

    return cast("type[int]", number)
