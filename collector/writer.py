"""The ways around a bad record, so that every record is stored or set aside, whatever it is.

One that the database refuses is found by halving, one that kills the process by the ledger of
starts. The way of a batch that is as it should be is `store.py`'s; which records, and when,
`run.py`'s.
"""

import logging
from collections.abc import Mapping, Sequence

from collector import attempts, books
from collector.batch import Batch
from collector.claims import Claim
from collector.consumer import Partition, Received
from collector.database import Connection, RefusedDataError
from collector.intake import Opened, Rejected
from collector.lanes import Lane
from collector.refusals import Refusals
from collector.report import Report
from collector.settings import CollectorSettings
from collector.store import Store
from collector.tier import Tier
from telemetry.clock import Clock
from telemetry.errors import FleetgaugeError

log = logging.getLogger(__name__)


class Writer:
    """Stores records over one connection, in the order they are given."""

    def __init__(
        self,
        connection: Connection,
        tier: Tier,
        settings: CollectorSettings,
        clock: Clock,
        report: Report,
    ) -> None:
        self._store = Store(connection, tier, settings, clock)
        self._connection = connection
        self._clock = clock
        self._report = report
        self._refusals = Refusals()
        self.partitions = self._store.partitions

    def forget(self) -> None:
        """After any failure: what was in hand is not stored, or nobody knows."""
        self._store.forget()

    def forget_what_others_change(self) -> None:
        """After a claim: another collector may have stored for the same hosts until now."""
        self._store.forget_what_others_change()

    def store(self, records: Sequence[Received], claims: Mapping[Partition, Claim]) -> None:
        """Store records and move their partitions' claims.

        Raises:
            RetryableError: nothing of the last transaction is stored, or nobody knows; call
                `forget`, claim again and read again.
        """
        fresh = _fresh(records, claims)
        try:
            starts = max((self._begin(entry) for entry in fresh), default=0)
            if starts >= attempts.CAREFUL_FROM:
                log.warning("storing one by one: starts that ended here: %d", starts - 1)
                for record in records:
                    self._store_carefully(record, claims)
            else:
                self._store_halving(records, claims)
        except FleetgaugeError:
            attempts.take_back(self._connection, fresh, self._report.run_id)
            raise
        attempts.succeed(self._connection, fresh)
        self.note_identities()

    def note_identities(self) -> None:
        """Write down what was found of senders, if it is time.

        Raises:
            RetryableError: the database is away.
        """
        self._store.identity.note(self._connection)

    def pass_over(self, partition: Partition, claim: Claim, offset: int) -> None:
        """Move a lane up to and with an offset at which its log holds no record.

        Raises:
            RetryableError: claim again.
        """
        move = books.Move(partition, claim, claim.lanes.stored(offset))
        books.pass_over(self._connection, [move])
        claim.lanes = move.lanes

    def _begin(self, entry: attempts.Entry) -> int:
        return attempts.begin(self._connection, entry, self._report.run_id)

    def _store_carefully(self, record: Received, claims: Mapping[Partition, Claim]) -> None:
        claim = claims[record.partition]
        lane = claim.lanes.lane_of(record.offset)
        starts = self._begin(attempts.Entry(record.partition, claim, lane))
        if starts > attempts.STARTS_MAX:
            detail = f"the last {starts - 1} starts of a collector ended at this record"
            self._transact([record], [Rejected(record, "kills_the_collector", detail)], claims)
        else:
            self._store_halving([record], claims)

    def _store_halving(
        self, records: Sequence[Received], claims: Mapping[Partition, Claim]
    ) -> None:
        judged = self._store.judge(records)
        try:
            self._transact(records, judged, claims)
        except RefusedDataError as error:
            self._store.forget_what_was_refused()
            if len(records) == 1:
                header = judged[0].header
                refused = Rejected(records[0], "refused_by_database", str(error), header)
                self._transact(records, [refused], claims)
                return
            middle = len(records) // 2
            self._store_halving(records[:middle], claims)
            self._store_halving(records[middle:], claims)

    def _transact(
        self,
        records: Sequence[Received],
        judged: Sequence[Opened | Rejected],
        claims: Mapping[Partition, Claim],
    ) -> None:
        started_s = self._clock.monotonic_s()
        fresh = _fresh(records, claims)
        batch = self._store.commit(records, judged, claims)
        for entry in fresh:
            entry.claim.fresh.discard(entry.lane)
        self._count(batch, self._clock.monotonic_s() - started_s)

    def _count(self, batch: Batch, seconds: float) -> None:
        self._report.count(batch, seconds)
        self._refusals.note(batch.rejected, self._clock.monotonic_s())


def _fresh(records: Sequence[Received], claims: Mapping[Partition, Claim]) -> list[attempts.Entry]:
    """Return the lanes among these records from which nothing was stored under their claims."""
    found: dict[tuple[Partition, Lane], attempts.Entry] = {}
    for record in records:
        claim = claims[record.partition]
        if claim.fresh:
            lane = claim.lanes.lane_of(record.offset)
            if lane in claim.fresh:
                found[record.partition, lane] = attempts.Entry(record.partition, claim, lane)
    return list(found.values())
