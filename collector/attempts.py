"""The ledger of starts: how many collectors ended at the first records under a claim.

Owns the two thresholds and the ledger. An entry is written before anything is decoded, for the
first batch after a claim only, so that a record that kills the process is found after a few starts
and costs nothing while all is well. Only ends count: a collector that is still there to say that
something else was in the way takes its start back, and one that tries again is not counted twice.
"""

from collections.abc import Iterable
from contextlib import suppress

import sql
from collector.claims import Claim
from collector.consumer import Partition
from collector.database import Connection, translated
from telemetry.errors import FleetgaugeError

# From this start on, the records of a first batch are stored one by one, each with an entry. Not
# from the second on: one kill is no suspicion yet, and after an outage a first batch is long.
CAREFUL_FROM = 3
# After this many starts at one and the same record it goes to quarantine without being opened.
STARTS_MAX = 3

_QUERIES = sql.queries("collector_books")


def begin(connection: Connection, partition: Partition, claim: Claim, run_id: str) -> int:
    """Enter a start of a process at the claim's next offset; return how many have started there."""
    with translated("the ledger of starts"):
        row = connection.execute(
            _QUERIES["attempt"],
            {
                "topic_id": claim.topic_id,
                "partition": partition.number,
                "offset": claim.next_offset,
                "run_id": run_id,
            },
        ).fetchone()
    return int(str(row[0])) if row else 1


def take_back(
    connection: Connection, claims: Iterable[tuple[Partition, Claim]], run_id: str
) -> None:
    """Uncount the starts of a process that goes on, if the database lets us."""
    with suppress(FleetgaugeError), translated("the ledger of starts"):
        for partition, claim in claims:
            connection.execute(
                _QUERIES["take_back"],
                {"topic_id": claim.topic_id, "partition": partition.number, "run_id": run_id},
            )


def succeed(connection: Connection, claims: Iterable[tuple[Partition, Claim]]) -> None:
    """Strike the entries of partitions whose first records are stored."""
    with translated("the ledger of starts"):
        for partition, claim in claims:
            connection.execute(
                _QUERIES["succeed"],
                {"topic_id": claim.topic_id, "partition": partition.number},
            )
