"""Which storage tier a database offers: the one place that knows.

Owns the detection. What a tier means is in the migrations of that tier and in `maintenance.py`.
"""

from enum import StrEnum

import psycopg

POSTGRES_VERSION_MIN = 160_000
# Older ones lose rows in `on conflict do nothing` on compressed chunks (timescaledb#7672).
TIMESCALE_VERSION_MIN = (2, 18, 1)
# Older ones can lose rows that the client has sorted (timescaledb#9381).
COMPRESSED_COPY_VERSION_MIN = (2, 26, 0)


class Tier(StrEnum):
    """A way to store samples; the names are those of `sql.TIERS`."""

    POSTGRES = "postgres"
    TIMESCALE_APACHE = "timescale-apache"
    TIMESCALE = "timescale"


def detect(connection: psycopg.Connection[tuple[object, ...]]) -> Tier:
    """Return the tier that the connected database offers now."""
    version = extension_version(connection)
    if version is None:
        return Tier.POSTGRES
    row = connection.execute("select current_setting('timescaledb.license', true)").fetchone()
    licence = row[0] if row else None
    return Tier.TIMESCALE if licence == "timescale" else Tier.TIMESCALE_APACHE


def extension_version(
    connection: psycopg.Connection[tuple[object, ...]],
) -> tuple[int, ...] | None:
    """Return the version of TimescaleDB in this database, or None without it."""
    row = connection.execute(
        "select extversion from pg_extension where extname = 'timescaledb'"
    ).fetchone()
    return None if row is None else parse_version(str(row[0]))


def compresses_copies(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Return whether rows can be compressed while they are copied, in the client's order."""
    version = extension_version(connection)
    return version is not None and version >= COMPRESSED_COPY_VERSION_MIN


def parse_version(text: str) -> tuple[int, ...]:
    """Return `2.30.0-dev` as (2, 30, 0)."""
    return tuple(int(part) for part in text.split("-", maxsplit=1)[0].split("."))


def add_extension(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Add TimescaleDB to this database where the server has loaded it and lets us."""
    row = connection.execute("select current_setting('shared_preload_libraries')").fetchone()
    if row is None or "timescaledb" not in str(row[0]):
        return
    try:
        connection.execute("create extension if not exists timescaledb")
    except psycopg.errors.InsufficientPrivilege:
        # Then the administrator decides; plain tables work everywhere.
        connection.rollback()
