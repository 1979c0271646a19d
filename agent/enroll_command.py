"""Make this host's key, and print the request that an operator approves.

The key goes into a new file that only its owner may read; it is never shown and never overwritten.
The request holds nothing secret. It goes to standard output, to be carried to where
`fleetgauge keys request` runs by the way that installs this host: whoever approves it trusts that
way to know which host this is. No network is needed here.

  fleetgauge agent enroll --config /etc/fleetgauge/agent.toml > request.json

Where there is a key already, the request for it is printed once more. To replace a key, set
signing_key_file to a new name, enroll, have the new key approved, and restart the agent: the old
key goes on for a day, and what is in the spool is signed with the new one.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import cast

from agent.drafts import Identity
from agent.key_file import make_key_file, read_key_file
from agent.settings import AgentSettings
from telemetry import logs, settings
from telemetry.clock import SystemClock
from telemetry.errors import ConfigError
from telemetry.signing import make_request, show_fingerprint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the agent, so that its configuration names the host and the file."""
    settings.add_flags(parser, AgentSettings)


def run(arguments: argparse.Namespace) -> int:
    """Make the key if there is none, and print the request."""
    chosen = settings.load(AgentSettings, arguments, os.environ)
    logs.configure("agent", cast("logs.Level", chosen.log_level))
    if not chosen.signing_key_file:
        raise ConfigError(["settings:signing_key_file: name the file that is to hold the key"])
    identity = Identity.checked(chosen.tenant, chosen.facility, chosen.host_name())
    path = Path(chosen.signing_key_file)
    is_there = path.exists()
    key = read_key_file(path) if is_there else make_key_file(path)
    request = make_request(
        key,
        tenant=identity.tenant,
        facility=identity.facility,
        host=identity.host,
        now_us=SystemClock().now_us(),
    )
    sys.stdout.write(request + "\n")
    sys.stderr.write(
        f"{'the key in' if is_there else 'made a key in'} {path}: "
        f"{show_fingerprint(key.fingerprint)}\n"
    )
    return 0
