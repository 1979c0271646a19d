"""Keeps the picture of the fleet up to date: asks the database for what changed since last time.

Owns the marks of what was already read and how often each part is asked. A mark is a horizon: a
transaction before which all had ended when it was taken. Whatever became visible later is younger,
however long its transaction took. The picture itself is in `picture.py`, the statements in
`sql/queries/dashboard_picture.sql`.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from dashboard.inventory import Found
from dashboard.picture import READINGS, Picture
from dashboard.ticks import Ticks
from telemetry.clock import Clock
from telemetry.errors import RetryableError

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
        self._due_s = {"facilities": 0.0, "inventory": 0.0}
        self._horizon = 0
        self._snapshot: str | None = None
        self._inventory_since: str | None = None
        self._readings_since: str | None = None
        # Read before their places were; they are asked for again until they have one.
        self._unknown_hosts: set[int] = set()

    async def refresh(self) -> None:
        """Bring the picture up to now.

        Raises:
            RetryableError: the database is away; what was read before stays as it was.
        """
        now_s = self._clock.now_us() / 1e6
        if self._is_due("facilities", FACILITIES_EVERY_S):
            self.picture.set_facilities(await self._source.rows("picture", "facilities"))
        horizon = str(await self._look_at_horizon())
        if self._is_due("inventory", INVENTORY_EVERY_S):
            await self._read_inventory(horizon)
        await self._read_readings(horizon)
        self.picture.queues = await self._source.rows("picture", "queues")
        self.as_of_s = now_s

    async def has_changed(self) -> bool:
        """Tell whether anything was committed since the last look; also if that is not known."""
        try:
            seen = (await self._source.rows("picture", "horizon"))[0]
        except RetryableError:
            return True
        return bool(seen.snapshot != self._snapshot)

    async def _look_at_horizon(self) -> int:
        """Return the horizon; one that moves back is another database, or the same one restored."""
        seen = (await self._source.rows("picture", "horizon"))[0]
        horizon, self._snapshot = int(seen.horizon), seen.snapshot
        if horizon < self._horizon:
            self._inventory_since = self._readings_since = None
            self._due_s["inventory"] = 0.0
        self._horizon = horizon
        return horizon

    async def _read_inventory(self, horizon: str) -> None:
        since = {"since": self._inventory_since}
        hosts = await self._source.rows("picture", "hosts", since)
        accelerators = await self._source.rows("picture", "accelerators", since)
        self.picture.set_inventory(hosts, Found.of(accelerators[0]))
        self._inventory_since = horizon

    async def _read_readings(self, horizon: str) -> None:
        asked = {"since": self._readings_since, "host_ids": sorted(self._unknown_hosts)}
        rows = await self._source.rows("picture", "readings", asked)
        self._unknown_hosts = set()
        for row in rows:
            self._unknown_hosts |= self.picture.set_readings(Ticks.of(row, READINGS))
        if self._unknown_hosts:
            self._due_s["inventory"] = 0.0
        self._readings_since = horizon

    def _is_due(self, what: str, every_s: float) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s < self._due_s[what]:
            return False
        self._due_s[what] = now_s + every_s
        return True
