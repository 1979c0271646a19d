"""From records to a committed transaction, whatever is wrong with one of them.

Owns what is remembered between batches (ids, marks, partitions) and the ways around a bad record:
one that the database refuses is found by halving, one that kills the process by the ledger of
starts. Which records, and when, is `run.py`'s.
"""

import logging
from collections.abc import Mapping, Sequence

from collector import attempts, compaction, store
from collector.batch import Batch, assemble
from collector.claims import Claim
from collector.columnstore import Columnstore
from collector.consumer import Partition, Received
from collector.database import Connection, RefusedDataError, translated
from collector.identity import IdentityCheck
from collector.intake import Opened, Rejected, Window, Windows, open_record
from collector.lanes import Lane, Lanes
from collector.maintenance import Partitions
from collector.marks import MarkBook
from collector.registry import Registry
from collector.report import Report
from collector.settings import CollectorSettings
from collector.state_changes import StateBook
from collector.tier import Tier, compresses_copies
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
        self.partitions = Partitions(tier)
        self._connection = connection
        self._settings = settings
        self._clock = clock
        self._report = report
        self._registry = Registry()
        self._marks = MarkBook()
        self._states = StateBook()
        self._identity = IdentityCheck.make(settings.signatures, connection, clock)
        store.prepare(connection)
        compaction.make_room(connection, tier, settings.partitions_ahead_hours)
        with translated("asking what the tier offers"):
            compresses = tier is Tier.TIMESCALE and compresses_copies(connection)
        self._columnstore = Columnstore(connection) if compresses else None

    def forget(self) -> None:
        """After any failure: what was in hand is not stored, or nobody knows."""
        self.forget_what_others_change()
        self._registry.forget()
        if self._columnstore is not None:
            self._columnstore.forget()

    def forget_what_others_change(self) -> None:
        """After a claim: another collector may have stored for the same hosts until now."""
        self._marks.forget()
        self._states.forget()
        self._registry.forget_places()

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
        self._identity.note(self._connection)

    def pass_over(self, partition: Partition, claim: Claim, offset: int) -> None:
        """Move a lane up to and with an offset at which its log holds no record.

        Raises:
            RetryableError: claim again.
        """
        move = store.Move(partition, claim, claim.lanes.stored(offset))
        store.pass_over(self._connection, [move])
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
        windows = self._windows()
        judged = self._identity.judge([open_record(record, windows) for record in records])
        try:
            self._transact(records, judged, claims)
        except RefusedDataError as error:
            self._marks.forget()
            self._states.forget()
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
        senders = self._registry.learn(self._connection, judged)
        host_ids = {host.host_id for host in senders if host is not None}
        store.read_marks(self._connection, self._marks, host_ids)
        batch = assemble(judged, senders, self._registry, self._marks, self._windows())
        self.partitions.cover(self._connection, batch.samples)
        moves = _moves(records, claims)
        store.write(self._connection, batch, moves, self._marks, self._states, self._columnstore)
        self._marks.committed()
        self._states.committed()
        for entry in _fresh(records, claims):
            entry.claim.fresh.discard(entry.lane)
        for move in moves:
            move.claim.lanes = move.lanes
        self._count(batch, self._clock.monotonic_s() - started_s)

    def _windows(self) -> Windows:
        now_us, chosen = self._clock.now_us(), self._settings
        return Windows(
            Window.around(now_us, chosen.samples_age_max_days, chosen.future_max_s),
            Window.around(now_us, chosen.events_age_max_days, chosen.future_max_s),
        )

    def _count(self, batch: Batch, seconds: float) -> None:
        self._report.count(batch, seconds)
        if batch.rejected:
            first = batch.rejected[0]
            log.warning(
                "quarantined %d messages, the first for %s: %s",
                len(batch.rejected),
                first.reason,
                first.detail,
            )


def _moves(records: Sequence[Received], claims: Mapping[Partition, Claim]) -> list[store.Move]:
    """Return where each partition stands after these records."""
    last = {(r.partition, claims[r.partition].lanes.lane_of(r.offset)): r.offset for r in records}
    lanes: dict[Partition, Lanes] = {}
    for (partition, _), offset in sorted(last.items()):
        lanes[partition] = lanes.get(partition, claims[partition].lanes).stored(offset)
    return [store.Move(partition, claims[partition], moved) for partition, moved in lanes.items()]


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
