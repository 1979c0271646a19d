"""A fleet of any size straight into the tables, for benches of what reads them.

Owns its shape: facilities of equal size, racks of so many hosts, eight accelerators a host. The
rows are made inside the database by the named blocks of `sql/queries/bench.sql`, with values of a
plausible size and noise; no program of the pipe is involved.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from psycopg.rows import TupleRow

from collector import derived
from sql import queries

GPUS_PER_HOST = 8

Connection = psycopg.Connection[TupleRow]


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a fleet is, and how it is divided."""

    gpus: int
    facilities: int = 5
    hosts_per_rack: int = 8

    @property
    def racks_each(self) -> int:
        """Racks of one facility."""
        return max(1, self.gpus // (self.facilities * self.hosts_per_rack * GPUS_PER_HOST))

    @property
    def gpus_made(self) -> int:
        """Accelerators that the divisions come to."""
        return self.facilities * self.racks_each * self.hosts_per_rack * GPUS_PER_HOST


class FleetRows:
    """The rows of one fleet in one database."""

    def __init__(self, connection: Connection, shape: Shape, *, part: int = 0) -> None:
        self._connection = connection
        self.shape = shape
        self._part = part

    def make_places(self) -> None:
        """Make facilities, racks, hosts, accelerators, and a first reading of each."""
        sizes = {
            "gpus": self.shape.gpus_made,
            "facilities": self.shape.facilities,
            "racks_each": self.shape.racks_each,
            "hosts_each": self.shape.hosts_per_rack,
        }
        for name in ("facilities", "racks", "hosts", "accelerators", "agents", "states"):
            self._run(f"make_{name}", sizes)
        self._analyze()

    def make_rollups(self, start: datetime, end: datetime) -> None:
        """Make the sums of facilities and racks from `start` to `end`; those there are stay."""
        span = {"start": start, "end": end, "hosts_each": self.shape.hosts_per_rack}
        self._run("make_facility_rollup", span)
        self._run("make_rack_rollup", span)
        self._run("touch_rollups", span)
        derived.make_due(self._connection, round(end.timestamp() * 1e6))
        self._analyze()

    def make_gpu_rollups(self, start: datetime, end: datetime, gpus: int) -> None:
        """Make the sums of some accelerators by minute; their partitions must be there."""
        self._run("make_gpu_rollup", {"start": start, "end": end, "raw_gpus": gpus})

    def make_facility_rollups(self, start: datetime, end: datetime) -> None:
        """Make the sums of facilities alone: what the Fleet page draws."""
        self._run("make_facility_rollup", {"start": start, "end": end})

    def make_events(self, start: datetime, end: datetime, events: int) -> None:
        """Make so many Xids in a span."""
        self._run("make_events", {"start": start, "end": end, "events": events})

    def make_samples(self, start: datetime, end: datetime, raw_gpus: int) -> None:
        """Make raw readings of some accelerators; their partitions must be there."""
        self._run("make_samples", {"start": start, "end": end, "raw_gpus": raw_gpus})
        self._analyze()

    def move(self, parts: int = 10) -> None:
        """Bring new readings of one part of the hosts; so many calls bring everybody's."""
        self._run("move_states", {"parts": parts, "part": self._part % parts})
        self._part += 1

    def one(self, name: LiteralString, parameters: Mapping[str, Any]) -> Any:
        """Return the only value of a named query."""
        row = self._connection.execute(queries("bench")[name], parameters).fetchone()
        return None if row is None else row[0]

    def _run(self, name: str, parameters: Mapping[str, Any]) -> None:
        self._connection.execute(queries("bench")[name], parameters)

    def _analyze(self) -> None:
        self._connection.execute("analyze")
