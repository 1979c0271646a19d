"""Fleets of no, of one and of 220,000 accelerators, and the believable one, to be looked at.

Each fills an empty database and keeps it moving, and says at which addresses its pages show
something. What Stage of `fix_dashboard_stage.py` puts a dashboard in front of.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg

from benchmarks.fleet_rows import FleetRows, Shape
from tests.fix_dashboard_data import Fleet, Site
from tests.fix_dashboard_detail import Detail
from tests.fix_gpu_parts import add_parts

PAGES = {
    "fleet": "/",
    "map": "/map",
    "facility": "/facility?facility={facility}",
    "hosts": "/host",
    "rack": "/host?facility={facility}&rack={rack}&signal=headroom",
    "host": "/host?facility={facility}&host={host}&range=15m",
    "gpu": "/host?facility={facility}&host={host}&gpu={gpu}&range=15m",
    "queues": "/queues",
    "health": "/health?range=6h",
    "alerts": "/alerts",
    "incident": "/alerts?incident=2",
    "pipeline": "/pipeline",
    "audit": "/audit",
    "wall": "/wall",
}


class Nobody:
    """A database with its schema, to which nobody has sent anything yet."""

    every_s = 60.0
    gpus = 0

    def __init__(self, url: str) -> None:
        self.url = url

    def fill(self, now_s: float) -> None:
        """Leave it empty."""

    def tick(self, now_s: float) -> None:
        """Leave it empty."""

    def pages(self) -> dict[str, str]:
        place = {"facility": "lab", "rack": "r1", "host": "h1", "gpu": "0"}
        return {name: path.format(**place) for name, path in PAGES.items()}


class One(Fleet):
    """The first minutes of a new installation: one host with one GPU, no contract, no queue."""

    every_s = 1.0
    gpus = 1

    def __init__(self, url: str) -> None:
        super().__init__(url, hours=0.1)
        self.sites = [Site("lab", "", "", "", "NVIDIA H100 80GB HBM3", 1, 1, 1, 0.8, 0)]

    def tick(self, now_s: float) -> None:
        site = self.sites[0]
        with psycopg.connect(self.url) as db:
            self._readings(db, site, now_s)
            self._rollup(db, site, np.array([now_s // 10 * 10]), replace=True)
            self._write_samples(db, np.array([now_s]))
            add_parts(db, now_s)
            db.execute("update agent_state set time = to_timestamp(%s)", (now_s,))

    def pages(self) -> dict[str, str]:
        place = {"facility": "lab", "rack": "A01-01", "host": "lab-000-00", "gpu": "0"}
        return {name: path.format(**place) for name, path in PAGES.items()}

    def _sampled(self) -> tuple[int, ...]:
        return (0,)

    def _events(self, db: psycopg.Connection[Any], now_s: float) -> None:
        db.execute(
            "insert into events (time, host_id, kind, message, boot_epoch, seq, position)"
            " values (to_timestamp(%s), %s, 'agent_start', '', 1, 1, 0)",
            (now_s - 360, self.sites[0].host_ids[0]),
        )

    def _pipeline(self, db: psycopg.Connection[Any], now_s: float) -> None:
        """Nothing has gone wrong yet."""

    def _alerts(self, db: psycopg.Connection[Any], now_s: float) -> None:
        """Nobody judges yet."""


class Everything:
    """Five facilities of 44,000 accelerators, a tenth of whose hosts reports in a turn."""

    every_s = 2.0
    gpus = Shape(220_000).gpus_made

    def __init__(self, url: str) -> None:
        self.url = url
        self._place: dict[str, Any] = {}

    def fill(self, now_s: float) -> None:
        now = datetime.fromtimestamp(now_s, UTC)
        with psycopg.connect(self.url, autocommit=True) as db:
            rows = FleetRows(db, Shape(220_000))
            rows.make_places()
            rows.make_facility_rollups(now - timedelta(hours=1), now)
            rows.make_rollups(now - timedelta(minutes=15), now)
            rows.make_events(now - timedelta(hours=6), now, 2000)
            found = db.execute(
                "select r.rack, h.host, f.facility, a.index from accelerators a"
                " join hosts h using (host_id) join racks r using (rack_id)"
                " join facilities f on f.facility_id = h.facility_id"
                " order by a.gpu_id limit 1"
            ).fetchone()
            assert found is not None
            self._place = dict(zip(("rack", "host", "facility", "gpu"), found, strict=True))
            for hour in (-1, 0, 1):
                start = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=hour)
                end = start + timedelta(hours=1)
                db.execute("select make_partition('samples', %s, %s)", (start, end))
            rows.make_samples(now - timedelta(minutes=15), now, 4)
        with psycopg.connect(self.url) as db:
            add_parts(db, now_s - 900)

    def tick(self, now_s: float) -> None:
        with psycopg.connect(self.url, autocommit=True) as db:
            FleetRows(db, Shape(220_000), part=round(now_s / self.every_s)).move()
            if now_s % 20 < self.every_s:
                db.execute("update agent_state set time = now()")

    def pages(self) -> dict[str, str]:
        return {name: path.format(**self._place) for name, path in PAGES.items()}


class Believable:
    """Five facilities with everything that goes wrong in one, and a month of history."""

    every_s = 2.0
    gpus = 5_000

    def __init__(self, url: str) -> None:
        self.url = url
        self._fleet = Fleet(url, hours=1.1)
        self._detail = Detail(self._fleet)

    def fill(self, now_s: float) -> None:
        self._fleet.fill(now_s)
        self._detail.fill(now_s)

    def tick(self, now_s: float) -> None:
        self._fleet.tick(time.time())
        self._detail.tick(time.time())

    def pages(self) -> dict[str, str]:
        place = {
            "facility": "memphis-1", "rack": "B03-02", "host": "memphis-1-003-07", "gpu": "3",
        }  # fmt: skip
        return {name: path.format(**place) for name, path in PAGES.items()}


Cast = Nobody | One | Everything | Believable
SIZES: dict[str, Callable[[str], Cast]] = {
    "none": Nobody,
    "one": One,
    "believable": Believable,
    "all": Everything,
}
