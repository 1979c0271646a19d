"""Store what the agents send: from the broker's three topics into the database, exactly once.

A collector joins its consumer group, gets partitions, and stores their messages in batches; the
offset of each partition moves in the same transaction as the rows, so that a collector may be
killed at any moment. Run as many as there are partitions to share the work. The schema and the
topics are made by `fleetgauge migrate`.

What cannot be stored goes to the table `quarantine` with its reason, and the log goes on. A broker
or a database that is away is waited for. SIGTERM finishes the batch in hand.
"""

import argparse
import os
from typing import cast

from collector.run import Collector
from collector.settings import CollectorSettings
from telemetry import logs, settings
from telemetry.clock import SystemClock
from telemetry.stop import StopSignal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this subcommand."""
    settings.add_flags(parser, CollectorSettings)


def run(arguments: argparse.Namespace) -> int:
    """Run a collector until it is told to stop."""
    chosen = settings.load(CollectorSettings, arguments, os.environ)
    logs.configure("collector", cast(logs.Level, chosen.log_level))
    chosen.client_options()  # what is wrong with its files is said before anything starts
    stop = StopSignal()
    stop.install()
    Collector(chosen, SystemClock(), stop).run()
    return 0
