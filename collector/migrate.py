"""Migrations: which have to run, and running them.

Owns the plan (pure) and the ledger `schema_migrations`: number, title, tier and checksum of each
applied file. A changed or missing file stops everything. Topics are `topics.py`.
"""

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg

import sql
from collector.database import Connection, translated
from collector.tier import (
    POSTGRES_VERSION_MIN,
    TIMESCALE_VERSION_MIN,
    Tier,
    add_extension,
    detect,
    extension_version,
)
from telemetry.errors import PermanentError, RetryableError

log = logging.getLogger(__name__)

# A migration that waits for a lock makes everyone behind it wait too, so it gives way.
LOCK_TIMEOUT = "set local lock_timeout = '2s'"
LOCK_ATTEMPTS = 15
LOCK_PAUSE_S = 1.0
NO_TRANSACTION = "-- no-transaction"

_QUERIES = sql.queries("migrate")


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of the ledger."""

    number: int
    title: str
    tier: str
    checksum: str


def checksum(migration: sql.Migration) -> str:
    """Return what the ledger keeps of a file's text."""
    return hashlib.sha256(migration.text.encode()).hexdigest()


def statements(text: LiteralString) -> list[LiteralString]:
    """Split a file that runs outside a transaction: several at once would be in one again.

    A statement ends where a line ends with a semicolon; there are no functions in such files.
    """
    return [part for part in text.split(";\n") if part.strip()]


def plan(applied: Sequence[Applied], available: Sequence[sql.Migration]) -> list[sql.Migration]:
    """Return the migrations that still have to run, in order.

    Raises:
        PermanentError: a number that stands twice, or an applied migration that is missing or
            changed.
    """
    numbers = [migration.number for migration in available]
    if len(set(numbers)) != len(numbers):
        raise PermanentError(f"a migration's number stands twice: {numbers}")
    by_number = {migration.number: migration for migration in available}
    for entry in applied:
        migration = by_number.get(entry.number)
        if migration is None:
            raise PermanentError(
                f"migration {entry.number:04} ({entry.title}) was applied to this database, and "
                "this version does not know it: it is older than the schema"
            )
        if checksum(migration) != entry.checksum:
            raise PermanentError(
                f"migration {entry.number:04} ({entry.title}) has changed since it was applied; "
                "write a new one instead"
            )
    done = {entry.number for entry in applied}
    return [migration for migration in available if migration.number not in done]


def read_ledger(connection: Connection) -> list[Applied]:
    """Return what was applied; nothing where there is no ledger yet."""
    with translated("the ledger of migrations"):
        exists = connection.execute(_QUERIES["ledger_exists"]).fetchone()
        if not exists or not exists[0]:
            return []
        rows = connection.execute(_QUERIES["ledger"]).fetchall()
    return [Applied(int(str(n)), str(t), str(tier), str(c)) for n, t, tier, c in rows]


def tier_of(connection: Connection) -> Tier:
    """Return the tier this database was migrated for, or else the one that it offers."""
    applied = read_ledger(connection)
    with translated("the storage tier"):
        offered = detect(connection)
    if not applied:
        return offered
    if (kept := Tier(applied[-1].tier)) is not offered:
        log.info("the database now offers %s; its tables stay as made for %s", offered, kept)
    return kept


def pending(connection: Connection) -> list[sql.Migration]:
    """Return the migrations that this program needs and the database does not have."""
    return plan(read_ledger(connection), sql.migrations(tier_of(connection)))


def migrate(connection: Connection) -> list[sql.Migration]:
    """Bring the schema up to date and return what was applied.

    Raises:
        PermanentError: see `plan`; or a server that is too old.
        RetryableError: another migrator, or someone who does not let go of a lock.
    """
    with translated("the database"):
        _check_server(connection)
        locked = connection.execute(_QUERIES["try_lock"]).fetchone()
    if not locked or not locked[0]:
        raise RetryableError("another `fleetgauge migrate` is at work in this database")
    try:
        with translated("the ledger of migrations"):
            if not read_ledger(connection):
                add_extension(connection)
            _check_extension(connection)
            connection.execute(_QUERIES["make_ledger"])
        tier = tier_of(connection)
        todo = plan(read_ledger(connection), sql.migrations(tier))
        for migration in todo:
            _apply_patiently(connection, migration, tier)
            log.info("applied %04d %s", migration.number, migration.title)
        if todo:
            with translated("the views for the dashboard"):
                connection.execute(_QUERIES["renew_views"])
        return todo
    finally:
        if not connection.closed:
            connection.execute(_QUERIES["unlock"])


def _check_server(connection: Connection) -> None:
    if connection.info.server_version < POSTGRES_VERSION_MIN:
        raise PermanentError(
            f"PostgreSQL {connection.info.server_version // 10_000} is too old: "
            f"{POSTGRES_VERSION_MIN // 10_000} or newer"
        )


def _check_extension(connection: Connection) -> None:
    version = extension_version(connection)
    if version is not None and version < TIMESCALE_VERSION_MIN:
        wanted = ".".join(map(str, TIMESCALE_VERSION_MIN))
        raise PermanentError(f"TimescaleDB {version} loses rows: {wanted} or newer")


def _apply_patiently(connection: Connection, migration: sql.Migration, tier: Tier) -> None:
    for _ in range(LOCK_ATTEMPTS):
        try:
            with translated(f"migration {migration.number:04} ({migration.title})"):
                _apply(connection, migration, tier)
        except RetryableError as error:
            if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                raise
            log.info("%s; trying again", error)
            time.sleep(LOCK_PAUSE_S)
        else:
            return
    raise RetryableError(f"migration {migration.number:04}: its locks were never free")


def _apply(connection: Connection, migration: sql.Migration, tier: Tier) -> None:
    entry = {
        "number": migration.number,
        "title": migration.title,
        "tier": str(tier),
        "checksum": checksum(migration),
    }
    if migration.text.startswith(NO_TRANSACTION):
        # Such a file has to be written so that it may run twice: it may fail before the entry.
        # An index of a large table takes as long as it takes, and nobody waits for it.
        connection.execute("set statement_timeout = 0")
        try:
            for statement in statements(migration.text):
                connection.execute(statement)
        finally:
            connection.execute("reset statement_timeout")
        connection.execute(_QUERIES["enter"], entry)
        return
    with connection.transaction():
        connection.execute(LOCK_TIMEOUT)
        connection.execute(migration.text)
        connection.execute(_QUERIES["enter"], entry)
