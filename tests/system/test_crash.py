"""Nothing lost, nothing twice, while everything is being killed at random.

An independent tally, written by `tallying_agent.py`, is compared with what the database holds.
The seed is printed; `FLEETGAUGE_TORTURE_SEED` repeats it. A run takes
`FLEETGAUGE_TORTURE_SECONDS`.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from simulator.services.postgres import Cluster
from tests.fix_proxy import ProxiedBroker, Proxy

HOSTS = ("alpha", "beta")
SECONDS = float(os.environ.get("FLEETGAUGE_TORTURE_SECONDS", "45"))
SEED = int(os.environ.get("FLEETGAUGE_TORTURE_SEED", str(random.randrange(10**9))))
DRAIN_S = 120.0
ACCELERATORS = 2

Row = tuple[str, int, int, int | None]  # host, microseconds, position of the accelerator, power


@dataclass
class Program:
    """A process that is killed and started again."""

    argv: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, stdout=log, stderr=log, env=os.environ | self.environment
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def running(program: Program) -> Iterator[Program]:
    program.start()
    try:
        yield program
    finally:
        program.kill()


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.timeout(SECONDS + DRAIN_S + 120)
def test_what_was_spooled_is_stored_once_while_everything_is_killed(
    private_database: Cluster,
    proxied_broker: ProxiedBroker,
    topic_prefix: str,
    proxy_to: Callable[[str], Proxy],
) -> None:
    print(f"seed {SEED}, {SECONDS:.0f} s")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = {
            "FLEETGAUGE_DATABASE_URL": private_database.address,
            "FLEETGAUGE_KAFKA_BOOTSTRAP": proxied_broker.proxy.address,
            "FLEETGAUGE_KAFKA_TOPIC_PREFIX": topic_prefix,
        }
        fleetgauge = str(Path(sys.executable).with_name("fleetgauge"))
        subprocess.run(
            [fleetgauge, "migrate"], env=os.environ | environment, check=True, timeout=60
        )
        collector = stack.enter_context(
            running(Program([fleetgauge, "collector"], folder / "collector.log", environment))
        )
        script = str(Path(__file__).with_name("tallying_agent.py"))
        bootstrap = proxied_broker.proxy.address
        agents = [
            stack.enter_context(
                running(
                    Program(
                        [sys.executable, script, host, bootstrap, topic_prefix, str(folder)],
                        folder / f"{host}.log",
                    )
                )
            )
            for host in HOSTS
        ]
        done = wreck(agents, collector, private_database, proxied_broker.proxy)
        time.sleep(5.0)  # the ones killed last are starting
        for agent in agents:
            assert agent.terminate() == 0, agent.log.read_text()[-3000:]
        intended, kept = read_tally(folder)
        report = f"seed {SEED}: {dict(done)}; {len(kept)} rows kept"
        print(report)
        assert len(kept) > 100, report
        wait_until_stored(private_database.address, kept, collector)
        compare(private_database.address, intended, kept, report)
        # The whole log once more, as after a restore of the broker's or the consumer's state.
        collector.kill()
        rewind(private_database.address)
        collector.start()
        wait_until_read(private_database.address, collector)
        compare(private_database.address, intended, kept, report + ", after a replay of the log")
        check_books(private_database.address)


def wreck(
    agents: list[Program], collector: Program, database: Cluster, broker: Proxy
) -> Counter[str]:
    """Kill, restart, cut and heal at random for `SECONDS`; leave everything running."""
    chance = random.Random(SEED)
    done: Counter[str] = Counter({"agent": 0, "collector": 0, "database": 0, "broker": 0})
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or min(done.values()) == 0:
        time.sleep(chance.uniform(0.3, 2.5))
        victim = chance.choice(list(done))
        if victim == "agent":
            agent = chance.choice(agents)
            agent.kill()
            time.sleep(chance.uniform(0.0, 1.0))
            agent.start()
        elif victim == "collector":
            collector.kill()
            time.sleep(chance.uniform(0.0, 1.0))
            collector.start()
        elif victim == "database":
            database.kill()
            time.sleep(chance.uniform(0.0, 1.0))
            database.start()
        else:
            chance.choice([broker.cut, broker.stall, broker.mute])()
            time.sleep(chance.uniform(0.1, 2.0))
            broker.cut()
            broker.heal()
        done[victim] += 1
    return done


def compare(database_url: str, intended: list[Row], kept: list[Row], report: str) -> None:
    """What is stored is what was spooled: all of it, once, and nothing else."""
    stored = read_stored(database_url)
    lost, twice = set(kept) - set(stored), [row for row, n in stored.items() if n > 1]
    invented = set(stored) - set(intended)
    assert not lost, f"{report}; lost {sorted(lost)[:5]} of {len(lost)}"
    assert not twice, f"{report}; twice {sorted(twice)[:5]} of {len(twice)}"
    assert not invented, f"{report}; invented {sorted(invented)[:5]} of {len(invented)}"


def read_tally(folder: Path) -> tuple[list[Row], list[Row]]:
    """Return the rows that were about to be spooled, and those that were."""
    rows: dict[str, list[Row]] = {"intent": [], "kept": []}
    for host in HOSTS:
        for line in (folder / f"{host}.tally").read_text().splitlines():
            word, time_us, powers = json.loads(line)
            rows[word] += [(host, time_us, at, power) for at, power in enumerate(powers)]
    assert len(set(rows["kept"])) == len(rows["kept"])
    return rows["intent"], rows["kept"]


def wait_until_stored(database_url: str, kept: list[Row], collector: Program) -> None:
    """Wait until there are as many rows as there should be and their number stands still."""
    end, before, still = time.monotonic() + DRAIN_S, -1, 0
    while time.monotonic() < end and still < 5:
        time.sleep(1.0)
        assert collector.process is not None
        assert collector.process.poll() is None, "the collector has ended"
        with psycopg.connect(database_url) as connection:
            count = connection.execute("select count(*) from samples").fetchone()
        assert count is not None
        still = still + 1 if count[0] == before and count[0] >= len(kept) else 0
        before = count[0]


def rewind(database_url: str) -> None:
    """Forget which part of the log was read."""
    with psycopg.connect(database_url) as connection:
        connection.execute("update stream_offsets set next_offset = 0")


def wait_until_read(database_url: str, collector: Program) -> None:
    """Wait until every partition was read to its end again."""
    end, behind = time.monotonic() + DRAIN_S, True
    while time.monotonic() < end and behind:
        time.sleep(1.0)
        assert collector.process is not None
        assert collector.process.poll() is None, "the collector has ended"
        with psycopg.connect(database_url) as connection:
            rows = connection.execute(
                "select 1 from stream_offsets where next_offset < end_offset"
            ).fetchall()
        behind = bool(rows)
    assert not behind


def read_stored(database_url: str) -> Counter[Row]:
    with psycopg.connect(database_url) as connection:
        return Counter(
            connection.execute(
                "select h.host, (extract(epoch from s.time) * 1000000)::bigint, a.index::integer,"
                " s.power_milliwatts from samples s join accelerators a using (gpu_id)"
                " join hosts h using (host_id)"
            ).fetchall()
        )


def check_books(database_url: str) -> None:
    """What the product says of itself agrees: no gap is left open in any stream of any host."""
    with psycopg.connect(database_url) as connection:
        gaps = connection.execute("select * from sequence_gaps where reason is null").fetchall()
        quarantined = connection.execute("select reason, detail from quarantine").fetchall()
    assert gaps == []
    assert quarantined == []
