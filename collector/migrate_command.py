"""Bring the database's schema and the broker's topics up to date.

Applies the migrations that this database does not have yet, in order, each in a transaction of
its own, and writes them into the table `schema_migrations` with their checksums. A migration that
was changed after it was applied, or that this version does not know, stops everything before
anything is touched. Safe to run again, and while the collectors run: it waits two seconds for a
lock, gives way, and tries again.

Then makes the three topics (PREFIX.samples, PREFIX.events, PREFIX.queues) with explicit settings
if they are missing, and says where existing ones differ. Collectors and agents never make topics.

Exit code 0 when all is as it should be, 1 when not, 2 for wrong settings.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import cast

from collector import database, migrate, topics
from collector.settings import MigrateSettings
from telemetry import logs, settings
from telemetry.clock import SystemClock
from telemetry.errors import RetryableError

log = logging.getLogger(__name__)

STATEMENT_TIMEOUT_S = 600
PAUSE_S = 1.0

Step = Callable[[MigrateSettings], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this subcommand."""
    settings.add_flags(parser, MigrateSettings)


def run(arguments: argparse.Namespace) -> int:
    """Migrate, waiting for services that are not there yet."""
    chosen = settings.load(MigrateSettings, arguments, os.environ)
    logs.configure("migrate", cast(logs.Level, chosen.log_level))
    for step in (_migrate_schema, _migrate_topics):
        _patiently(step, chosen)
    return 0


def _patiently(step: Step, chosen: MigrateSettings) -> None:
    """Run a step until it works or the patience is over."""
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + chosen.migrate_wait_s
    said = ""
    while True:
        try:
            return step(chosen)
        except RetryableError as error:
            if clock.monotonic_s() >= deadline_s:
                raise
            if str(error) != said:
                said = str(error)
                log.info("waiting: %s", said)
        time.sleep(PAUSE_S)


def _migrate_schema(chosen: MigrateSettings) -> None:
    with database.connect(chosen.database_url, "migrate", STATEMENT_TIMEOUT_S) as connection:
        applied = migrate.migrate(connection)
        tier = migrate.tier_of(connection)
    names = ", ".join(f"{step.number:04}_{step.title}" for step in applied) or "nothing to do"
    _say(f"schema ({tier}): {names}")


def _migrate_topics(chosen: MigrateSettings) -> None:
    if not chosen.migrate_topics:
        return
    different = topics.ensure_topics(chosen)
    for sentence in different:
        log.warning("%s", sentence)
    _say("topics: as wanted" if not different else f"topics: {len(different)} differences")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
