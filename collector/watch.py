"""Whether the collectors' Kafka client does its work: it knows the topics, joins and fetches.

kafka-python has stood still for ever in each of these. Owns the patience with it; what to do with a
client that is not worth any more of it is `run.py`'s.
"""

import contextlib
import logging
from collections.abc import Mapping

from collector.claims import Claim
from collector.consumer import RECORDS_PER_POLL, BrokenClientError, Consumer, Partition
from collector.report import Report
from collector.settings import CollectorSettings
from collector.stalls import Stalls
from collector.timer import Timer
from telemetry.clock import Clock
from telemetry.errors import RetryableError

log = logging.getLogger(__name__)

# How often the positions are looked at; while nothing comes, the broker is asked for its bounds
# each time: is it still there?
LOOK_EVERY_S = 5.0
# While records come, it is asked seldom: others wait for its answer.
ASK_EVERY_S = 30.0
# A client that has just been made does not know the topics yet; one that has not learnt of them, or
# not joined the group, in this much longer time is replaced, in case it is the one at fault.
TOPICS_GRACE_S = 3.0
CLIENT_PATIENCE_S = 30.0


class ClientWatch:
    """Looks at the client of a collector."""

    def __init__(self, settings: CollectorSettings, clock: Clock, report: Report) -> None:
        self._group = settings.collector_group
        self._clock = clock
        self._report = report
        self._unassigned_since_s: float | None = None
        self._stalls = Stalls()
        self._look = Timer(LOOK_EVERY_S)
        self._ask = Timer(ASK_EVERY_S)

    def assigned(self) -> None:
        """Note that there are partitions, and the client is sent to where they go on."""
        self._unassigned_since_s = None
        self._stalls.start_over()

    def polled(self, records: int) -> None:
        """Note how many records a poll of the claimed partitions has returned."""
        self._stalls.polled(is_dry=records < RECORDS_PER_POLL)

    def look_why_unassigned(self, consumer: Consumer) -> None:
        """With nothing assigned, find out whether that is because there is nothing to assign.

        Raises:
            RetryableError: topics are missing.
            BrokenClientError: they are for long, or the group has not answered for long.
        """
        now_s = self._clock.monotonic_s()
        if self._unassigned_since_s is None:
            self._unassigned_since_s = now_s
        missing = consumer.missing_topics()
        if not missing and consumer.is_joined():
            self._unassigned_since_s = None  # a spare collector
            return
        waited_s = now_s - self._unassigned_since_s
        sentence = f"the answer to joining group {self._group}"
        if missing:
            sentence = f"topics {', '.join(missing)}: `fleetgauge migrate` makes them"
        if waited_s > CLIENT_PATIENCE_S:
            self._unassigned_since_s = None
            raise BrokenClientError(sentence)
        if missing and waited_s >= TOPICS_GRACE_S:
            raise RetryableError(sentence)

    def look(self, consumer: Consumer, claims: Mapping[Partition, Claim], *, idle: bool) -> None:
        """Now and then make sure that where nothing comes there is nothing.

        Args:
            consumer: the client.
            claims: what it has to fetch.
            idle: nothing at all has come this turn.

        Raises:
            RetryableError: nothing comes, and the broker does not answer either.
            BrokenClientError: the broker has records that the client does not fetch.
        """
        now_s = self._clock.monotonic_s()
        if not self._look.is_due(now_s):
            return
        if idle:
            self._stalls.learn(_ends(consumer, claims))
        elif self._ask.is_due(now_s):
            # What comes shows that there is a broker; that of another partition may be away.
            with contextlib.suppress(RetryableError):
                self._stalls.learn(_ends(consumer, claims))
        stalls = self._stalls.look(consumer.positions(claims))
        if stalls:
            self._report.fetch_stalls += 1
            first = stalls[0]
            others = f", like {len(stalls) - 1} more" if stalls[1:] else ""
            raise BrokenClientError(
                f"{first.partition.topic} partition {first.partition.number}{others}: the client "
                f"stands still at offset {first.position}, and the log goes on to {first.end}"
            )


def _ends(consumer: Consumer, claims: Mapping[Partition, Claim]) -> dict[Partition, int]:
    return {partition: held.end for partition, held in consumer.bounds(claims).items()}
