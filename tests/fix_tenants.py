"""Two tenants in one database, with a row of everything for each: names begin with the tenant's.

`acme` has two facilities, `acme-north` and `acme-south`; `zeta` has `zeta-east`. Every host has two
accelerators. Whatever is told of a tenant holds its name, so that a leak is a word in an answer.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from collector.migrate import migrate, tier_of
from collector.tier import Tier
from tests.fix_dashboard_troubles import moment, one_value

PLACES = (("acme", "acme-north"), ("acme", "acme-south"), ("zeta", "zeta-east"))


@dataclass
class Site:
    tenant: str
    facility: str
    facility_id: int
    rack_id: int
    host_ids: list[int] = field(default_factory=list)
    gpu_ids: list[int] = field(default_factory=list)
    incident_id: int = 0
    alert_id: int = 0


@dataclass
class Tenants:
    url: str
    sites: dict[str, Site] = field(default_factory=dict)


def _fill(db: psycopg.Connection[Any], tenant: str, name: str, now_s: float) -> Site:
    facility_id = one_value(
        db,
        "insert into facilities (tenant, facility, display_name, provider) values (%s, %s, %s, %s)"
        " returning facility_id",
        (tenant, name, f"{name} title", f"{tenant} provider"),
    )
    rack_id = one_value(
        db,
        "insert into racks (facility_id, hall, row, rack) values (%s, 'A', '01', %s)"
        " returning rack_id",
        (facility_id, f"{name}-rack"),
    )
    site = Site(tenant, name, facility_id, rack_id)
    for n in range(2):
        _host(db, site, f"{name}-host-{n}", now_s)
    _things(db, site, now_s)
    return site


def _host(db: psycopg.Connection[Any], site: Site, name: str, now_s: float) -> None:
    host_id = one_value(
        db,
        "insert into hosts (facility_id, rack_id, host, inventory_time) values (%s, %s, %s, %s)"
        " returning host_id",
        (site.facility_id, site.rack_id, name, moment(now_s)),
    )
    gpu_ids = [
        one_value(
            db,
            "insert into accelerators (host_id, uuid, index, model, serial)"
            " values (%s, %s, %s, %s, %s) returning gpu_id",
            (host_id, uuid.uuid4(), n, f"{site.tenant} model", f"{name}-serial-{n}"),
        )
        for n in range(2)
    ]
    site.host_ids.append(host_id)
    site.gpu_ids += gpu_ids
    at = moment(now_s)
    db.execute(
        "insert into host_state (host_id, time, slow_time, boot_epoch, seq, gpu_ids,"
        " utilization_gpu_percent) values (%s, %s, %s, 1, 1, %s, '{50,60}')",
        (host_id, at, at, gpu_ids),
    )
    db.execute(
        "insert into agent_state (host_id, time, boot_epoch, agent_version, sample_interval_ms,"
        " tick_duration_us, spool_messages, spool_bytes, resident_bytes)"
        " values (%s, %s, 1, '0.1.0', 1000, 1, 1, 1, 1)",
        (host_id, at),
    )
    db.execute(
        "insert into host_marks (host_id, stream, boot_epoch, last_seq) values (%s, 'samples', 1,"
        " 1)",
        (host_id,),
    )
    db.execute(
        "insert into sequence_gaps (host_id, stream, boot_epoch, first_seq, last_seq, reason)"
        " values (%s, 'samples', 1, 5, 6, %s)",
        (host_id, f"{site.tenant} reason"),
    )
    db.execute(
        "insert into state_intervals (host_id, gpu_id, subject, state, reason, started_at)"
        " values (%s, %s, 'health', 'degraded', %s, %s)",
        (host_id, gpu_ids[0], f"{site.tenant} reason", at),
    )
    db.execute(
        "insert into workload_intervals (host_id, gpu_id, source, job, user_name, started_at,"
        " seen_at, processes, memory_mebibytes) values (%s, %s, 'slurm', %s, %s, %s, %s, 1, 1)",
        (host_id, gpu_ids[0], f"{site.tenant}-secret-job", f"{site.tenant}-person", at, at),
    )
    for gpu_id in gpu_ids:
        db.execute(
            "insert into samples (time, gpu_id, utilization_gpu_percent) values (%s, %s, 50)",
            (at, gpu_id),
        )
        db.execute("insert into slow_samples (time, gpu_id) values (%s, %s)", (at, gpu_id))
    db.execute(
        "insert into events (time, host_id, gpu_id, kind, code, message, detail, boot_epoch, seq,"
        " position) values (%s, %s, %s, 'xid', 31, %s, '{\"pid\": 7}', 1, 1, 0)",
        (at, host_id, gpu_ids[0], f"Xid 31, name={site.tenant}-secret-job"),
    )


def _things(db: psycopg.Connection[Any], site: Site, now_s: float) -> None:
    at, tenant = moment(now_s), site.tenant
    queue = (site.facility_id, f"{tenant}-train")
    db.execute(
        "insert into queue_state (facility_id, source, queue, time, unit, waiting)"
        " values (%s, 'slurm', %s, %s, 'jobs', 3)",
        (*queue, at),
    )
    db.execute(
        "insert into queue_samples (time, facility_id, host_id, source, queue, unit, waiting)"
        " values (%s, %s, %s, 'slurm', %s, 'jobs', 3)",
        (at, site.facility_id, site.host_ids[0], f"{tenant}-train"),
    )
    site.incident_id = one_value(
        db,
        "insert into incidents (rule, group_key, facility_id, title, severity, state, summary,"
        " firing_count, alerts_count, muted_count, flapping, opened_at, updated_at)"
        " values ('thermal', %s, %s, %s, 'critical', 'firing', %s, 1, 1, 0, false, %s, %s)"
        " returning incident_id",
        (site.facility, site.facility_id, f"{tenant} is hot", f"{tenant} summary", at, at),
    )
    site.alert_id = one_value(
        db,
        "insert into alerts (rule, key, incident_id, facility_id, host_id, gpu_id, severity, state,"
        " summary, action, started_at, pending_since, fired_at, updated_at) values ('thermal', %s,"
        " %s, %s, %s, %s, 'critical', 'firing', %s, 'look', %s, %s, %s, %s) returning alert_id",
        (site.facility, site.incident_id, site.facility_id, site.host_ids[0], site.gpu_ids[0],
         f"{tenant} summary", at, at, at, at),
    )  # fmt: skip
    db.execute(
        "insert into alert_transitions (alert_id, time, to_state, author, note)"
        " values (%s, %s, 'firing', 'evaluator', %s)",
        (site.alert_id, at, f"{tenant} note"),
    )
    db.execute(
        "insert into silences (facility_id, rule, author, comment, ends_at)"
        " values (%s, 'thermal', %s, %s, now() + interval '1 hour')",
        (site.facility_id, f"{tenant}-person", f"{tenant} comment"),
    )
    message = one_value(
        db,
        "insert into outbox (receiver, incident_id, dedup_key, body, created_at, next_attempt_at)"
        " values (%s, %s, 'k', %s, %s, %s) returning message_id",
        (f"{tenant}-pager", site.incident_id, f"{tenant} body", at, at),
    )
    db.execute(
        "insert into delivery_attempts (message_id, time, receiver, outcome,"
        " duration_milliseconds, error) values (%s, %s, %s, 'retry', 1, %s)",
        (message, at, f"{tenant}-pager", f"{tenant} error"),
    )
    db.execute(
        'insert into quarantine (topic, partition, "offset", reason, detail, payload,'
        " payload_bytes, topic_id) values ('t', 0, %s, %s, %s, '', 0, '')",
        (site.facility_id, f"{tenant} reason", f"{tenant} detail"),
    )


@pytest.fixture
def tenants(make_database: Callable[..., str]) -> Tenants:
    found = Tenants(make_database())
    now_s = time.time()
    with psycopg.connect(found.url, autocommit=True) as connection:
        migrate(connection)
        if tier_of(connection) is Tier.POSTGRES:
            for table in ("samples", "slow_samples"):
                connection.execute(
                    "select make_partition(%s, %s, %s)",
                    (table, moment(now_s - 7200), moment(now_s + 7200)),
                )
        for tenant, facility in PLACES:
            found.sites[facility] = _fill(connection, tenant, facility, now_s)
    return found
