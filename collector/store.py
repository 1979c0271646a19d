"""The way of a batch, from records to one committed transaction: the hot path, from top to bottom.

Owns the order of the steps, and what is remembered from batch to batch. What a step does is in the
file whose name it has. A batch is offsets, marks, rows, state and sums together, or nothing.
"""

import json
import logging
from collections.abc import Mapping, Sequence

import sql
from collector import books, compaction, merges, quarantine, record_rows
from collector.batch import Batch, assemble, epochs_of
from collector.claims import Claim
from collector.columnstore import Columnstore
from collector.consumer import Partition, Received
from collector.copy_samples import copy_samples
from collector.database import Connection, translated
from collector.identity import IdentityCheck
from collector.intake import Opened, Rejected, Window, Windows, open_record
from collector.maintenance import Partitions
from collector.marks import MarkBook
from collector.registry import Registry
from collector.settings import CollectorSettings
from collector.state_changes import StateBook
from collector.tier import Tier, compresses_copies
from telemetry.clock import Clock

log = logging.getLogger(__name__)

_ROWS = sql.queries("collector_rows")


class Store:
    """Stores batches over one connection.

    Attributes:
        partitions: the tables' partitions in time.
        identity: what is known of senders' keys.
    """

    def __init__(
        self, connection: Connection, tier: Tier, settings: CollectorSettings, clock: Clock
    ) -> None:
        self.partitions = Partitions(tier)
        self.identity = IdentityCheck.make(settings.signatures, connection, clock)
        self._connection = connection
        self._settings = settings
        self._clock = clock
        self._registry = Registry()
        self._marks = MarkBook()
        self._states = StateBook()
        books.prepare(connection)
        merges.prepare(connection)
        compaction.make_room(connection, tier, settings.partitions_ahead_hours)
        with translated("asking what the tier offers"):
            compresses = tier is Tier.TIMESCALE and compresses_copies(connection)
        self._columnstore = Columnstore(connection) if compresses else None

    def judge(self, records: Sequence[Received]) -> Sequence[Opened | Rejected]:
        """Open records, and look at who has signed them."""
        windows = self._windows()
        return self.identity.judge([open_record(record, windows) for record in records])

    def commit(
        self,
        records: Sequence[Received],
        judged: Sequence[Opened | Rejected],
        claims: Mapping[Partition, Claim],
    ) -> Batch:
        """Store records in one transaction, and move their claims; return what came of them.

        Args:
            records: in the order of their partitions.
            judged: what has become of each.
            claims: of their partitions.

        Raises:
            FencedError: a partition is no longer ours; nothing was stored.
            StaleMarksError: marks have to be read again; nothing was stored.
            RetryableError: the database is away. The batch may be stored all the same, which the
                next claim of its partitions shows.
            RefusedDataError: something in it will not do; nothing was stored.
        """
        if self._registry.is_full():
            log.warning("more hosts than one collector keeps books of: run more collectors")
            self.forget()
        senders = self._registry.learn(self._connection, judged)
        books.read_marks(self._connection, self._marks, epochs_of(judged, senders))
        batch = assemble(judged, senders, self._registry, self._marks, self._windows())
        self.partitions.cover(self._connection, batch.samples)
        moves = books.moves_of(records, claims)
        self._write(batch, moves)
        self._marks.committed()
        self._states.committed()
        for move in moves:
            move.claim.lanes = move.lanes
        return batch

    def _write(self, batch: Batch, moves: Sequence[books.Move]) -> None:
        """Write a batch.

        The fence comes first, so that a collector that lost a partition is turned away before it
        has written anything; sums come last, because collectors of one facility meet in the same
        rows and should hold them as briefly as can be.
        """
        connection = self._connection
        with translated("storing a batch"), connection.transaction():
            books.move_offsets(connection, moves)
            books.write_marks(connection, self._marks.changed(), batch.sent)
            copy_samples(connection, batch.samples, self._columnstore)
            record_rows.write(connection, batch)
            quarantine.write(
                connection, batch.rejected, {move.partition: move.claim.topic_id for move in moves}
            )
            self._states.write(connection, batch.samples, batch.events)
            merges.merge_state(connection, batch.samples)
            merges.merge_rollups(connection, batch.samples)
            connection.execute(_ROWS["tell"], {"payload": _payload(batch)})

    def forget(self) -> None:
        """After any failure: what was in hand is not stored, or nobody knows."""
        self.forget_what_others_change()
        self._registry.forget()
        if self._columnstore is not None:
            self._columnstore.forget()

    def forget_what_others_change(self) -> None:
        """After a claim: another collector may have stored for the same hosts until now."""
        self.forget_what_was_refused()
        self._registry.forget_places()

    def forget_what_was_refused(self) -> None:
        """After a batch that the database refused: nothing of it is stored."""
        self._marks.forget()
        self._states.forget()

    def _windows(self) -> Windows:
        now_us, chosen = self._clock.now_us(), self._settings
        return Windows(
            Window.around(now_us, chosen.samples_age_max_days, chosen.future_max_s),
            Window.around(now_us, chosen.events_age_max_days, chosen.future_max_s),
        )


def _payload(batch: Batch) -> str:
    return json.dumps(
        {
            "samples": batch.sample_rows,
            "events": len(batch.events),
            "queues": len(batch.snapshots),
            "quarantined": len(batch.rejected),
        }
    )
