"""The collector's loop: wait for what is missing, claim, gather, store; and again.

Owns when things happen; what was left behind has turns of its own, after what is live. Any failure
that may pass ends in the same way: what is in hand is thrown away, the database and the log say
where to go on, and the records are read once more.
"""

import contextlib
import logging
import os
import socket
from collections import Counter

from collector import claims, database, migrate
from collector.catch_up import CatchUp
from collector.claims import Claim
from collector.consumer import BrokenClientError, Consumer, OutOfLogError, Partition, Received
from collector.database import Connection
from collector.report import Report
from collector.settings import CollectorSettings
from collector.timer import Timer
from collector.upkeep import Upkeep
from collector.watch import ClientWatch
from collector.writer import Writer
from telemetry.clock import Clock
from telemetry.errors import RetryableError
from telemetry.stop import StopSignal

log = logging.getLogger(__name__)

IDLE_S = 0.25
BACK_OFF_FIRST_S = 0.25
BACK_OFF_MAX_S = 4.0
TELL_GROUP_EVERY_S = 5.0
MAKE_AHEAD_EVERY_S = 60.0


class Collector:
    """One collector of the group."""

    def __init__(self, settings: CollectorSettings, clock: Clock, stop: StopSignal) -> None:
        instance = settings.collector_instance or f"{socket.gethostname()}-{os.getpid()}"
        self.report = Report(instance, clock, settings.signatures)
        self._settings = settings
        self._clock = clock
        self._stop = stop
        self._connection: Connection | None = None
        self._writer: Writer | None = None
        self._consumer: Consumer | None = None
        self._upkeep = Upkeep(settings, clock)
        self._catch_up = CatchUp(settings, clock)
        self._watch = ClientWatch(settings, clock, self.report)
        self._claims: dict[Partition, Claim] = {}
        self._cut_short: set[Partition] = set()
        self._back_off_s = BACK_OFF_FIRST_S
        self._tell_group = Timer(TELL_GROUP_EVERY_S)
        self._make_ahead = Timer(MAKE_AHEAD_EVERY_S)

    def run(self) -> None:
        """Store until the stop signal; the batch in hand is finished first."""
        try:
            while not self._stop.is_set():
                try:
                    self._turn()
                except RetryableError as error:
                    self._wait(error)
        finally:
            self._close()

    def _turn(self) -> None:
        """Gather and store once, after making sure of everything that takes."""
        connection, writer = self._open_database()
        consumer = self._open_consumer()
        if (
            consumer.take_changes()
            or not self._claims
            or self._is_other_log(consumer)
            or self._catch_up.has_to_split(self._claims)
        ):
            self._claim(connection, consumer)
        self._maintain(connection, writer)
        records = self._gather(consumer)
        if records:
            writer.store(records, self._claims)
        self._notice_ends(consumer)
        stored = self._catch_up.turn(writer, self._claims, consumer.has_changed)
        self.report.backlog_stored += stored
        writer.note_identities()
        self._watch.look(consumer, self._claims, idle=not records)
        self._went_well(connection)

    def _gather(self, consumer: Consumer) -> list[Received]:
        """Collect records until they are enough, or old enough; none if the claims are in doubt."""
        records: list[Received] = []
        size = 0
        deadline_s = 0.0
        # With a backlog there is something to do meanwhile.
        idles = not self._catch_up.is_wanted(self._claims)
        while size < self._settings.batch_bytes_max:
            left_s = deadline_s - self._clock.monotonic_s() if records else IDLE_S
            # A stop must not wait long.
            found = consumer.poll(min(max(0.0, left_s), IDLE_S) if idles else 0.0)
            if consumer.has_changed():
                break
            self._watch.polled(len(found))
            if found and not records:
                deadline_s = self._clock.monotonic_s() + self._settings.commit_interval_ms / 1000
            records += found
            size += sum(len(record.value) for record in found)
            if not records or self._clock.monotonic_s() >= deadline_s or self._stop.is_set():
                break
            if not idles and not found:
                break
        if consumer.has_changed() or self._is_other_log(consumer):
            return []  # the next turn claims, and reads them again
        return records

    def _open_database(self) -> tuple[Connection, Writer]:
        if self._connection is None or self._writer is None:
            self._drop_connection()
            connection = database.connect(
                self._settings.database_url,
                "collector",
                self._settings.statement_timeout_s,
                is_replayed=True,
            )
            self._connection = connection
            missing = migrate.pending(connection)
            if missing:
                names = ", ".join(f"{step.number:04}" for step in missing)
                raise RetryableError(f"the schema: `fleetgauge migrate` has to apply {names}")
            tier = migrate.tier_of(connection)
            self._writer = Writer(connection, tier, self._settings, self._clock, self.report)
            self._upkeep.start(tier)
            self._make_ahead = Timer(MAKE_AHEAD_EVERY_S)
            log.info("storing in %s (%s)", database.address(self._settings.database_url), tier)
        return self._connection, self._writer

    def _open_consumer(self) -> Consumer:
        if self._consumer is None:
            self._consumer = Consumer(self._settings)
            log.info("reading from %s", self._settings.kafka_bootstrap)
        return self._consumer

    def _is_other_log(self, consumer: Consumer) -> bool:
        """Whether a topic was deleted and made again since it was claimed, or has lost its end."""
        ends = {partition: consumer.end_offset(partition) for partition in self._claims}
        self._cut_short |= {
            partition
            for partition, claim in self._claims.items()
            if (end := ends[partition]) is not None and end < claim.lanes.next_offset
        }
        return bool(self._cut_short) or any(
            consumer.topic_id(partition.topic) != claim.topic_id
            for partition, claim in self._claims.items()
        )

    def _claim(self, connection: Connection, consumer: Consumer) -> None:
        self._claims = {}
        self._catch_up.start_over()
        assert self._writer is not None  # noqa: S101 - opened together with the connection
        self._writer.forget_what_others_change()
        # While the group is asked anew, what was ours may be another's already.
        partitions = consumer.assigned() if consumer.is_joined() else []
        if not partitions:
            consumer.poll(IDLE_S)
            self._watch.look_why_unassigned(consumer)
            return
        self._watch.assigned()
        self._claims = claims.claim_all(
            connection,
            consumer,
            partitions,
            self._cut_short,
            self._settings.backlog_split_messages,
        )
        self._cut_short.clear()
        log.info("claimed %d partitions", len(self._claims))

    def _maintain(self, connection: Connection, writer: Writer) -> None:
        now_s, now_us = self._clock.monotonic_s(), self._clock.now_us()
        if self._make_ahead.is_due(now_s):
            writer.partitions.make_ahead(connection, now_us, self._settings.partitions_ahead_hours)

    def _notice_ends(self, consumer: Consumer) -> None:
        """Keep the ends of the logs and the lag up to date, and tell the group now and then."""
        lag, backlog = Counter[str](), Counter[str]()
        for partition, claim in self._claims.items():
            claim.end_offset = consumer.end_offset(partition) or claim.end_offset
            lag[partition.topic] += claim.behind
            backlog[partition.topic] += claim.lanes.left
        self.report.lag, self.report.backlog = dict(lag), dict(backlog)
        if self._claims and self._tell_group.is_due(self._clock.monotonic_s()):
            consumer.tell_group({p: claim.lanes.next_offset for p, claim in self._claims.items()})

    def _went_well(self, connection: Connection) -> None:
        self._back_off_s = BACK_OFF_FIRST_S
        if self.report.waiting_for is not None:
            log.info("no longer waiting")
            self.report.waiting_for = None
        self.report.write_if_due(connection)

    def _wait(self, error: RetryableError) -> None:
        """Throw away what is in hand, say why once, and wait a little longer each time."""
        if str(error) != self.report.waiting_for:
            log.warning("waiting: %s", error)
            self.report.waiting_for = str(error)
        self._claims = {}
        if isinstance(error, OutOfLogError):
            self._cut_short.update(error.partitions)
        if self._writer is not None:
            self._writer.forget()
        self._report_trouble()
        self._stay_member(broken=isinstance(error, BrokenClientError))
        self._stop.wait(self._back_off_s)
        self._back_off_s = min(2 * self._back_off_s, BACK_OFF_MAX_S)

    def _report_trouble(self) -> None:
        """Write the report if the database is there; if not, drop the connection."""
        if self._connection is None or self._writer is None:
            self._drop_connection()
            return
        try:
            self.report.write_now(self._connection)
        except RetryableError:
            self._drop_connection()

    def _stay_member(self, *, broken: bool) -> None:
        """Keep the group's patience during a wait; a client in trouble is replaced."""
        if self._consumer is None:
            return
        try:
            if not broken:
                self._consumer.idle()
                return
        except RetryableError as error:
            log.info("joining the group anew: %s", error)
        self._drop_consumer()

    def _drop_connection(self) -> None:
        connection, self._connection, self._writer = self._connection, None, None
        if connection is not None:
            connection.close()

    def _drop_consumer(self) -> None:
        self._catch_up.close()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _close(self) -> None:
        self._upkeep.stop()
        self._drop_consumer()
        if self._connection is not None and self._writer is not None:
            with contextlib.suppress(RetryableError):
                self.report.leave(self._connection)
        self._drop_connection()
