"""Keeps the picture of the fleet up to date: asks the database for what changed since last time.

Owns the marks of what was already read and how often each part is asked. The picture itself is in
`picture.py`, the statements in `sql/queries/dashboard_picture.sql`.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from dashboard.picture import Picture
from telemetry.clock import Clock

# A row becomes visible when its transaction ends; commits take less than this.
READINGS_OVERLAP_S = 3.0
# Should one have taken longer, this is how long it stays unseen.
READINGS_WHOLE_EVERY_S = 120.0
INVENTORY_EVERY_S = 3.0
FACILITIES_EVERY_S = 5.0


class Source(Protocol):
    """Whoever runs the named queries."""

    async def rows(
        self, file: str, name: str, parameters: Mapping[str, Any] | None = None
    ) -> list[Any]:
        """Run one and return its rows."""


class Watch:
    """The picture, and the marks that say from where to read on."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self.picture = Picture()
        self.as_of_s: float | None = None
        self._source = source
        self._clock = clock
        self._due_s = {"facilities": 0.0, "inventory": 0.0, "whole": 0.0}
        self._host_id = 0
        self._gpu_id = 0
        self._inventory_s = 0.0
        self._received_s = 0.0
        self._unknown_hosts: set[int] = set()

    async def refresh(self) -> None:
        """Bring the picture up to now.

        Raises:
            RetryableError: the database is away; what was read before stays as it was.
        """
        now_s = self._clock.now_us() / 1e6
        if self._is_due("facilities", FACILITIES_EVERY_S):
            self.picture.set_facilities(await self._source.rows("picture", "facilities"))
        if self._unknown_hosts or self._is_due("inventory", INVENTORY_EVERY_S):
            await self._read_inventory()
        if self._is_due("whole", READINGS_WHOLE_EVERY_S):
            self._received_s = 0.0
        await self._read_readings()
        self.picture.queues = await self._source.rows("picture", "queues")
        self.as_of_s = now_s

    async def _read_inventory(self) -> None:
        marks = {"host_id": self._host_id, "inventory_s": self._inventory_s}
        hosts = await self._source.rows("picture", "hosts", marks)
        host_ids = self._unknown_hosts | {row.host_id for row in hosts}
        asked = {"gpu_id": self._gpu_id, "host_ids": sorted(host_ids)}
        accelerators = await self._source.rows("picture", "accelerators", asked)
        before = self.picture.layout_version
        self.picture.set_inventory(hosts, accelerators)
        if self.picture.layout_version != before:
            self._received_s = 0.0  # readings of new seats may have been read past
        self._host_id = max([self._host_id, *(row.host_id for row in hosts)])
        self._gpu_id = max([self._gpu_id, *(row.gpu_id for row in accelerators)])
        times = [row.inventory_s for row in hosts if row.inventory_s is not None]
        self._inventory_s = max([self._inventory_s, *times])
        self._unknown_hosts = set()

    async def _read_readings(self) -> None:
        since_s = max(0.0, self._received_s - READINGS_OVERLAP_S)
        rows = await self._source.rows("picture", "readings", {"received_s": since_s})
        self._unknown_hosts = self.picture.set_readings(rows)
        self._received_s = max([self._received_s, *(row.received_s for row in rows)])

    def _is_due(self, what: str, every_s: float) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s < self._due_s[what]:
            return False
        self._due_s[what] = now_s + every_s
        return True
