"""What goes wrong in the believable fleet: events, a pipe that waits, incidents.

A part of `fix_dashboard_data.Fleet`, in a file of its own for its length.
"""

import json
from datetime import UTC, datetime
from typing import Any

import psycopg

from alerts.rules import load_rules

# In the alerts program's words: where the hosts stand that are too hot, and what it says of some.
RACK = "memphis-1 / B / 03 / B03-02"
TOO_HOT = "GPU 0 is too hot: 87 °C, headroom 0 °C, slowed down by its hardware"
LOST = "GPU 0 no longer answers its driver"
GROWING = "train-large (slurm) at memphis-1 grew from 310 to 541 GPUs waiting in half an hour"


class Troubles:
    """Writes what the collector and the alerts program would write about trouble."""

    sites: list[Any]

    def _events(self, db: psycopg.Connection[Any], now_s: float) -> None:
        big = self.sites[0]
        happened = [
            (240, 31, 3, "xid", 79, "GPU has fallen off the bus"),
            (239, 31, 3, "gpu_lost", None, ""),
            (2900, 140, 0, "xid", 119, "Timeout waiting for RPC from GSP"),
            (2899, 140, 0, "gpu_lost", None, ""),
            (5400, 300, 6, "gpu_lost", None, ""),
            (9000, 77, 2, "recovery_action", 1, "reset"),
            (9010, 77, 2, "xid", 95, "Uncontained memory error"),
            (1500, 200, 5, "row_remap", None, "remap pending"),
            (700, 215, 1, "ecc_uncorrected", 2, ""),
            (1200, 12, None, "agent_start", None, ""),
            (1800, 13, None, "driver_changed", None, "580.95.05 to 590.48.01"),
        ]
        for n, (ago_s, host, gpu, kind, code, message) in enumerate(happened):
            db.execute(
                "insert into events (time, host_id, gpu_id, kind, code, message, boot_epoch, seq,"
                " position) values (%s, %s, %s, %s, %s, %s, 1, %s, 0)",
                (moment(now_s - ago_s), big.host_ids[host],
                 None if gpu is None else big.gpu_ids[host][gpu], kind, code, message, n + 1),
            )  # fmt: skip

    def _pipeline(self, db: psycopg.Connection[Any], now_s: float) -> None:
        for n, waiting_for in enumerate((None, "database: disk is full")):
            db.execute(
                "insert into collectors (instance, started_at, reported_at, version, rows_stored,"
                " messages_stored, messages_repeated, messages_quarantined, values_out_of_range,"
                " rows_per_second, commit_seconds, lag, waiting_for)"
                " values (%s, %s, %s, '0.1.0', %s, 41000, 12, 3, 0, %s, 0.08, %s, %s)",
                (f"collector-{n + 1}", moment(now_s - 86_000), moment(now_s - n * 40), 3 * 10**8,
                 4960.0 if not waiting_for else 0.0,
                 json.dumps({"fleetgauge.samples": 14 + 9000 * n, "fleetgauge.events": 0}),
                 waiting_for),
            )  # fmt: skip
        for n, reason in enumerate(("version", "truncated", "truncated")):
            db.execute(
                'insert into quarantine (quarantined_at, topic, partition, "offset", topic_id,'
                " reason, detail, payload, payload_bytes)"
                " values (%s, 'fleetgauge.samples', %s, %s, 't', %s, %s, %s, 34)",
                (moment(now_s - 300 * n - 20), n, 991 + n, reason,
                 "version 9; this program reads 1 to 2" if n == 0 else "ends inside the header",
                 b"\x00" * 34),
            )  # fmt: skip
        for partition in range(4):
            db.execute(
                "insert into stream_offsets (topic_id, partition, topic, next_offset, owner_epoch,"
                " end_offset) values ('t', %s, 'fleetgauge.samples', 90200, 3, 90214)",
                (partition,),
            )
        for site in self.sites:
            if site.racks:
                db.execute(
                    "insert into host_marks (host_id, stream, boot_epoch, last_seq,"
                    " stored_messages, stored_rows, last_sent_seq)"
                    " select unnest(%s::int[]), 'samples', 1, 8640, 8638, 691040, 8641",
                    (site.host_ids,),
                )
        first = self.sites[0].host_ids
        db.execute(
            "insert into sequence_gaps (host_id, stream, boot_epoch, first_seq, last_seq, reason)"
            " values (%s, 'samples', 1, 100, 119, 'spool full'), (%s, 'samples', 1, 7, 8, null)",
            (first[3], first[9]),
        )

    def _alerts(self, db: psycopg.Connection[Any], now_s: float) -> None:
        if one_value(db, "select to_regclass('incidents') is not null", ()) is not True:
            return
        ids = {site.name: site.facility_id for site in self.sites}
        rules = load_rules().rules
        db.execute(
            "insert into alert_evaluators (instance, version, started_at, reported_at, active,"
            " passed_at, pass_milliseconds, outbox_waiting) values ('alerts-1', '0.1.0', %s, %s,"
            " true, %s, 38, 0)",
            [moment(now_s - ago) for ago in (80_000, 1, 1)],
        )
        for rule, site, severity, state, ago_s, count, title, summary in (
            ("thermal", "memphis-1", "critical", "firing", 260, 64, "accelerators too hot",
             f"64 accelerators too hot in memphis-1, first {RACK} / memphis-1-017-00 {TOO_HOT}"),
            ("gpu_lost", "memphis-1", "critical", "firing", 250, 3, "accelerators lost",
             f"3 accelerators lost in memphis-1, first {RACK} / memphis-1-017-04 {LOST}"),
            ("backlog_growing", "memphis-1", "warning", "acknowledged", 4300, 1, "queues growing",
             GROWING),
            ("facility_silent", "dublin-1", "critical", "firing", 230, 1, "facilities silent",
             "dublin-1 is silent: 32 of 32 hosts send nothing"),
            ("host_silent", "texas-2", "info", "firing", 380, 1, "hosts silent",
             "texas-2 / A / 02 / A02-08 / texas-2-015-00 has been silent for 6m"),
        ):  # fmt: skip
            incident = one_value(
                db,
                "insert into incidents (rule, group_key, facility_id, title, severity, state,"
                " summary, firing_count, alerts_count, muted_count, flapping, opened_at,"
                " updated_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, 0, false, %s, %s)"
                " returning incident_id",
                (rule, site, ids[site], title, severity, state, summary, count, count,
                 moment(now_s - ago_s), moment(now_s)),
            )  # fmt: skip
            for n in range(min(count, 12)):
                db.execute(
                    "insert into alerts (rule, key, incident_id, facility_id, labels, severity,"
                    " state, summary, action, measured, started_at, pending_since, fired_at,"
                    " updated_at, acknowledged_by) values (%s, %s, %s, %s, %s, %s, %s, %s, %s,"
                    " %s, %s, %s, %s, %s, %s)",
                    (rule, f"{site}-{n}", incident, ids[site],
                     json.dumps({"facility": site, "host": f"{site}-{n:03d}-00"}), severity,
                     state, summary, rules[rule].action,
                     json.dumps({"headroom_celsius": 0}),
                     *[moment(now_s - ago_s + part) for part in (0, 5, 30, 30)],
                     "a. person" if state == "acknowledged" else None),
                )  # fmt: skip


def moment(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(float(epoch_s), UTC)


def one_value(db: psycopg.Connection[Any], statement: str, values: Any) -> Any:
    row = db.execute(statement, values).fetchone()
    assert row is not None
    return row[0]
