"""The ledger of starts: how often the first records under a claim were begun without success.

Owns the two thresholds and the ledger. An entry is written before anything is decoded, for the
first batch after a claim only, so that a record that kills the process is found after a few starts
and costs nothing while all is well.
"""

from collections.abc import Iterable

import sql
from collector.claims import Claim
from collector.consumer import Partition
from collector.database import Connection, translated

# From this start on, the records of a first batch are stored one by one, each with an entry.
CAREFUL_FROM = 3
# From this start on at one and the same record, it is put into quarantine without being opened.
SKIP_FROM = 6

_QUERIES = sql.queries("collector_books")


def begin(connection: Connection, partition: Partition, claim: Claim) -> int:
    """Enter a start at the claim's next offset, and return the how-manieth it is."""
    with translated("the ledger of starts"):
        row = connection.execute(
            _QUERIES["attempt"],
            {
                "topic_id": claim.topic_id,
                "partition": partition.number,
                "offset": claim.next_offset,
            },
        ).fetchone()
    return int(str(row[0])) if row else 1


def succeed(connection: Connection, claims: Iterable[tuple[Partition, Claim]]) -> None:
    """Strike the entries of partitions whose first records are stored."""
    with translated("the ledger of starts"):
        for partition, claim in claims:
            connection.execute(
                _QUERIES["succeed"],
                {"topic_id": claim.topic_id, "partition": partition.number},
            )
