"""What the detail pages need on top of `fix_dashboard_data`: samples, history, alerts' lives.

A few hosts have readings of every 5 s, events reach back a month, one board has moved between
hosts, alerts have transitions and notifications. Run as
`python -m tests.fix_dashboard_detail POSTGRES_URL HOURS` it fills a database and keeps it moving.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from alerts.xid_policy import load_policy
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from tests.fix_dashboard_data import Fleet, make_schema
from tests.fix_gpu_parts import add_parts

EVERY_S = 5
# For so long the host of the kind `old` has not been heard of.
OLD_S = 260
HOT_HOST = 138  # in the rack whose cooling fails
LOST_HOST = 31  # GPU 3 fell off the bus four minutes ago
REMAP_HOST = 200  # GPU 5 waits for a reset
OLD_HOST = "dublin-1"  # A100: no GPM activity, no margin


def detail_hosts(fleet: Fleet) -> list[tuple[int, list[int], str]]:
    """The hosts that have samples: number, accelerators, what is the matter with it."""
    big = fleet.sites[0]
    dublin = next(site for site in fleet.sites if site.name == OLD_HOST)
    wanted = [(big, LOST_HOST, "lost"), (big, HOT_HOST, "hot"), (big, REMAP_HOST, "remap"),
              (dublin, 3, "old")]  # fmt: skip
    return [(site.host_ids[n], site.gpu_ids[n], kind) for site, n, kind in wanted]


class Detail:
    """Adds to a filled fleet what the detail pages show."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.rng = np.random.default_rng(11)

    def fill(self, now_s: float) -> None:
        with psycopg.connect(self.fleet.url) as db:
            self._samples(db, now_s)
            self._events(db, now_s)
            self._intervals(db, now_s)
            self._seats(db, now_s)
            self._identity(db)
            self._alerts(db, now_s)
            self._notifications(db, now_s)
        with psycopg.connect(self.fleet.url, autocommit=True) as db:
            db.execute("analyze")

    def tick(self, now_s: float) -> None:
        """Store the newest readings of the detailed hosts as samples."""
        columns = [m.name for m in CATALOGUE.group(Group.FAST) if m.live]
        host_ids = [host_id for host_id, _, kind in detail_hosts(self.fleet) if kind != "old"]
        with psycopg.connect(self.fleet.url) as db:
            _partition(db, "samples", now_s)
            unnested = ", ".join(f"unnest({name})" for name in columns)
            db.execute(
                f"insert into samples (time, gpu_id, {', '.join(columns)})"
                f" select %s, unnest(gpu_ids), {unnested} from host_state"
                " where host_id = any(%s)",
                (_time(now_s), host_ids),
            )
            # `Fleet.tick` knows nothing of a lost board and writes readings of it.
            db.execute(
                "delete from samples where gpu_id = %s and reader_status_code = 0 and time > %s",
                (self.fleet.sites[0].gpu_ids[LOST_HOST][3], _time(now_s - 60)),
            )
            add_parts(db, now_s - 60)

    def _samples(self, db: psycopg.Connection[Any], now_s: float) -> None:
        first_s = now_s - self.fleet.hours * 3600 - OLD_S
        for hour in np.arange(first_s, now_s + 7200, 3600):
            _partition(db, "samples", float(hour))
            _partition(db, "slow_samples", float(hour))
        db.execute("delete from samples")  # of one host that is detailed here
        fast = [m.name for m in CATALOGUE.group(Group.FAST)]
        slow = [m.name for m in CATALOGUE.group(Group.SLOW)]
        for _, gpu_ids, kind in detail_hosts(self.fleet):
            end_s = now_s - (OLD_S if kind == "old" else 0)
            times = np.arange(end_s - self.fleet.hours * 3600, end_s, EVERY_S)
            with db.cursor().copy(
                f"copy samples (time, gpu_id, {', '.join(fast)}) from stdin"
            ) as out:
                for n, gpu_id in enumerate(gpu_ids):
                    for second, row in zip(times, self._fast(kind, n, times, now_s), strict=True):
                        if kind == "hot" and 3000 < now_s - second < 3300:
                            continue  # the host was restarted
                        out.write_row([_time(second), gpu_id, *row])
            with db.cursor().copy(
                f"copy slow_samples (time, gpu_id, {', '.join(slow)}) from stdin"
            ) as out:
                for n, gpu_id in enumerate(gpu_ids):
                    for second in times[::12]:
                        out.write_row([_time(second), gpu_id, *self._slow(kind, n, second, now_s)])
        add_parts(db, now_s - (self.fleet.hours + 1) * 3600)

    def _fast(
        self, kind: str, n: int, times: "np.ndarray[Any, Any]", now_s: float
    ) -> list[list[int | None]]:
        ago = now_s - times
        rng = self.rng
        size = len(times)
        running = ((times // 60 + 3 * n) % 47 > 2) & (ago > 120)
        running &= ~((ago > 1500) & (ago < 1800))
        load = np.where(running, np.clip(rng.normal(96, 3, size), 0, 100), 0)
        power = np.where(running, rng.normal(590, 40, size), rng.normal(88, 5, size))
        heat = 31 + power * 0.056 + rng.normal(0, 1.2, size) + n * 0.6
        bits = np.where(power > 640, 4, np.where(running, 0, 1))
        if kind == "hot":
            heat += np.clip((1100 - ago) / 60, 0, 19)
            bits = np.where(heat > 84, 0x40 | 0x20, bits)
        if kind == "remap" and n in (0, 1):
            bits = np.where((ago > 2000) & (ago < 2130), 0x80, bits)
        old = kind == "old"
        shape: dict[str, Any] = {
            "utilization_gpu_percent": load,
            "utilization_memory_percent": load * 0.55,
            "memory_used_mebibytes": np.where(running, 71_000 + 120 * n, 3),
            "temperature_gpu_celsius": heat,
            "temperature_memory_celsius": heat + 9,
            "temperature_margin_celsius": np.nan if old else 87 - heat,
            "power_milliwatts": np.clip(power, 60, 702) * 1000,
            "power_instant_milliwatts": np.clip(power + rng.normal(0, 25, size), 60, 730) * 1000,
            "energy_millijoules": 9e12 + np.cumsum(power) * 5000,
            "clock_sm_megahertz": np.where(running, np.where(bits >= 8, 1180, 1755), 345),
            "clock_memory_megahertz": 2619,
            "clock_video_megahertz": np.where(running, 1545, 600),
            "clock_event_reasons_bitmask": bits,
            "performance_state_code": 0,
            "reader_status_code": 0,
            "read_failures_count": 0,
        }
        if not old:
            for name, part in (
                ("graphics_active", 9.4), ("sm_active", 6.9), ("sm_occupancy", 2.9),
                ("tensor_active", 4.1), ("dram_active", 5.2), ("fp32_active", 0.4),
                ("fp16_active", 0.6), ("fp64_active", 0.0),
            ):  # fmt: skip
                spread = rng.normal(1, 0.04, size).clip(0.8, 1.06)
                shape[f"{name}_permille"] = load * part * spread
            for name, rate in (
                ("pcie_transmit", 900), ("pcie_receive", 2100), ("nvlink_receive", 88_000),
                ("nvlink_transmit", 88_400),
            ):  # fmt: skip
                shape[f"{name}_mebibytes_per_second"] = (
                    load / 96 * rng.normal(rate, rate / 12, size)
                )
        lost = (ago < 240) if (kind, n) == ("lost", 3) else np.zeros(size, bool)
        silent = (ago > 2500) & (ago < 2560) if (kind, n) == ("lost", 6) else np.zeros(size, bool)
        columns = []
        for metric in CATALOGUE.group(Group.FAST):
            values = np.broadcast_to(np.asarray(shape.get(metric.name, np.nan), float), size).copy()
            values[lost | silent] = np.nan
            if metric.name == "reader_status_code":
                values[lost], values[silent] = 2, 3
            columns.append(values)
        table = np.array(columns).T
        return [[None if np.isnan(v) else int(v) for v in row] for row in table]

    def _slow(self, kind: str, n: int, second: float, now_s: float) -> list[int | None]:
        ago = now_s - second
        pending = kind == "remap" and n == 5 and ago < 1500
        told = {
            "power_limit_milliwatts": 700_000,
            "bar1_used_mebibytes": 6,
            "throttled_power_nanoseconds": int(4e12 - ago * 2e7),
            "throttled_thermal_nanoseconds": int(max(0.0, 1100 - ago) * 9e8)
            if kind == "hot"
            else 0,
            "ecc_corrected_volatile_count": 3 + int(pending) * 41,
            "ecc_uncorrected_volatile_count": int(pending),
            "ecc_corrected_aggregate_count": 190 + int(pending) * 41,
            "ecc_uncorrected_aggregate_count": int(pending),
            "sram_threshold_exceeded_flag": 0,
            "remapped_rows_corrected_count": 1,
            "remapped_rows_uncorrected_count": int(pending),
            "remap_pending_flag": int(pending),
            "remap_failed_flag": 0,
            "pcie_replays_count": 12,
            "pcie_link_generation": 5,
            "pcie_link_width_lanes": 16,
            "nvlink_active_links_count": 18,
            "nvlink_crc_errors_count": 0,
            "fabric_state_code": 3,
            "recovery_action_code": 0,
            "processes_count": 1,
        }
        if (kind, n) == ("lost", 3) and ago < 240:
            told = {}
        return [told.get(metric.name) for metric in CATALOGUE.group(Group.SLOW)]

    def _events(self, db: psycopg.Connection[Any], now_s: float) -> None:
        big, texas = self.fleet.sites[0], self.fleet.sites[1]
        happened: list[tuple[float, Any, int, int | None, str, int | None, str, dict[str, Any]]] = [
            (1498, big, REMAP_HOST, 5, "xid", 63, "Row remapping event: row pending", {}),
            (1497, big, REMAP_HOST, 5, "ecc_uncorrected", 1, "", {"address": "0x1f42a"}),
            (1080, big, HOT_HOST, None, "agent_start", None, "", {}),
            (238, big, LOST_HOST, 3, "xid_burst", 79, "", {"suppressed": 14}),
            (5200, big, 300, 6, "gpu_back", None, "", {}),
            (3000, big, HOT_HOST, None, "driver_back", None, "", {}),
            (3290, big, HOT_HOST, None, "driver_hung", None, "no answer for 10 s", {}),
            (6100, texas, 17, 2, "xid", 149, "NVLink: fatal error", {"link": 4}),
            (6600, texas, 17, None, "sxid", 20_034, "NVSwitch: LTSSM fault up", {"link": 31}),
        ]
        for day in range(1, 29):  # repeat offenders: the same boards again and again
            for host, board, xid, every in ((77, 2, 95, 5), (140, 0, 119, 4), (12, 1, 94, 9)):
                if day % every == 0:
                    at = day * 86_400 + 1000 * host
                    happened += [(at + k, big, host, board, "xid", xid, "", {}) for k in (0, 1, 2)]
        for minute in (4, 9, 31, 47, 83, 110):  # programs that crash say so with Xids too
            happened.append((minute * 60, big, 60 + minute, 4, "xid", 13, "Graphics Exception", {}))
            happened.append((minute * 61, texas, minute, 1, "xid", 31, "MMU Fault", {}))
        for n, (ago_s, site, host, gpu, kind, code, message, detail) in enumerate(happened):
            db.execute(
                "insert into events (time, host_id, gpu_id, kind, code, message, detail,"
                " boot_epoch, seq, position) values (%s, %s, %s, %s, %s, %s, %s, 2, %s, 0)",
                (_time(now_s - ago_s), site.host_ids[host],
                 None if gpu is None else site.gpu_ids[host][gpu], kind, code, message,
                 json.dumps(detail), n + 1),
            )  # fmt: skip

    def _intervals(self, db: psycopg.Connection[Any], now_s: float) -> None:
        """What the collector makes of these readings and of what the agents tell of work."""
        big = self.fleet.sites[0]
        states: list[tuple[int, int, str, str, float, float | None]] = [
            (LOST_HOST, 3, "reader", "lost", 240, None),
            (LOST_HOST, 6, "reader", "timeout", 2560, 2500),
            (REMAP_HOST, 5, "health", "predicted_failure", 1500, None),
            *((REMAP_HOST, n, "slowdown", "power_brake", 2130, 2000) for n in (0, 1)),
            *((HOT_HOST, n, "slowdown", "heat", 310 - 20 * n, None) for n in range(8)),
            *((HOT_HOST, 2, "slowdown", "heat", 2900 - 40 * n, 2899 - 40 * n) for n in range(9)),
        ]
        for host, gpu, subject, state, from_s, until_s in states:
            db.execute(
                "insert into state_intervals (host_id, gpu_id, subject, state, started_at,"
                " ended_at) values (%s, %s, %s, %s, %s, %s)",
                (big.host_ids[host], big.gpu_ids[host][gpu], subject, state,
                 _time(now_s - from_s), None if until_s is None else _time(now_s - until_s)),
            )  # fmt: skip
        for host in (LOST_HOST, HOT_HOST, REMAP_HOST):
            for job, user, gpus, from_s, until_s in (
                ("48213", "m.okafor", range(8), 7800, 3300),
                ("48466", "m.okafor", range(8), 2950, 1810),
                ("48502", "j.lind", range(4), 1490, None),
                ("48509", "s.aydin", range(4, 6), 1470, 700),
                ("48517", "s.aydin", range(4, 7), 640, None),
            ):
                self._work(db, host, job, user, gpus, now_s - from_s,
                           None if until_s is None else now_s - until_s)  # fmt: skip

    def _work(
        self, db: psycopg.Connection[Any], host: int, job: str, user: str, gpus: range,
        start_s: float, end_s: float | None,
    ) -> None:  # fmt: skip
        big = self.fleet.sites[0]
        db.cursor().executemany(
            "insert into workload_intervals (host_id, gpu_id, source, job, step, user_name,"
            " started_at, seen_at, ended_at, processes, memory_mebibytes)"
            " values (%s, %s, 'slurm', %s, '0', %s, %s, %s, %s, 1, 71000)",
            [
                (big.host_ids[host], big.gpu_ids[host][n], job, user, _time(start_s),
                 _time(end_s or start_s), None if end_s is None else _time(end_s))
                for n in gpus
            ],
        )  # fmt: skip

    def _seats(self, db: psycopg.Connection[Any], now_s: float) -> None:
        """The board that is lost now was in another host before; its old seat is remembered."""
        big = self.fleet.sites[0]
        db.execute(
            "insert into accelerators (host_id, uuid, index, present, vendor, model, serial,"
            " first_seen, inventory_time) select %s, uuid, 9, false, vendor, model, serial, %s, %s"
            " from accelerators where gpu_id = %s",
            (big.host_ids[205], _time(now_s - 80 * 86_400), _time(now_s - 21 * 86_400),
             big.gpu_ids[LOST_HOST][3]),
        )  # fmt: skip

    def _identity(self, db: psycopg.Connection[Any]) -> None:
        db.execute(
            "update accelerators set board_part_number = '692-2G520-0200-500', vbios_version ="
            " '96.00.99.00.01', memory_total_mebibytes = 81559, power_limit_max_milliwatts ="
            " 700000, temperature_shutdown_celsius = 92, temperature_memory_max_celsius = 95,"
            " clock_sm_max_megahertz = 1980, pcie_generation_max = 5, pcie_width_max_lanes = 16,"
            " nvlinks_count = 18, mig_enabled = false, ecc_enabled = true, module_id = index + 1,"
            " unsupported = array['utilization_jpeg_percent', 'utilization_ofa_percent',"
            " 'retired_pages_count']"
            " where model like '%%H100%%'",
            (),
        )

    def _alerts(self, db: psycopg.Connection[Any], now_s: float) -> None:
        big = self.fleet.sites[0]
        # What stands in these tables for the other pages is too little here.
        for table in ("xid_policy", "alert_rules", "alert_evaluators", "delivery_attempts"):
            db.execute(f"delete from {table}")
        with db.cursor() as cursor:
            cursor.executemany(
                "insert into xid_policy (code, meaning, vendor_action, class, severity, action,"
                " source) values (%(code)s, %(meaning)s, %(vendor_action)s, %(class)s,"
                " %(severity)s, %(action)s, %(source)s)",
                load_policy().rows(),
            )
        for file in sorted(Path("sql/alerts").glob("*.sql")):
            failed = file.stem == "pipeline_lag"
            db.execute(
                "insert into alert_rules (rule, title, severity, description, action, runbook,"
                " digest, state, error, evaluated_at, pass_milliseconds, offenders, updated_at)"
                " values (%s, %s, 'critical', '', '', '', '', %s, %s, %s, %s, %s, %s)",
                (file.stem, file.stem.replace("_", " "), "failed" if failed else "ok",
                 "statement timeout" if failed else None, _time(now_s - 1), 3.4, 2,
                 _time(now_s)),
            )  # fmt: skip
        db.execute(
            "insert into alert_evaluators (instance, version, started_at, reported_at, active,"
            " passed_at, pass_milliseconds, alerts_firing, outbox_waiting, outbox_oldest,"
            " heartbeat_at) values ('alerts-1', '0.1.0', %s, %s, true, %s, 41, 71, 1, %s, %s)",
            (_time(now_s - 90_000), _time(now_s), _time(now_s), _time(now_s - 40),
             _time(now_s - 12)),
        )  # fmt: skip
        self._place_alerts(db, big, now_s)
        silence = db.execute(
            "insert into silences (rule, facility_id, author, comment, starts_at, ends_at)"
            " values ('host_silent', %s, 'b. person', 'rack 15 is being recabled', %s, %s)"
            " returning silence_id",
            (self.fleet.sites[1].facility_id, _time(now_s - 600), _time(now_s + 5000)),
        ).fetchone()
        assert silence is not None
        db.execute("update alerts set silenced_by = %s where rule = 'host_silent'", silence)
        db.execute("update incidents set muted_count = 1 where rule = 'host_silent'")
        db.execute(
            "update incidents set told_at = opened_at + interval '4 s', notices = 2, told_count ="
            " firing_count, paged_at = case when severity = 'critical' then opened_at end"
        )
        db.execute(
            "insert into incidents (rule, group_key, facility_id, title, severity, state, summary,"
            " firing_count, alerts_count, muted_count, flapping, opened_at, resolved_at,"
            " updated_at) select 'fatal_xid', 'r' || n, %s, 'accelerators with a fatal Xid',"
            " 'critical', 'resolved', 'memphis-1 / B / 03 / B03-02 / memphis-1-017-04 GPU 0: Xid"
            " 119: GSP timeout', 0, 1, 0, n = 2, %s, %s, %s"
            " from generate_series(1, 3) n",
            (big.facility_id, _time(now_s - 2900), _time(now_s - 1100), _time(now_s - 1100)),
        )

    def _place_alerts(self, db: psycopg.Connection[Any], big: Any, now_s: float) -> None:
        """Give the alerts of `fix_dashboard_data` their places and their transitions."""
        hot = [(h, g) for h in range(136, 144) for g in range(8)]
        seats = {"thermal": hot, "gpu_lost": [(31, 3), (140, 0), (300, 6)]}
        for rule, places in seats.items():
            ids = db.execute(
                "select alert_id from alerts where rule = %s order by alert_id", (rule,)
            ).fetchall()
            for (alert_id,), (host, gpu) in zip(ids, places, strict=False):
                name = f"memphis-1-{host // 8:03d}-{host % 8:02d}"
                db.execute(
                    "update alerts set host_id = %s, gpu_id = %s, labels = %s, summary = %s"
                    " where alert_id = %s",
                    (big.host_ids[host], big.gpu_ids[host][gpu],
                     json.dumps({"facility": "memphis-1", "host": name, "gpu_index": gpu}),
                     f"memphis-1 / B / 03 / B03-02 / {name} GPU {gpu} "
                     + ("no longer answers its driver" if rule == "gpu_lost" else
                        "is too hot: 87 °C, headroom 0 °C, slowed down by its hardware"),
                     alert_id),
                )  # fmt: skip
        db.execute(
            "insert into alert_transitions (alert_id, time, from_state, to_state, author, note)"
            " select alert_id, pending_since, null, 'pending', 'evaluator', '' from alerts"
            " union all select alert_id, fired_at, 'pending', 'firing', 'evaluator', ''"
            " from alerts union all select alert_id, fired_at + interval '90 s', 'firing',"
            " 'acknowledged', 'a. person', 'more capacity comes on Monday' from alerts"
            " where state = 'acknowledged'"
        )

    def _notifications(self, db: psycopg.Connection[Any], now_s: float) -> None:
        opened = db.execute(
            "select incident_id, title, opened_at, severity from incidents order by incident_id"
        ).fetchall()
        for incident_id, title, opened_at, severity in opened:
            for receiver in ("pager", "chat") if severity == "critical" else ("chat",):
                late = receiver == "pager" and incident_id == opened[-1][0]
                message = db.execute(
                    "insert into outbox (receiver, incident_id, dedup_key, body, created_at, state,"
                    " attempts, next_attempt_at, finished_at, error) values (%s, %s, %s, %s, %s,"
                    " %s, %s, %s, %s, %s) returning message_id",
                    (receiver, incident_id, f"fleetgauge-{incident_id}",
                     json.dumps({"kind": "opened", "title": title}), opened_at,
                     "waiting" if late else "sent", 3 if late else 1, _time(now_s + 20),
                     None if late else opened_at, "HTTP 503" if late else None),
                ).fetchone()  # fmt: skip
                assert message is not None
                for attempt in range(3 if late else 1):
                    db.execute(
                        "insert into delivery_attempts (message_id, time, receiver, outcome,"
                        " status, duration_milliseconds, error) values (%s, %s::timestamptz +"
                        " %s * interval '20 s', %s, %s, %s, 84, %s)",
                        (message[0], opened_at, attempt, receiver,
                         "retry" if late else "delivered", 503 if late else 202,
                         "Service Unavailable" if late else None),
                    )  # fmt: skip


def _partition(db: psycopg.Connection[Any], table: str, at_s: float) -> None:
    hour = at_s // 3600 * 3600
    db.execute("select make_partition(%s, %s, %s)", (table, _time(hour), _time(hour + 3600)))


def _time(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(float(epoch_s), UTC)


@pytest.fixture
def detail_fleet(make_database: Callable[..., str]) -> Fleet:
    url = make_database()
    make_schema(url)
    fleet = Fleet(url, hours=2.0)
    now_s = time.time()
    fleet.fill(now_s)
    Detail(fleet).fill(now_s)
    return fleet


if __name__ == "__main__":
    make_schema(sys.argv[1])
    shown = Fleet(sys.argv[1], hours=float(sys.argv[2]) if len(sys.argv) > 2 else 6.0)
    start_s = time.time()
    shown.fill(start_s)
    detail = Detail(shown)
    detail.fill(start_s)
    sys.stdout.write("filled\n")
    sys.stdout.flush()
    for _ in range(7200):
        time.sleep(1.0)
        shown.tick(time.time())
        detail.tick(time.time())
