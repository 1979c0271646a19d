"""Real databases and brokers for tests.

FLEETGAUGE_TEST_SERVICES names how many:
- `embedded` (the default): PostgreSQL and the in-memory broker from PyPI wheels; what more is
  wanted and absent is skipped, with the reason.
- `all`: every test also runs on TimescaleDB and Apache Kafka; what is absent is an error.
A test that takes both a database and a broker runs on two pairs, not on all four combinations.
FLEETGAUGE_TEST_TIMESCALE_URL adds a server that is there already, a superuser's URL: the timescale
tier, which no package that could be installed here offers with COPY.

A test gets a fresh empty database (`postgres_url`) and a topic prefix of its own on servers that
live as long as the run. A test that kills takes `private_database` or `private_broker`.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from typing import NoReturn
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from simulator.services import Service
from simulator.services.broker import Broker
from simulator.services.kafka import Kafka
from simulator.services.pglite import Pglite
from simulator.services.place import ServiceError
from simulator.services.postgres import Cluster, Postgres
from simulator.services.timescale import Timescale

SERVICES = os.environ.get("FLEETGAUGE_TEST_SERVICES", "embedded")
TIMESCALE_URL = os.environ.get("FLEETGAUGE_TEST_TIMESCALE_URL", "")
if SERVICES not in {"embedded", "all"}:
    raise pytest.UsageError(f"FLEETGAUGE_TEST_SERVICES={SERVICES}: use embedded or all")

DATABASES: dict[str, Callable[[], Cluster]] = {"postgres": lambda: Postgres(durable=False)}
BROKERS: dict[str, Callable[[], Service]] = {"tansu": Broker}
if SERVICES == "all":
    DATABASES["timescale-apache"] = lambda: Timescale(durable=False)
    BROKERS["kafka"] = Kafka
PAIRS = {("postgres", "tansu"), ("timescale-apache", "kafka"), ("timescale", "tansu")}


class DatabaseServer:
    """A running server of one storage tier that makes and drops databases.

    Attributes:
        tier: `postgres`, `timescale-apache` or `timescale`; in the latter the extension is there.
        address: libpq URL of the superuser's own database.
    """

    def __init__(self, tier: str, address: str) -> None:
        self.tier = tier
        self.address = address

    def create(self, template: str | None = None) -> str:
        """Make a database, empty or a copy of the one at URL `template`; return its URL.

        Nobody may be connected to the template. The last part of the URL is the database's name.
        """
        name = f"test_{uuid.uuid4().hex[:12]}"
        model = urlsplit(template).path[1:] if template else "template1"
        statement = sql.SQL("create database {} template {}")
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(model)))
        url = urlsplit(self.address)._replace(path=f"/{name}").geturl()
        if self.tier.startswith("timescale") and template is None:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("create extension timescaledb")
        return url

    def drop(self, url: str) -> None:
        """Drop a database, whoever is connected to it."""
        statement = sql.SQL("drop database {} with (force)")
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(urlsplit(url).path[1:])))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    dropped = [item for item in items if not _is_wanted_pair(item)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]


@pytest.fixture(scope="session", params=[*DATABASES, *(["timescale"] if TIMESCALE_URL else [])])
def database_server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    if request.param == "timescale":
        yield DatabaseServer(request.param, TIMESCALE_URL)
        return
    with DATABASES[request.param]() as service:
        yield DatabaseServer(request.param, service.address)


@pytest.fixture
def make_database(database_server: DatabaseServer) -> Iterator[Callable[..., str]]:
    made: list[str] = []

    def make(template: str | None = None) -> str:
        made.append(database_server.create(template))
        return made[-1]

    yield make
    for url in made:
        database_server.drop(url)


@pytest.fixture
def postgres_url(make_database: Callable[..., str]) -> str:
    return make_database()


@pytest.fixture(params=list(DATABASES))
def private_database(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with DATABASES[request.param]() as service:
        yield service


@pytest.fixture(scope="module")
def pglite_url() -> Iterator[str]:
    try:
        with Pglite() as service:
            yield service.address
    except ServiceError as error:
        skip_or_fail(str(error))


@pytest.fixture(scope="session", params=list(BROKERS))
def broker(request: pytest.FixtureRequest) -> Iterator[str]:
    with BROKERS[request.param]() as service:
        yield service.address


@pytest.fixture
def topic_prefix() -> str:
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture(params=list(BROKERS))
def private_broker(request: pytest.FixtureRequest) -> Iterator[Service]:
    with BROKERS[request.param]() as service:
        yield service


def skip_or_fail(reason: str) -> NoReturn:
    """Skip what a plain machine may lack; fail where everything was asked for."""
    if SERVICES == "all":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _is_wanted_pair(item: pytest.Item) -> bool:
    """Whether a test with a database and a broker has one of the pairs it should run on."""
    spec = getattr(item, "callspec", None)
    params = spec.params if spec is not None else {}
    database = params.get("database_server", params.get("private_database"))
    queue = params.get("broker", params.get("private_broker", params.get("proxied_broker")))
    return database is None or queue is None or (database, queue) in PAIRS
