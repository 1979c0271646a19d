"""What the raw samples take on the disk, as copied or once they are at rest."""

from datetime import timedelta

import psycopg
from psycopg.rows import TupleRow

from collector import migrate, recompression
from collector.tier import Tier
from sql import queries


def sample_bytes(connection: psycopg.Connection[TupleRow], *, at_rest: bool) -> int:
    """Return what the fast samples take; at rest, after chunks were made anew as by upkeep."""
    if at_rest and migrate.tier_of(connection) is Tier.TIMESCALE:
        while chunk := recompression.next_due(connection, after=-timedelta(days=1)):
            recompression.make_anew(connection, chunk)
    connection.execute("checkpoint")
    found = connection.execute(queries("bench")["sample_bytes"]).fetchone()
    assert found is not None  # noqa: S101 - aggregates have a row
    return int(found[0])
