"""Which partitions the Kafka client has to fetch and does not: the decision, pure.

Looks are counted, not seconds: a collector that stores for a minute fetches nothing meanwhile, and
one that has stood still as a whole knows nothing of the time between.
"""

from collections.abc import Mapping
from typing import NamedTuple

from collector.consumer import Partition

# Looks in a row at a position that does not move before it counts as a stall.
LOOKS = 7
# A log that its broker cannot read stalls every client, and a client that is replaced makes the
# whole group share out anew: after each stall at one offset twice as many looks, up to this.
LOOKS_MAX = 16 * LOOKS


class Stall(NamedTuple):
    """A partition of which nothing comes, though its log goes on from `position` to `end`."""

    partition: Partition
    position: int
    end: int


class _Stand(NamedTuple):
    """Where a partition was at the last look, and how many looks it has not moved."""

    position: int
    looks: int


class Stalls:
    """Watches the positions of one collector's partitions."""

    def __init__(self) -> None:
        self._ends: dict[Partition, int] = {}
        self._stands: dict[Partition, _Stand] = {}
        # Where each partition has stalled last, and how many looks it is given there next time.
        self._patience: dict[Partition, _Stand] = {}
        self._has_run_dry = False

    def start_over(self) -> None:
        """Forget the positions: they are set anew. How often each has stalled stays known."""
        self._ends.clear()
        self._stands.clear()
        self._has_run_dry = False

    def polled(self, *, is_dry: bool) -> None:
        """Note a poll.

        Args:
            is_dry: it has returned less than it might have, so that the client has no more in hand.
                Until then records of a partition may just wait behind those of others.
        """
        self._has_run_dry |= is_dry

    def learn(self, ends: Mapping[Partition, int]) -> None:
        """Note the next offsets of the logs, as the broker has said."""
        self._ends.update(ends)

    def look(self, positions: Mapping[Partition, int]) -> list[Stall]:
        """Return which partitions have stalled; they are then watched from anew.

        Args:
            positions: the next offset to fetch of each partition that the client has to fetch.
        """
        more = int(self._has_run_dry)
        self._has_run_dry = False
        stands, stalls = {}, []
        for partition, position in positions.items():
            end = self._ends.get(partition, position)
            before = self._stands.get(partition)
            looks = 0
            if before is not None and before.position == position and position < end:
                looks = before.looks + more
            if looks >= self._looks_at(partition, position):
                stalls.append(Stall(partition, position, end))
                self._patience[partition] = _Stand(position, min(2 * looks, LOOKS_MAX))
                looks = 0
            stands[partition] = _Stand(position, looks)
        self._stands = stands
        return sorted(stalls)

    def _looks_at(self, partition: Partition, position: int) -> int:
        known = self._patience.get(partition)
        return LOOKS if known is None or known.position != position else known.looks
