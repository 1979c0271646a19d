"""A believable fleet in the tables, for pages to be looked at: five facilities and a trace.

Writes what the collector and the alerts program would: places, newest readings, rollups, queues,
events, heartbeats, quarantine, incidents. `tick` keeps it moving. Values are seeded noise.

Run as `python -m tests.fix_dashboard_data POSTGRES_URL` it fills a database and keeps it moving.
"""

import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psycopg
import pytest

from collector.migrate import migrate
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from tests.fix_dashboard_troubles import Troubles, moment, one_value
from tests.fix_gpu_parts import add_parts

ROLLED = tuple(metric.name for metric in CATALOGUE.rollup())
STATE_COLUMNS = (
    *ROLLED,
    "clock_event_reasons_bitmask",
    "reader_status_code",
    "power_limit_milliwatts",
    "ecc_uncorrected_volatile_count",
    "remap_pending_flag",
    "remap_failed_flag",
    "recovery_action_code",
    "processes_count",
)


@dataclass
class Site:
    """One facility of the picture book, and how it behaves."""

    name: str
    title: str
    provider: str
    region: str
    model: str
    racks: int
    hosts_per_rack: int
    gpus_per_host: int
    load: float
    contracted: int
    halls: int = 1
    stale: bool = False
    queues: tuple[tuple[str, str, float], ...] = ()
    hot_rack: int | None = None
    facility_id: int = 0
    rack_ids: list[int] = field(default_factory=list)
    host_ids: list[int] = field(default_factory=list)
    gpu_ids: list[list[int]] = field(default_factory=list)


def sites() -> list[Site]:
    return [
        Site(
            "memphis-1", "Memphis 1", "leased", "US-TN", "NVIDIA H100 80GB HBM3", 48, 8, 8, 0.88,
            3200, halls=3, queues=(("slurm", "train-large", 420.0), ("slurm", "eval", 60.0)),
            hot_rack=17,
        ),
        Site(
            "texas-2", "Texas 2", "leased", "US-TX", "NVIDIA H200", 24, 6, 8, 0.52, 1280,
            halls=2, queues=(("kueue", "batch", 0.0),),
        ),
        Site(
            "south-central", "south-central ND", "cloud C", "US-TX", "NVIDIA H200", 6, 8, 8, 0.93,
            384, queues=(("vllm", "chat", 38.0), ("vllm", "embed", 4.0)),
        ),
        Site(
            "dublin-1", "Dublin 1", "own", "IE", "NVIDIA A100-SXM4-80GB", 8, 4, 8, 0.55, 256,
            stale=True, queues=(("slurm", "shared", 12.0),),
        ),
        Site("lab", "Lab", "own", "IE", "NVIDIA B200", 1, 1, 8, 0.3, 0),
        Site(
            "genai-trace", "", "", "", "", 0, 0, 0, 0.0, 0,
            queues=(("replay", "qps-service", 240.0), ("replay", "image-service", 35.0)),
        ),
    ]  # fmt: skip


class Fleet(Troubles):
    """Fills a database and keeps it moving."""

    def __init__(self, url: str, hours: float = 24.0, seed: int = 7) -> None:
        self.url = url
        self.sites = sites()
        self.hours = hours
        self.rng = np.random.default_rng(seed)
        self.seq = 0

    def fill(self, now_s: float) -> None:
        """Write everything, as if the fleet had run for `hours`."""
        with psycopg.connect(self.url) as connection:
            for site in self.sites:
                self._places(connection, site, now_s)
                self._queue_past(connection, site, now_s)
                if site.racks:
                    self._rollup_past(connection, site, now_s)
                    self._readings(connection, site, now_s - 260 if site.stale else now_s)
            self._samples(connection, now_s)
            self._events(connection, now_s)
            self._pipeline(connection, now_s)
            self._alerts(connection, now_s)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("analyze")

    def tick(self, now_s: float) -> None:
        """Move everything that is not stale to now."""
        with psycopg.connect(self.url) as connection:
            for site in self.sites:
                if site.racks and not site.stale:
                    self._readings(connection, site, now_s)
                    self._rollup(connection, site, np.array([now_s // 10 * 10]), replace=True)
                if not site.stale:
                    self._queue_now(connection, site, now_s)
            self._write_samples(connection, np.array([now_s]))
            add_parts(connection, now_s)
            connection.execute(
                "update alert_evaluators set reported_at = %(t)s, passed_at = %(t)s",
                {"t": moment(now_s)},
            )
            connection.execute(
                "update collectors set reported_at = %s, rows_stored = rows_stored + 5000",
                (moment(now_s),),
            )
            connection.execute(
                "update agent_state set time = %s where host_id not in (select"
                " host_id from hosts join facilities using (facility_id) where facility ="
                " 'dublin-1')",
                (moment(now_s),),
            )

    def _places(self, db: psycopg.Connection[Any], site: Site, now_s: float) -> None:
        site.facility_id = one_value(
            db,
            "insert into facilities (tenant, facility, display_name, provider, region,"
            " contracted_accelerators, contracted_power_watts, first_seen)"
            " values ('acme', %s, %s, %s, %s, %s, %s, %s) returning facility_id",
            (site.name, site.title or None, site.provider or None, site.region or None,
             site.contracted or None, site.contracted * 1200 or None,
             moment(now_s - self.hours * 3600)),
        )  # fmt: skip
        for rack in range(site.racks):
            hall = "ABCDEF"[rack * site.halls // site.racks]
            row = f"{rack // 8 + 1:02d}"
            rack_id = one_value(
                db,
                "insert into racks (facility_id, hall, row, rack) values (%s, %s, %s, %s)"
                " returning rack_id",
                (site.facility_id, hall, row, f"{hall}{row}-{rack % 8 + 1:02d}"),
            )
            site.rack_ids.append(rack_id)
            for slot in range(site.hosts_per_rack):
                self._host(db, site, rack_id, f"{site.name}-{rack:03d}-{slot:02d}", slot, now_s)

    def _host(
        self,
        db: psycopg.Connection[Any],
        site: Site,
        rack_id: int,
        name: str,
        slot: int,
        now: float,
    ) -> None:
        host_id = one_value(
            db,
            "insert into hosts (facility_id, rack_id, host, tray, driver_version, agent_version,"
            " kernel_version, inventory_time) values (%s, %s, %s, %s, '590.48.01', '0.1.0',"
            " '6.8.0-64', %s) returning host_id",
            (site.facility_id, rack_id, name, f"{slot + 1:02d}", moment(now - 600)),
        )
        site.host_ids.append(host_id)
        identity = [
            (host_id, uuid.UUID(bytes=self.rng.bytes(16)), n, site.model,
             str(1_650_000_000_000 + int(self.rng.integers(10**9))),
             f"0000:{0x18 + 0x11 * n:02X}:00.0")
            for n in range(site.gpus_per_host)
        ]  # fmt: skip
        rows = db.execute(
            "insert into accelerators (host_id, uuid, index, vendor, model, serial, pci_address,"
            " memory_total_mebibytes, power_limit_default_milliwatts,"
            " temperature_slowdown_celsius, inventory_time)"
            " select h, u, i, 'nvidia', m, s, p, 81559, 700000, 87, now() from"
            " unnest(%s::int[], %s::uuid[], %s::int[], %s::text[], %s::text[], %s::text[])"
            " as t(h, u, i, m, s, p) returning gpu_id",
            [list(column) for column in zip(*identity, strict=True)],
        ).fetchall()
        site.gpu_ids.append([row[0] for row in rows])
        db.execute(
            "insert into agent_state (host_id, time, boot_epoch, agent_version,"
            " sample_interval_ms, tick_duration_us, spool_messages, spool_bytes, spool_oldest,"
            " resident_bytes) values (%s, %s, 1, '0.1.0', 1000, 9800, %s, %s, %s, 41000000)",
            (host_id, moment(now - (260 if site.stale else 1)), 26 if site.stale else 1,
             83_000 if site.stale else 3_100, moment(now - 255) if site.stale else None),
        )  # fmt: skip

    def _values(self, site: Site, now_s: float) -> dict[str, np.ndarray[Any, Any]]:
        """One reading of a whole site: hosts x accelerators, as floats with NaN for missing."""
        shape = (len(site.host_ids), site.gpus_per_host)
        rng = self.rng
        jobs = np.sin(np.arange(shape[0]) // 4 * 12.9898) * 43758.5453 % 1
        busy = (jobs < site.load)[:, None] & (rng.random(shape) > 0.003)
        load = np.where(busy, np.clip(rng.normal(96, 4, shape), 0, 100), 0)
        power = np.where(busy, rng.normal(580, 45, shape), rng.normal(88, 6, shape))
        heat = 30 + power * 0.058 + rng.normal(0, 1.8, shape) + 2 * np.sin(now_s / 900)
        bits = np.where(power > 640, 4.0, 0.0)
        if site.hot_rack is not None:
            rows = slice(site.hot_rack * site.hosts_per_rack, (site.hot_rack + 1) * 8)
            heat[rows] += 17
            bits[rows] = np.where(heat[rows] > 84, 0x40, bits[rows])
        values = {
            "utilization_gpu_percent": load,
            "memory_used_mebibytes": np.where(busy, 71_000.0, 3.0),
            "temperature_gpu_celsius": heat,
            "temperature_memory_celsius": heat + 9,
            "temperature_margin_celsius": 87 - heat,
            "power_milliwatts": np.clip(power, 60, 700) * 1000,
            "clock_sm_megahertz": np.where(busy, 1755.0, 345.0),
            "clock_event_reasons_bitmask": bits,
            "sm_active_permille": load * rng.normal(6.9, 0.5, shape).clip(4, 9),
            "tensor_active_permille": load * rng.normal(4.1, 0.5, shape).clip(2, 6),
            "power_limit_milliwatts": np.full(shape, 700_000.0),
        }
        if "A100" in site.model:  # no margin, no GPM activity before Hopper
            for name in ("temperature_margin_celsius", "sm_active_permille"):
                values[name] = np.full(shape, np.nan)
            values["tensor_active_permille"] = np.full(shape, np.nan)
        return values | {name: np.zeros(shape) for name in STATE_COLUMNS if name not in values}

    def _readings(self, db: psycopg.Connection[Any], site: Site, now_s: float) -> None:
        values = self._values(site, now_s)
        if site.name == "memphis-1":
            for host, gpu in ((31, 3), (140, 0), (300, 6)):
                for name in values:
                    values[name][host, gpu] = np.nan
                values["reader_status_code"][host, gpu] = 2
            values["recovery_action_code"][77, 2] = 1
            values["remap_pending_flag"][200:202, 5] = 1
            values["ecc_uncorrected_volatile_count"][215, 1] = 2
        self.seq += 1
        columns = ", ".join(STATE_COLUMNS)
        with db.cursor() as cursor:
            cursor.execute(
                "create temp table if not exists fresh (like host_state including defaults)"
                " on commit drop"
            )
            cursor.execute("truncate fresh")
            with cursor.copy(
                f"copy fresh (host_id, time, slow_time, received_at, boot_epoch, seq, gpu_ids,"
                f" {columns}) from stdin"
            ) as copy:
                for n, host_id in enumerate(site.host_ids):
                    if site.name == "texas-2" and n in (40, 41):
                        continue  # known, never read
                    stamp = moment(now_s - (400 if site.name == "texas-2" and n == 90 else 0))
                    copy.write_row(
                        [host_id, stamp, stamp, moment(now_s), 1, self.seq, site.gpu_ids[n],
                         *(_integers(values[name][n]) for name in STATE_COLUMNS)]
                    )  # fmt: skip
            cursor.execute("delete from host_state where host_id in (select host_id from fresh)")
            cursor.execute("insert into host_state select * from fresh")

    def _rollup_past(self, db: psycopg.Connection[Any], site: Site, now_s: float) -> None:
        end_s = now_s - (260 if site.stale else 0)
        buckets = np.arange(end_s - self.hours * 3600, end_s, 10) // 10 * 10
        if site.name == "texas-2":  # a gap, to be drawn as one
            buckets = buckets[(buckets < now_s - 2400) | (buckets > now_s - 2000)]
        self._rollup(db, site, buckets)
        minutes = np.arange(end_s - min(self.hours, 6) * 3600, end_s, 60) // 60 * 60
        with db.cursor().copy(f"copy rack_rollup_1m ({_columns('rack_id')}) from stdin") as copy:
            for n, rack_id in enumerate(site.rack_ids):
                lift = 17 if n == site.hot_rack else float(self.rng.normal(0, 2))
                gpus = site.hosts_per_rack * site.gpus_per_host
                for bucket, row in zip(minutes, self._sums(site, minutes, gpus, lift), strict=True):
                    copy.write_row([moment(bucket), rack_id, gpus * 60, 0, *row])

    def _rollup(
        self,
        db: psycopg.Connection[Any],
        site: Site,
        buckets: "np.ndarray[Any, Any]",
        *,
        replace: bool = False,
    ) -> None:
        gpus = len(site.host_ids) * site.gpus_per_host
        if replace:
            db.execute(
                "delete from facility_rollup_10s where facility_id = %s and bucket = %s",
                (site.facility_id, moment(buckets[0])),
            )
        columns = _columns("facility_id")
        with db.cursor().copy(f"copy facility_rollup_10s ({columns}) from stdin") as copy:
            hot = 12 if site.hot_rack is not None else 0
            for bucket, row in zip(buckets, self._sums(site, buckets, gpus, hot), strict=True):
                throttled = int(gpus * 10 * (0.01 if hot and bucket % 3600 < 900 else 0))
                copy.write_row([moment(bucket), site.facility_id, gpus * 10, throttled, *row])

    def _sums(
        self, site: Site, buckets: "np.ndarray[Any, Any]", gpus: int, lift: float
    ) -> Iterator[list[int | None]]:
        count = gpus * 10
        hours = buckets / 3600
        wave = np.sin(hours * 2 * np.pi / 24) * 0.05 + np.sin(hours * 2.7) * 0.03
        load = 100 * np.clip(site.load + wave + self.rng.normal(0, 0.008, len(buckets)), 0, 1)
        load = np.where((hours % 7 > 3.0) & (hours % 7 < 3.25), load * 0.55, load)
        heat = 30 + (88 + load * 4.9) * 0.058 + lift / 4
        shape = {
            "utilization_gpu_percent": (load, 0 * load, 0 * load + 100),
            "memory_used_mebibytes": (load * 700, 0 * load, 0 * load + 72_000),
            "temperature_gpu_celsius": (heat, heat - 14, heat + 12 + lift * 0.7),
            "temperature_memory_celsius": (heat + 9, heat - 6, heat + 20 + lift * 0.7),
            "temperature_margin_celsius": (87 - heat, 75 - heat - lift * 0.7, 101 - heat),
            "power_milliwatts": (88_000 + load * 4900, 70_000 + 0 * load, 0 * load + 698_000),
            "clock_sm_megahertz": (345 + load * 14, 0 * load + 345, 0 * load + 1980),
            "sm_active_permille": (load * 6.8, 0 * load, 0 * load + 910),
            "tensor_active_permille": (load * 4.0, 0 * load, 0 * load + 640),
        }
        missing = ("sm_active", "tensor", "temperature_margin") if "A100" in site.model else ("-",)
        for n in range(len(buckets)):
            row: list[int | None] = []
            for name in ROLLED:
                if name.startswith(missing):
                    row += [0, 0, None, None]
                else:
                    mean, low, high = (float(part[n]) for part in shape[name])
                    row += [int(mean * count), count, int(low), int(high)]
            yield row

    def _queue_past(self, db: psycopg.Connection[Any], site: Site, now_s: float) -> None:
        end_s = now_s - (260 if site.stale else 0)
        host = site.host_ids[0] if site.host_ids else None
        if site.queues and host is None:
            rack = one_value(
                db,
                "insert into racks (facility_id) values (%s) returning rack_id",
                (site.facility_id,),
            )
            host = one_value(
                db,
                "insert into hosts (facility_id, rack_id, host) values (%s, %s, %s)"
                " returning host_id",
                (site.facility_id, rack, f"{site.name}-reader"),
            )
        for source, queue, level in site.queues:
            times = np.arange(end_s - self.hours * 3600, end_s, 30)
            with db.cursor().copy(
                "copy queue_samples (time, facility_id, host_id, source, queue, unit, waiting,"
                " running, gpus_waiting, gpus_running, gpu_seconds_waiting, oldest_wait_seconds,"
                " arrivals_per_second, completions_per_second) from stdin"
            ) as copy:
                for second in times:
                    waits = _backlog(source, level, float(second))
                    place = (moment(second), site.facility_id, host)
                    copy.write_row([*place, source, queue, _unit(source), *waits])
            self._queue_write(db, site, source, queue, level, end_s)

    def _queue_now(self, db: psycopg.Connection[Any], site: Site, now_s: float) -> None:
        for source, queue, level in site.queues:
            self._queue_write(db, site, source, queue, level, now_s)

    def _queue_write(
        self,
        db: psycopg.Connection[Any],
        site: Site,
        source: str,
        queue: str,
        level: float,
        at: float,
    ) -> None:
        db.execute(
            "insert into queue_state (facility_id, source, queue, time, unit, waiting, running,"
            " gpus_waiting, gpus_running, gpu_seconds_waiting, oldest_wait_seconds,"
            " arrivals_per_second, completions_per_second)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " on conflict (facility_id, source, queue) do update set time = excluded.time,"
            " waiting = excluded.waiting, gpus_waiting = excluded.gpus_waiting,"
            " gpu_seconds_waiting = excluded.gpu_seconds_waiting",
            (site.facility_id, source, queue, moment(at), _unit(source),
             *_backlog(source, level, at)),
        )  # fmt: skip
        if at // 10 > (at - 1.5) // 10:
            db.execute(
                "insert into queue_samples select time, facility_id, (select max(host_id) from"
                " hosts h where h.facility_id = q.facility_id), source, queue, unit, waiting,"
                " running, gpus_waiting, gpus_running, gpu_seconds_waiting, oldest_wait_seconds,"
                " wait_milliseconds, arrivals_per_second, completions_per_second"
                " from queue_state q where facility_id = %s and source = %s and queue = %s",
                (site.facility_id, source, queue),
            )

    def _samples(self, db: psycopg.Connection[Any], now_s: float) -> None:
        """Raw samples of a few hosts, so that there is something to go down to."""
        for hour in range(-2, 2):
            start = moment((now_s // 3600 + hour) * 3600)
            end = moment((now_s // 3600 + hour + 1) * 3600)
            db.execute("select make_partition('samples', %s, %s)", (start, end))
        seconds = np.arange(now_s - min(self.hours, 1) * 3600, now_s, 5)
        self._write_samples(db, seconds)
        add_parts(db, float(seconds[0]))

    def _sampled(self) -> tuple[int, ...]:
        """Return the hosts of the first facility that have raw samples."""
        return (31, 136)

    def _write_samples(self, db: psycopg.Connection[Any], seconds: "np.ndarray[Any, Any]") -> None:
        names = [m.name for m in CATALOGUE.group(Group.FAST)]
        site = self.sites[0]
        with db.cursor().copy(
            f"copy samples (time, gpu_id, {', '.join(names)}) from stdin"
        ) as copy:
            for second in seconds:
                values = self._values(site, float(second))
                for host in self._sampled():
                    for gpu, gpu_id in enumerate(site.gpu_ids[host]):
                        row = [values[n][host, gpu] if n in values else 0 for n in names]
                        copy.write_row([moment(second), gpu_id, *_integers(np.array(row))])


def _backlog(source: str, level: float, at: float) -> list[float | None]:
    wave = 1 + 0.35 * np.sin(at / 5200) + 0.12 * np.sin(at / 640)
    waiting = float(round(level * wave))
    if source == "vllm":
        return [waiting, 64.0, None, None, None, 2.4, 11.0, 11.2]
    if source == "replay":
        return [waiting, None, waiting * 2, None, None, None, None, None]
    return [
        round(waiting / 9), 200.0, waiting, 2400.0, waiting * 4800, 5400.0 if waiting else None,
        0.012, 0.011,
    ]  # fmt: skip


def _unit(source: str) -> str:
    return "jobs" if source in ("slurm", "kueue") else "requests"


def _columns(owner: str) -> str:
    parts = [f"{name}_{kind}" for name in ROLLED for kind in ("sum", "count", "min", "max")]
    return ", ".join(["bucket", owner, "sample_rows", "throttled_rows", *parts])


def _integers(row: "np.ndarray[Any, Any]") -> list[int | None]:
    return [None if np.isnan(value) else int(value) for value in row]


def make_schema(url: str) -> None:
    """Bring an empty database to the newest schema."""
    with psycopg.connect(url, autocommit=True) as connection:
        migrate(connection)


@pytest.fixture
def fleet_database(make_database: Callable[..., str]) -> Fleet:
    url = make_database()
    make_schema(url)
    fleet = Fleet(url, hours=2.0)
    fleet.fill(time.time())
    return fleet


if __name__ == "__main__":
    make_schema(sys.argv[1])
    shown = Fleet(sys.argv[1], hours=float(sys.argv[2]) if len(sys.argv) > 2 else 24.0)
    shown.fill(time.time())
    sys.stdout.write("filled\n")
    sys.stdout.flush()
    for _ in range(3600):
        time.sleep(1.0)
        shown.tick(time.time())
