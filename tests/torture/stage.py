"""Everything that a run has, and how each kind of fault is done to it and undone.

Owns the services, the ways between them and the programs. Which fault, when and to whom is the
schedule's.
"""

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import psutil
import psycopg
from psycopg import sql

from simulator.services.broker import Broker
from simulator.services.kafka import Kafka
from simulator.services.postgres import Cluster, Postgres
from simulator.services.timescale import Timescale
from tests.fix_proxy import Proxy
from tests.torture import books, copied_log, mutants, programs
from tests.torture.schedule import LOCKED_TABLES, Fault, Schedule

PREFIX = "torture"
SESSION_TIMEOUT_MS = 3000
SLOW_S = 0.1
SLOW_BYTES_PER_S = 3000.0
STACKS: dict[str, tuple[type[Postgres | Timescale], type[Broker | Kafka]]] = {
    "light": (Postgres, Broker),
    "full": (Timescale, Kafka),
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
        self._lock: psycopg.Connection[tuple[object, ...]] | None = None
        self.agents: list[programs.Program] = []
        self.collectors: list[programs.Program] = []

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            exits.enter_context(self.database)
            exits.enter_context(self.broker)
            exits.callback(self._broker_proxy.close)
            for _ in range(self._schedule.collectors):
                self._routes.append(Proxy(self.database.address.rpartition("@")[2].split("/")[0]))
                exits.callback(self._routes[-1].close)
            self._make_programs()
            exits.callback(self._end_programs)
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
        self._do(f"begin_{fault.kind.name}", fault)

    def end(self, fault: Fault) -> None:
        """Undo it, as far as it has an end."""
        self._do(f"end_{fault.kind.name}", fault)

    def heal(self) -> None:
        """Undo what may still be on, and start what is down."""
        self.end_database_lock()
        for proxy in (self._broker_proxy, *self._routes):
            proxy.heal()
        self._freeze(self.database.pid, signal.SIGCONT)
        self._freeze(self.broker.pid, signal.SIGCONT)
        for service in (self.database, self.broker):
            if service.pid is None:
                service.start()
        for program in (*self.agents, *self.collectors):
            program.thaw()
            program.start()

    def _do(self, name: str, fault: Fault) -> None:
        act: Callable[..., None] | None = getattr(self, name, None)
        if act is None:
            return
        if fault.kind.target == "agent":
            act(self.agents[fault.number])
        elif fault.kind.target == "collector":
            act(self.collectors[fault.number])
        elif fault.kind.target == "route":
            act(self._routes[fault.number], self.collectors[fault.number])
        elif fault.kind.name in {"database_lock", "offsets_back"}:
            act(fault.draw)
        else:
            act()

    # Programs: an agent or a collector.

    def begin_agent_kill(self, program: programs.Program) -> None:
        program.kill()

    def end_agent_kill(self, program: programs.Program) -> None:
        program.start()

    def begin_agent_restart(self, program: programs.Program) -> None:
        if program.is_started:
            program.terminate()

    def begin_agent_freeze(self, program: programs.Program) -> None:
        program.freeze()

    def end_agent_freeze(self, program: programs.Program) -> None:
        program.thaw()

    end_agent_restart = end_agent_kill
    begin_collector_kill, end_collector_kill = begin_agent_kill, end_agent_kill
    begin_collector_restart, end_collector_restart = begin_agent_restart, end_agent_kill
    begin_collector_freeze, end_collector_freeze = begin_agent_freeze, end_agent_freeze

    # A collector's way to the database.

    def begin_route_cut(self, route: Proxy, _: programs.Program) -> None:
        route.cut()

    def begin_route_stall(self, route: Proxy, _: programs.Program) -> None:
        route.stall()

    def begin_route_mute(self, route: Proxy, _: programs.Program) -> None:
        route.mute()

    def begin_route_delay(self, route: Proxy, _: programs.Program) -> None:
        route.delay(SLOW_S)

    def end_route_cut(self, route: Proxy, _: programs.Program) -> None:
        route.heal()

    def end_route_stall(self, route: Proxy, _: programs.Program) -> None:
        route.cut()  # what was held back is lost, as in a partition
        route.heal()

    end_route_mute = end_route_stall
    end_route_delay = end_route_cut

    def begin_route_cut_before_commit(self, route: Proxy, _: programs.Program) -> None:
        route.cut_at(b"COMMIT", passes=False)

    def begin_route_cut_after_commit(self, route: Proxy, _: programs.Program) -> None:
        route.cut_at(b"COMMIT", passes=True)

    def begin_route_kill_at_commit(self, route: Proxy, program: programs.Program) -> None:
        def kill() -> None:
            program.kill()
            program.start()

        route.cut_at(b"COMMIT", passes=True, act=kill)

    # The database.

    def begin_database_kill(self) -> None:
        self.database.kill()

    def end_database_kill(self) -> None:
        self.database.start()

    def begin_database_restart(self) -> None:
        self.database.pause()

    end_database_restart = end_database_kill

    def begin_database_freeze(self) -> None:
        self._freeze(self.database.pid, signal.SIGSTOP)

    def end_database_freeze(self) -> None:
        self._freeze(self.database.pid, signal.SIGCONT)

    def begin_database_lock(self, draw: int) -> None:
        table = LOCKED_TABLES[draw % len(LOCKED_TABLES)]
        statement = sql.SQL("lock table {} in access exclusive mode")
        self._lock = psycopg.connect(self.url, options="-c lock_timeout=3s")
        with contextlib.suppress(psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            self._lock.execute(statement.format(sql.Identifier(table)))

    def end_database_lock(self, _: int = 0) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def begin_database_read_only(self) -> None:
        self._set_read_only("on")

    def end_database_read_only(self) -> None:
        self._set_read_only("off")

    def begin_database_backup(self) -> None:
        """Copy the folder of the stopped cluster."""
        self.begin_database_restart()
        self._copy(self._data, self._backup)
        self.database.start()

    def begin_database_older(self) -> None:
        """Go back to the last backup, as a failover to a copy that lags does."""
        self.database.kill()
        self._copy(self._backup, self._data)
        self.database.start()

    # The broker and its log.

    def begin_broker_cut(self) -> None:
        self._broker_proxy.cut()

    def begin_broker_stall(self) -> None:
        self._broker_proxy.stall()

    def begin_broker_mute(self) -> None:
        self._broker_proxy.mute()

    def begin_broker_throttle(self) -> None:
        self._broker_proxy.throttle(SLOW_BYTES_PER_S)

    def end_broker_cut(self) -> None:
        self._broker_proxy.heal()

    def end_broker_stall(self) -> None:
        self._broker_proxy.cut()
        self._broker_proxy.heal()

    end_broker_mute = end_broker_stall
    end_broker_throttle = end_broker_cut

    def begin_broker_freeze(self) -> None:
        self._freeze(self.broker.pid, signal.SIGSTOP)

    def end_broker_freeze(self) -> None:
        self._freeze(self.broker.pid, signal.SIGCONT)

    def begin_broker_kill(self) -> None:
        self.broker.kill()

    def end_broker_kill(self) -> None:
        self.broker.start()

    def begin_offsets_back(self, draw: int) -> None:
        """Let the collectors read again what they have stored."""
        with contextlib.suppress(psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction):
            books.rewind(self.url, 1 + draw % 50)

    def begin_log_again(self) -> None:
        """Append everything that is in the log to it once more."""
        copied_log.append_again(self._broker_proxy.address, PREFIX)

    # Making and ending.

    def _make_programs(self) -> None:
        environment = {
            "FLEETGAUGE_KAFKA_BOOTSTRAP": self._broker_proxy.address,
            "FLEETGAUGE_KAFKA_TOPIC_PREFIX": PREFIX,
            "FLEETGAUGE_TOPIC_PARTITIONS": str(self._schedule.partitions),
            "FLEETGAUGE_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
            "FLEETGAUGE_COMMIT_INTERVAL_MS": str(self._schedule.commit_interval_ms),
            "FLEETGAUGE_BACKLOG_SPLIT_MESSAGES": "1",  # so that almost every claim has two lanes
        }
        migrate = programs.Program(
            "migrate",
            [programs.FLEETGAUGE, "migrate"],
            self._folder / "migrate.log",
            {**environment, "FLEETGAUGE_DATABASE_URL": self.url},
        )
        if migrate.run() != 0:
            raise RuntimeError(f"migrate failed: {migrate.last_words()}")
        self.begin_database_backup()
        self.collectors = programs.collectors(
            [route.url(self.url) for route in self._routes],
            self._folder,
            environment,
            self._mutant if self._mutant in mutants.COLLECTORS else "",
        )
        self.agents = programs.agents(
            self._schedule.agents,
            self._folder,
            self._broker_proxy.address,
            PREFIX,
            self._mutant if self._mutant in mutants.AGENTS else "",
        )
        for program in (*self.agents, *self.collectors):
            program.start()

    def _end_programs(self) -> None:
        for program in (*self.agents, *self.collectors):
            program.kill()

    @property
    def _data(self) -> Path:
        folder = self.database.folder
        assert folder is not None
        return folder / "data"

    @property
    def _backup(self) -> Path:
        return self._data.with_name("backup")

    def _set_read_only(self, value: str) -> None:
        statement = sql.SQL("alter system set default_transaction_read_only = {}")
        with (
            contextlib.suppress(psycopg.OperationalError),
            psycopg.connect(self.url, autocommit=True) as connection,
        ):
            connection.execute("set default_transaction_read_only = off")
            connection.execute(statement.format(sql.Literal(value)))
            connection.execute("select pg_reload_conf()")

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)

    @staticmethod
    def _freeze(pid: int | None, number: signal.Signals) -> None:
        """Stop or continue a service with all its children, the parent first."""
        if pid is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(pid)
            for process in (parent, *parent.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
