"""The turns of the backlog: when the live lane leaves room, store some of what was left behind.

Owns the second reader's life, and when a live lane that has fallen behind is split anew.
"""

import logging
from collections.abc import Callable, Mapping

from collector.backlog import BacklogReader
from collector.claims import Claim
from collector.consumer import Partition, Received
from collector.settings import CollectorSettings
from collector.timer import Patience
from collector.writer import Writer
from telemetry.clock import Clock
from telemetry.errors import RetryableError

log = logging.getLogger(__name__)

# A live lane that is behind may still be catching up; one that is behind for so long is not.
BEHIND_S_MAX = 30.0
# The live lane waits for no more than this while the broker is asked for more of the backlog.
POLL_S = 0.05
GATHER_S_MAX = 1.0
# A reader that finds nothing for so long, where something is left, is replaced: it may be at fault.
SILENT_S_MAX = 30.0


class CatchUp:
    """What is left behind, of all claims of a collector."""

    def __init__(self, settings: CollectorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._reader: BacklogReader | None = None
        self._behind = Patience(BEHIND_S_MAX)
        self._silent = Patience(SILENT_S_MAX)

    def is_wanted(self, claims: Mapping[Partition, Claim]) -> bool:
        """Whether there is a backlog to store."""
        return any(claim.lanes.backlog for claim in claims.values())

    def has_to_split(self, claims: Mapping[Partition, Claim]) -> bool:
        """Whether a live lane has been behind for so long that it is claimed, and split, anew."""
        is_behind = self._is_live_behind(claims)
        return self._behind.has_ended(self._clock.monotonic_s(), is_so=is_behind)

    def turn(
        self,
        writer: Writer,
        claims: Mapping[Partition, Claim],
        is_in_doubt: Callable[[], bool],
    ) -> int:
        """Store a batch of the backlog, unless a live lane is behind; return its messages.

        Raises:
            RetryableError: claim again.
        """
        if not self.is_wanted(claims):
            self.close()
            return 0
        if self._is_live_behind(claims):
            return 0
        if self._reader is None:
            self._reader = BacklogReader(self._settings)
        try:
            records = self._gather(self._reader, claims)
            if is_in_doubt():
                return 0  # the next turn claims, and they are read again
            if not records:
                self._pass_over(self._reader, writer, claims)
            if self._silent.has_ended(self._clock.monotonic_s(), is_so=not records):
                log.warning("nothing of the backlog has come for %d s: a new reader", SILENT_S_MAX)
                self.close()
        except RetryableError:
            self.close()
            raise
        if records:
            writer.store(records, claims)
        return len(records)

    def start_over(self) -> None:
        """The claims are new: what was read and is not stored is read again."""
        if self._reader is not None:
            self._reader.start_over()

    def close(self) -> None:
        """Let go of the second reader."""
        reader, self._reader = self._reader, None
        self._silent = Patience(SILENT_S_MAX)
        if reader is not None:
            reader.close()

    def _is_live_behind(self, claims: Mapping[Partition, Claim]) -> bool:
        most = self._settings.backlog_split_messages
        return any(claim.behind > most for claim in claims.values())

    def _gather(self, reader: BacklogReader, claims: Mapping[Partition, Claim]) -> list[Received]:
        records: list[Received] = []
        size = 0
        deadline_s = self._clock.monotonic_s() + GATHER_S_MAX
        while size < self._settings.batch_bytes_max and self._clock.monotonic_s() < deadline_s:
            found = reader.poll(claims, 0.0 if records else POLL_S)
            if not found:
                break
            records += found
            size += sum(len(record.value) for record in found)
        return records

    @staticmethod
    def _pass_over(
        reader: BacklogReader, writer: Writer, claims: Mapping[Partition, Claim]
    ) -> None:
        """Leave spans whose last offsets hold no record: nothing will come of them."""
        for partition, offset in reader.ended().items():
            writer.pass_over(partition, claims[partition], offset)
