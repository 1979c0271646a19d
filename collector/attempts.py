"""The ledger of starts: how many collectors ended at the first records of a lane under a claim.

Owns the two thresholds and the ledger. An entry is written before anything is decoded, for a lane's
first batch after a claim only, so that a record that kills the process is found after a few starts
and costs nothing while all is well. Only ends count: a collector that is still there to say that
something else was in the way takes its start back, and one that tries again is not counted twice.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

import sql
from collector.claims import Claim
from collector.consumer import Partition
from collector.database import Connection, translated
from collector.lanes import Lane
from telemetry.errors import FleetgaugeError

# From this start on, the records of a first batch are stored one by one, each with an entry. Not
# from the second on: one kill is no suspicion yet, and after an outage a first batch is long.
CAREFUL_FROM = 3
# After this many starts at one and the same record it goes to quarantine without being opened.
STARTS_MAX = 3

_QUERIES = sql.queries("collector_books")


class Entry(NamedTuple):
    """A lane in the ledger."""

    partition: Partition
    claim: Claim
    lane: Lane

    def key(self) -> dict[str, object]:
        """Return its key as parameters."""
        partition, claim, lane = self
        return {"topic_id": claim.topic_id, "partition": partition.number, "lane": str(lane)}


def begin(connection: Connection, entry: Entry, run_id: str) -> int:
    """Enter a start of a process where a lane goes on; return how many have started there."""
    start = {"offset": entry.claim.lanes.start_of(entry.lane), "run_id": run_id}
    with translated("the ledger of starts"):
        row = connection.execute(_QUERIES["attempt"], entry.key() | start).fetchone()
    return int(str(row[0])) if row else 1


def take_back(connection: Connection, entries: Iterable[Entry], run_id: str) -> None:
    """Uncount the starts of a process that goes on, if the database lets us."""
    with suppress(FleetgaugeError), translated("the ledger of starts"):
        for entry in entries:
            connection.execute(_QUERIES["take_back"], entry.key() | {"run_id": run_id})


def succeed(connection: Connection, entries: Iterable[Entry]) -> None:
    """Strike the entries of lanes whose first records are stored."""
    with translated("the ledger of starts"):
        for entry in entries:
            connection.execute(_QUERIES["succeed"], entry.key())
