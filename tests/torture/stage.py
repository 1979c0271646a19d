"""Everything that a run has: the services, the ways between them and the programs.

Owns their making and ending, and that all is in order again after the faults. How a fault is done
is in the file of its target (`database_faults.py` and its like); which fault, when and to whom is
the schedule's.
"""

import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from simulator.services.broker import Broker
from simulator.services.kafka import Kafka
from simulator.services.postgres import Cluster, Postgres
from simulator.services.timescale import Timescale
from tests.fix_proxy import Proxy
from tests.torture import mutants, programs
from tests.torture.broker_faults import BrokerFaults, LogFaults
from tests.torture.database_faults import DatabaseFaults
from tests.torture.group_faults import GroupFaults
from tests.torture.program_faults import ProgramFaults, RouteFaults
from tests.torture.schedule import Fault, Schedule

PREFIX = "torture"
SESSION_TIMEOUT_MS = 3000
STACKS: dict[str, tuple[type[Postgres | Timescale], type[Broker | Kafka]]] = {
    "light": (Postgres, Broker),
    "full": (Timescale, Kafka),
}
# Who does the faults of a target: `begin_<what>`, and `end_<what>` where they have an end.
FAULTS: dict[str, type[Any]] = {
    "agent": ProgramFaults,
    "collector": ProgramFaults,
    "group": GroupFaults,
    "route": RouteFaults,
    "database": DatabaseFaults,
    "broker": BrokerFaults,
    "log": LogFaults,
}


class Stage:
    """One run's processes. Entering starts all of it; leaving ends all of it."""

    def __init__(self, schedule: Schedule, stack: str, folder: Path, mutant: str = "") -> None:
        make_database, make_broker = STACKS[stack]
        self._schedule = schedule
        self._folder = folder
        self._mutant = mutant
        self._exits = ExitStack()
        self._broker_proxy = Proxy()
        self.database: Cluster = make_database(durable=False)
        self.broker = make_broker(advertised=self._broker_proxy.address)
        self._broker_proxy.upstream = self.broker.address
        self._routes: list[Proxy] = []
        self.agents: list[programs.Program] = []
        self.collectors: list[programs.Program] = []
        self._database_faults = DatabaseFaults(self.database)
        self._faults: dict[str, Any] = {}

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            exits.enter_context(self.database)
            exits.enter_context(self.broker)
            exits.callback(self._broker_proxy.close)
            for _ in range(self._schedule.collectors):
                self._routes.append(Proxy(self.database.address.rpartition("@")[2].split("/")[0]))
                exits.callback(self._routes[-1].close)
            self._make_programs()
            self._make_faults()
            exits.callback(self._end_programs)
            for program in (*self.agents, *self.collectors):
                program.start()
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @property
    def url(self) -> str:
        """The database, past all proxies."""
        return self.database.address

    @property
    def broker_address(self) -> str:
        """The way to the broker that all clients take."""
        return self._broker_proxy.address

    def begin(self, fault: Fault) -> None:
        """Let a fault happen."""
        self._do("begin", fault)

    def end(self, fault: Fault) -> None:
        """Undo it, as far as it has an end."""
        self._do("end", fault)

    def heal(self) -> None:
        """Undo what may still be on, and start what is down."""
        self._database_faults.end_lock(0)
        for proxy in (self._broker_proxy, *self._routes):
            proxy.heal()
        programs.signal_family(self.database.pid, signal.SIGCONT)
        programs.signal_family(self.broker.pid, signal.SIGCONT)
        for service in (self.database, self.broker):
            if service.pid is None:
                service.start()
        for program in (*self.agents, *self.collectors):
            program.thaw()
            program.start()

    def _do(self, word: str, fault: Fault) -> None:
        faults = self._faults[fault.kind.target]
        act: Callable[..., None] | None = getattr(faults, f"{word}_{fault.kind.what}", None)
        if act is not None:
            act(*faults.arguments(fault))

    def _make_faults(self) -> None:
        log = (self.url, self.broker_address, PREFIX)
        self._faults = {
            "agent": ProgramFaults(self.agents),
            "collector": ProgramFaults(self.collectors),
            "group": GroupFaults((self.agents, self.collectors), self._hold, *log),
            "route": RouteFaults(self._routes, self.collectors),
            "database": self._database_faults,
            "broker": BrokerFaults(self.broker, self._broker_proxy),
            "log": LogFaults(*log),
        }

    def _make_programs(self) -> None:
        environment = {
            "FLEETGAUGE_KAFKA_BOOTSTRAP": self._broker_proxy.address,
            "FLEETGAUGE_KAFKA_TOPIC_PREFIX": PREFIX,
            "FLEETGAUGE_TOPIC_PARTITIONS": str(self._schedule.partitions),
            "FLEETGAUGE_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
            "FLEETGAUGE_COMMIT_INTERVAL_MS": str(self._schedule.commit_interval_ms),
            "FLEETGAUGE_BACKLOG_SPLIT_MESSAGES": "1",  # so that almost every claim has two lanes
        }
        if self._schedule.statement_timeout_s is not None:
            timeout_s = str(self._schedule.statement_timeout_s)
            environment["FLEETGAUGE_STATEMENT_TIMEOUT_S"] = timeout_s
        migrate = programs.Program(
            "migrate",
            [programs.FLEETGAUGE, "migrate"],
            self._folder / "migrate.log",
            {**environment, "FLEETGAUGE_DATABASE_URL": self.url},
        )
        if migrate.run() != 0:
            raise RuntimeError(f"migrate failed: {migrate.last_words()}")
        self._database_faults.begin_backup(0)
        self.collectors = programs.collectors(
            [route.url(self.url) for route in self._routes],
            self._folder,
            environment,
            mutant=self._mutant if self._mutant in mutants.COLLECTORS else "",
            hold=self._hold if self._schedule.holds else None,
        )
        self.agents = programs.agents(
            self._schedule.agents,
            self._folder,
            self._broker_proxy.address,
            PREFIX,
            self._mutant if self._mutant in mutants.AGENTS else "",
        )

    def _end_programs(self) -> None:
        for program in (*self.agents, *self.collectors):
            program.kill()

    @property
    def _hold(self) -> Path:
        return self._folder / "hold"
