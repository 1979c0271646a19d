"""Everything on one machine: database, broker, all programs, and facilities to look at.

Owns the order of the start, the wait for live pages, and the end. What is shown is `demo_plan`;
keeping it running is `supervisor`; services are `simulator.services`.
"""

import fcntl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from collector import database, migrate, topics
from collector.settings import MigrateSettings
from simulator.demo_plan import Facility, facilities
from simulator.services.broker import Broker
from simulator.services.postgres import Postgres
from simulator.supervisor import Program, Supervisor
from sql import queries
from telemetry.clock import Clock
from telemetry.errors import ConfigError, RetryableError
from telemetry.stop import StopSignal

PATIENCE_S = 60.0
POLL_S = 0.2
STATEMENT_TIMEOUT_S = 60
SESSION_TIMEOUT_MS = 3000
COLLECTOR = "collector"


class DemoBroker(Broker):
    """The in-memory broker, which needs its topics made anew after each start."""

    def __init__(self, folder: Path, make_topics: Callable[[str], None]) -> None:
        super().__init__(folder)
        self._make_topics = make_topics

    def start(self) -> None:
        """Start an empty broker and give it the topics."""
        super().start()
        self._make_topics(self.address)


class Demo:
    """One run of the demo.

    Attributes:
        say: told what happens, one line each.
    """

    def __init__(
        self, data: Path, port: int, recording: Path, clock: Clock, say: Callable[[str], None]
    ) -> None:
        self._data, self._port, self._clock, self._say = data, port, clock, say
        self._logs = data / "logs"
        self._facilities = facilities(recording, data / "spools")
        self._postgres = Postgres(data / "postgres")
        self._broker = DemoBroker(data / "broker", _make_topics)
        self._supervisor = Supervisor(say)
        self._started_s = clock.monotonic_s()
        self._started_at = datetime.now(tz=UTC)

    @property
    def address(self) -> str:
        """Where the pages are."""
        return f"http://127.0.0.1:{self._port}"

    def run(self, stop: StopSignal) -> None:
        """Start everything, say when it is live, and watch over it until told to stop.

        Raises:
            ConfigError: another demo uses the folder.
            ServiceError: database or broker do not start.
        """
        with ExitStack() as stack:
            stack.enter_context(_lock(self._data))
            self._logs.mkdir(exist_ok=True)
            stack.callback(self._postgres.stop)
            stack.callback(self._broker.stop)
            stack.callback(self._supervisor.stop, last=COLLECTOR)  # it stores the last words
            self._start_services()
            self._start_programs()
            self._wait_until_live(stop)
            # Later than the others: until then every start takes from the first page's time.
            self._start("alerts", ("alerts", "--dashboard-url", self.address))
            while not stop.wait(POLL_S):
                self._supervisor.step(self._clock.monotonic_s())
            self._say("stopping")

    def _start_services(self) -> None:
        """Start database and broker side by side; the pages come up while the schema is made."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            broker = pool.submit(self._broker.start)
            self._postgres.start()
            self._say(f"database ready {self._since()}")
            self._start("dashboard", ("dashboard", "--listen-address", f"127.0.0.1:{self._port}"))
            _make_schema(self._postgres.address, self._facilities)
            self._say(f"schema ready {self._since()}")
            broker.result()
        self._say(f"broker ready {self._since()}")
        now_s = self._clock.monotonic_s()
        for service in (self._postgres, self._broker):
            self._supervisor.watch(service, now_s)

    def _start_programs(self) -> None:
        self._start(COLLECTOR, ("collector", "--session-timeout-ms", str(SESSION_TIMEOUT_MS)))
        for facility in self._facilities:
            self._start(facility.name, facility.words)

    def _start(self, name: str, words: tuple[str, ...]) -> None:
        # The database's password goes through the environment: arguments can be seen by all.
        environment = {
            "FLEETGAUGE_KAFKA_BOOTSTRAP": self._broker.address,
            "FLEETGAUGE_DATABASE_URL": self._postgres.address,
        }
        program = Program(name, words, environment, self._logs)
        self._supervisor.start(program, self._clock.monotonic_s())

    def _wait_until_live(self, stop: StopSignal) -> None:
        """Say the address as soon as there is something to see, and what is still missing."""
        wanted = {facility.name for facility in self._facilities}
        said, announced = set[str](), False
        while not stop.wait(POLL_S):
            self._supervisor.step(self._clock.monotonic_s())
            pages = _answers(f"{self.address}/healthz")
            missing = (wanted - self._live()) | (set() if pages else {"the pages"})
            patient = self._clock.monotonic_s() - self._started_s < PATIENCE_S
            if pages and not announced and (len(missing) < len(wanted) or not patient):
                announced = True
                self._say(f"{self.address} is live {self._since()}")
            if not missing:
                self._say(f"all facilities are live {self._since()}; Ctrl-C ends the demo")
                return
            if missing != said:
                self._say(f"waiting for {', '.join(sorted(missing))}")
                said = missing
            if announced and not patient:
                self._say(f"going on without {', '.join(sorted(missing))}; see {self._logs}")
                return

    def _live(self) -> set[str]:
        try:
            with psycopg.connect(self._postgres.address, connect_timeout=2) as connection:
                parameters = {"since": self._started_at}
                rows = connection.execute(queries("demo")["live_facilities"], parameters)
                return {facility for (facility,) in rows}
        except psycopg.Error:
            return set()

    def _since(self) -> str:
        return f"after {self._clock.monotonic_s() - self._started_s:.1f} s"


def _make_topics(bootstrap: str) -> None:
    settings = MigrateSettings(kafka_bootstrap=bootstrap)
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            topics.ensure_topics(settings)
        except RetryableError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(POLL_S)
        else:
            return


def _make_schema(url: str, entered: list[Facility]) -> None:
    with database.connect(url, "demo", STATEMENT_TIMEOUT_S) as connection:
        migrate.migrate(connection)
    with psycopg.connect(url) as connection:
        for facility in entered:
            connection.execute(queries("demo")["enter_facility"], facility.terms)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def _lock(data: Path) -> Iterator[None]:
    """Make sure that one demo at a time uses the folder."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError([f"{data}:data: another demo uses this folder"]) from None
        yield
