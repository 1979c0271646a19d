"""The second reader: what the live lane has left behind, oldest first.

Owns a Kafka client of its own, which is no member of the group: it is told which partitions to
read and from where. It is there only while there is a backlog.
"""

from collections.abc import Mapping

from kafka import TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError

from collector.claims import Claim
from collector.consumer import Partition, Received, reading_options, received_of
from collector.kafka_clients import TidyConsumer
from collector.lanes import Lane, Span
from collector.settings import CollectorSettings
from telemetry.errors import RetryableError
from telemetry.streams import Stream

CLOSE_TIMEOUT_MS = 3000


class BacklogReader:
    """Reads the backlogs of claims, span by span."""

    def __init__(self, settings: CollectorSettings) -> None:
        """Reach the broker.

        Raises:
            RetryableError: the broker is away.
        """
        self._where = f"the broker at {settings.kafka_bootstrap}"
        self._streams = {settings.topic(stream): stream for stream in Stream}
        self._spans: dict[Partition, Span] = {}
        try:
            self._client = TidyConsumer(
                **reading_options(settings), client_id="fleetgauge-collector-backlog", group_id=None
            )
        except (KafkaError, OSError) as error:
            raise RetryableError(f"{self._where}, for the backlog: {error}") from error

    def poll(self, claims: Mapping[Partition, Claim], timeout_s: float) -> list[Received]:
        """Return the next records of the backlogs, a few at a time, in the order of each.

        Raises:
            RetryableError: claim again; the client may be of no more use.
        """
        self._follow(claims)
        try:
            found = self._client.poll(timeout_ms=int(timeout_s * 1000))
        except OffsetOutOfRangeError as error:
            raise RetryableError(f"{self._where} has deleted some of the backlog") from error
        except KafkaError as error:
            raise RetryableError(f"{self._where}, for the backlog: {error}") from error
        for tp, records in found.items():
            if records[-1].offset + 1 >= self._spans[Partition(*tp)].end:
                self._client.pause(tp)  # what follows is stored, or the live lane's
        return [
            record
            for record in received_of(found, self._streams)
            if record.offset < self._spans[record.partition].end
        ]

    def ended(self) -> dict[Partition, int]:
        """Return the last offset of each span of which the log holds no further record.

        Asked when all that was returned is stored and nothing more comes.
        """
        return {
            partition: span.end - 1
            for partition, span in self._spans.items()
            if (self._client.known_position(TopicPartition(*partition)) or 0) >= span.end
        }

    def start_over(self) -> None:
        """Read again from where the claims stand: what was returned may not be stored."""
        self._spans.clear()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_MS)

    def _follow(self, claims: Mapping[Partition, Claim]) -> None:
        """Turn to the spans that are first in the claims now."""
        wanted = {
            partition: claim.lanes.backlog[0]
            for partition, claim in claims.items()
            if claim.lanes.backlog
        }
        if wanted.keys() != self._spans.keys():
            self._client.assign([TopicPartition(*partition) for partition in wanted])
        for partition, span in wanted.items():
            known = self._spans.get(partition)
            if known is None or known.end != span.end:
                tp = TopicPartition(*partition)
                self._client.seek(tp, claims[partition].lanes.start_of(Lane.BACKLOG))
                self._client.resume(tp)
        self._spans = wanted
