"""A database for alerts: the schema, a fleet on paper, and the evaluator without its process.

`Ledger` stands where the collector would: it writes what the rules read, in words of names and
seconds. Time is the test's own.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from alerts.database import Connection, connect
from alerts.engine import Engine, Pass
from alerts.lease import Lease
from alerts.rules import RuleSet, load_rules
from alerts.settings import AlertSettings
from alerts.xid_policy import load_policy
from sql import migrations
from tests.fix_services import DatabaseServer

EPOCH = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@dataclass
class TestClock:
    """Time that moves when told to; both kinds move together."""

    __test__ = False

    seconds: float = 0.0

    def now_us(self) -> int:
        return round((EPOCH.timestamp() + self.seconds) * 1e6)

    def monotonic_s(self) -> float:
        return self.seconds

    @property
    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.seconds)


class Ledger:
    """The collector's side of the database, by hand."""

    def __init__(self, connection: Connection, clock: TestClock) -> None:
        self.connection = connection
        self.clock = clock
        self.facilities: dict[str, int] = {}
        self.hosts: dict[str, int] = {}
        self.gpus: dict[str, list[int]] = {}
        self._position = 0

    def facility(self, name: str) -> int:
        if name not in self.facilities:
            row = self._insert("facilities", tenant="lab", facility=name, returning="facility_id")
            self.facilities[name] = row
        return self.facilities[name]

    def host(self, facility: str, name: str, gpus: int = 2, rack: str = "r1") -> int:
        """Make a host with accelerators; facilities and racks come by themselves."""
        facility_id = self.facility(facility)
        rack_row = self.connection.execute(
            "insert into racks (facility_id, hall, row, rack) values (%s, 'h1', 'a', %s) "
            "on conflict (facility_id, hall, row, rack) do update set hall = excluded.hall "
            "returning rack_id",
            (facility_id, rack),
        ).fetchone()
        assert rack_row is not None
        host_id = self._insert(
            "hosts", facility_id=facility_id, rack_id=rack_row["rack_id"], host=name,
            returning="host_id",
        )  # fmt: skip
        self.hosts[name] = host_id
        self.gpus[name] = [
            self._insert(
                "accelerators", host_id=host_id, uuid=uuid.uuid4(), index=index,
                serial=f"{name}-{index}", pci_address=f"0000:{index:02x}:00.0",
                returning="gpu_id",
            )
            for index in range(gpus)
        ]  # fmt: skip
        return host_id

    def state(self, host: str, *, age_s: float = 0, late_s: float = 0, **columns: Any) -> None:
        """Set a host's newest state. A metric is one value for all its GPUs, or a list."""
        gpus = self.gpus[host]
        received_at = self.clock.now - timedelta(seconds=age_s)
        time = received_at - timedelta(seconds=late_s)
        values: dict[str, Any] = {
            "host_id": self.hosts[host], "time": time, "slow_time": time,
            "received_at": received_at,
            "boot_epoch": 1, "seq": 1, "gpu_ids": gpus, "reader_status_code": [0] * len(gpus),
            "temperature_gpu_celsius": [60] * len(gpus),
            "temperature_margin_celsius": [25] * len(gpus),
        }  # fmt: skip
        for name, value in columns.items():
            plain = isinstance(value, int) or value is None
            values[name] = [value] * len(gpus) if plain else value
        names = list(values)
        statement = sql.SQL(
            "insert into host_state ({}) values ({}) on conflict (host_id) do update set {}"
        ).format(
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join(sql.Placeholder() * len(names)),
            sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(n)) for n in names
            ),
        )
        self.connection.execute(statement, list(values.values()))

    def all_well(self) -> None:
        """Every host reports now, and a collector stores it."""
        self.collector()
        for host in self.hosts:
            self.state(host)

    def event(
        self, host: str, kind: str, *, gpu: int | None = None, code: int | None = None,
        age_s: float = 0, detail: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self._position += 1
        self.connection.execute(
            "insert into events (time, host_id, gpu_id, kind, code, detail, boot_epoch, seq, "
            "position) values (%s, %s, %s, %s, %s, %s, 1, %s, 0)",
            (
                self.clock.now - timedelta(seconds=age_s), self.hosts[host],
                None if gpu is None else self.gpus[host][gpu], kind, code, Jsonb(detail or {}),
                self._position,
            ),
        )  # fmt: skip

    def slow(self, host: str, gpu: int, *, age_s: float = 0, **columns: Any) -> None:
        """Store a slow reading of one accelerator."""
        self.connection.execute(
            "select make_partition('slow_samples', %(now)s::timestamptz - interval '1 hour', "
            "%(now)s::timestamptz + interval '1 hour') "
            "where to_regclass('timescaledb_information.hypertables') is null",
            {"now": self.clock.now},
        )
        time = self.clock.now - timedelta(seconds=age_s)
        gpu_id = self.gpus[host][gpu]
        self._insert("slow_samples", time=time, gpu_id=gpu_id, returning="gpu_id", **columns)

    def silence(
        self, *, rule: str | None = None, facility: str | None = None, host: str | None = None,
        seconds: float = 600, author: str = "ann",
    ) -> None:  # fmt: skip
        self.connection.execute(
            "insert into silences (rule, facility_id, host_id, author, comment, starts_at, "
            "ends_at) values (%s, %s, %s, %s, 'works', %s, %s)",
            (
                rule, facility and self.facility(facility), host and self.hosts[host], author,
                self.clock.now, self.clock.now + timedelta(seconds=seconds),
            ),
        )  # fmt: skip

    def can(self, host: str, **most: int) -> None:
        """Say what a host's accelerators can do at most."""
        for name, value in most.items():
            self.connection.execute(
                sql.SQL("update accelerators set {} = %s where host_id = %s").format(
                    sql.Identifier(name)
                ),
                (value, self.hosts[host]),
            )

    def missing(self, host: str, gpu: int) -> None:
        """Take an accelerator out of its host's inventory."""
        self.connection.execute(
            "update accelerators set present = false, inventory_time = %s where gpu_id = %s",
            (self.clock.now, self.gpus[host][gpu]),
        )

    def seat(self, host: str, gpu: int) -> None:
        """Put another accelerator where one is missing."""
        self._insert(
            "accelerators", host_id=self.hosts[host], uuid=uuid.uuid4(), index=gpu,
            pci_address=f"0000:{gpu:02x}:00.0", returning="gpu_id",
        )  # fmt: skip

    def agent(self, host: str, sample_interval_ms: int) -> None:
        self.connection.execute(
            "insert into agent_state (host_id, time, boot_epoch, agent_version, "
            "sample_interval_ms, tick_duration_us, spool_messages, spool_bytes, resident_bytes) "
            "values (%s, %s, 1, '0', %s, 0, 0, 0, 0)",
            (self.hosts[host], self.clock.now, sample_interval_ms),
        )

    def collector(
        self, *, reported_age_s: float = 0, up_s: float = 3600, waiting_for: str | None = None
    ) -> None:
        self.connection.execute(
            "insert into collectors (instance, started_at, reported_at, version, rows_stored, "
            "messages_stored, messages_repeated, messages_quarantined, values_out_of_range, "
            "rows_per_second, commit_seconds, waiting_for) "
            "values ('c1', %s, %s, '0', 0, 0, 0, 0, 0, 0, 0, %s) "
            "on conflict (instance) do update set started_at = excluded.started_at, "
            "reported_at = excluded.reported_at, waiting_for = excluded.waiting_for",
            (
                self.clock.now - timedelta(seconds=up_s),
                self.clock.now - timedelta(seconds=reported_age_s), waiting_for,
            ),
        )  # fmt: skip

    def identity(self, host: str, reason: str) -> None:
        """Messages in a host's name that no key stands for, or that two machines send."""
        self.connection.execute(
            "insert into identity_findings (tenant, facility, host, reason, host_id, first_at, "
            "last_at, messages, refused, detail) "
            "values (%s, 'east', %s, %s, %s, %s, %s, 1, true, '') "
            "on conflict (tenant, facility, host, reason) do update set "
            "last_at = excluded.last_at",
            (
                "lab" if host else "", host, reason, self.hosts.get(host),
                self.clock.now, self.clock.now,
            ),
        )  # fmt: skip

    def no_collector(self) -> None:
        """A collector that is stopped takes its row away."""
        self.connection.execute("delete from collectors")

    def behind(self, topic: str, messages: int) -> None:
        self.connection.execute(
            "insert into stream_offsets (topic_id, partition, topic, next_offset, owner_epoch, "
            "end_offset) values (%s, 0, %s, 1000, 1, %s) "
            "on conflict (topic_id, partition) do update set end_offset = excluded.end_offset",
            (topic, topic, 1000 + messages),
        )

    def queue(
        self, facility: str, host: str, queue: str, waiting: float, *, age_s: float = 0,
        gpus_waiting: float | None = None,
    ) -> None:  # fmt: skip
        time = self.clock.now - timedelta(seconds=age_s)
        facility_id = self.facility(facility)
        self.connection.execute(
            "insert into queue_samples (time, facility_id, host_id, source, queue, unit, waiting, "
            "gpus_waiting) values (%s, %s, %s, 'slurm', %s, 'jobs', %s, %s)",
            (time, facility_id, self.hosts[host], queue, waiting, gpus_waiting),
        )
        self.connection.execute(
            "insert into queue_state (facility_id, source, queue, time, unit, waiting, "
            "gpus_waiting) values (%s, 'slurm', %s, %s, 'jobs', %s, %s) "
            "on conflict (facility_id, source, queue) do update set time = excluded.time, "
            "waiting = excluded.waiting, gpus_waiting = excluded.gpus_waiting",
            (facility_id, queue, time, waiting, gpus_waiting),
        )

    def _insert(self, table: str, returning: str, **values: Any) -> int:
        statement = sql.SQL("insert into {} ({}) values ({}) returning {}").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
            sql.Identifier(returning),
        )
        row = self.connection.execute(statement, list(values.values())).fetchone()
        assert row is not None
        return int(row[returning])


@dataclass
class Bench:
    """An evaluator on a fleet on paper."""

    ledger: Ledger
    clock: TestClock
    connection: Connection
    engine: Engine
    lease: Lease
    settings: AlertSettings
    passes: list[Pass] = field(default_factory=list)

    def make_fleet(self, *, facilities: int = 1, hosts: int = 4, gpus: int = 2) -> None:
        """Make facilities f0, f1 … with hosts f0h0, f0h1 … and a first pass over them."""
        for facility in range(facilities):
            for host in range(hosts):
                self.ledger.host(f"f{facility}", f"f{facility}h{host}", gpus, rack=f"r{host}")
        self.ledger.all_well()
        self.run()

    def run(self, seconds: float = 0, *, on_data: bool = True) -> Pass:
        """Let time go by, then make a pass."""
        self.clock.seconds += seconds
        self.passes.append(self.engine.run_pass(self.connection, on_data=on_data))
        return self.passes[-1]

    def live(self, seconds: float, **odd: Any) -> Pass:
        """Let time go by with every host reporting, the first one oddly, then make a pass."""
        self.clock.seconds += seconds
        self.ledger.all_well()
        if odd:
            self.ledger.state(next(iter(self.ledger.hosts)), **odd)
        return self.run()

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        return self.connection.execute(query.encode(), parameters).fetchall()

    def states(self, rule: str) -> dict[str, str]:
        """State of each open alert of a rule, by `host/gpu`, `host`, facility or key."""
        rows = self.rows(
            "select labels, key, state from alerts where rule = %s and state <> 'resolved'", rule
        )
        return {subject(row["labels"], row["key"]): row["state"] for row in rows}

    def notices(self) -> list[dict[str, Any]]:
        """Messages in the outbox, oldest first."""
        rows = self.rows("select body::jsonb as body from outbox order by message_id")
        return [row["body"] for row in rows]

    def kinds(self) -> list[tuple[str, str, bool]]:
        """Rule, kind and whether it rings, of every notice."""
        return [(each["rule"], each["kind"], each["page"]) for each in self.notices()]

    def pages(self) -> list[dict[str, Any]]:
        return [notice for notice in self.notices() if notice["page"]]


def subject(labels: dict[str, Any], key: str) -> str:
    """What a test calls an alert's subject."""
    if "gpu_index" in labels:
        return f"{labels['host']}/{labels['gpu_index']}"
    if "queue=" in key:
        return key.rsplit("queue=", 1)[1]
    return str(labels.get("host") or labels.get("facility") or key)


def apply_schema(url: str, tier: str) -> None:
    with connect(url, "test schema") as connection:
        for migration in migrations(tier):
            connection.execute(migration.text)


@pytest.fixture(scope="session")
def alerts_template(database_server: DatabaseServer) -> Iterator[str]:
    url = database_server.create()
    apply_schema(url, database_server.tier)
    yield url
    database_server.drop(url)


@pytest.fixture
def alerts_url(alerts_template: str, make_database: Callable[..., str]) -> str:
    """A database of one's own with the schema in it."""
    return make_database(alerts_template)


@pytest.fixture
def make_bench(alerts_url: str) -> Iterator[Callable[..., Bench]]:
    opened: list[Connection] = []

    def make(rule_set: RuleSet | None = None, **settings: Any) -> Bench:
        clock = TestClock()
        connection = connect(alerts_url, "test")
        opened.append(connection)
        record = AlertSettings(database_url=alerts_url, **settings)
        lease = Lease(f"test-{len(opened)}", record.lease_s)
        assert lease.acquire(connection)
        engine = Engine(rule_set or load_rules(), record, lease, clock)
        engine.start(connection, load_policy().rows())
        return Bench(Ledger(connection, clock), clock, connection, engine, lease, record)

    yield make
    for connection in opened:
        connection.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()
