"""The picture of the fleet follows the database: what changed is read once it is visible."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow

from benchmarks.fleet_rows import FleetRows, Shape
from dashboard.queries import Queries
from dashboard.settings import DashboardSettings
from dashboard.watch import Watch
from simulator.services.postgres import Postgres
from telemetry.clock import SystemClock
from tests.fix_dashboard_data import make_schema
from tests.fix_services import DatabaseServer

SHAPE = Shape(gpus=128, facilities=2)
Connection = psycopg.Connection[TupleRow]


class Counting:
    """The real queries, and how many hosts' readings each look brought."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self.read: list[int] = []

    async def rows(
        self, file: str, name: str, parameters: Mapping[str, Any] | None = None
    ) -> list[Any]:
        found = await self._queries.rows(file, name, parameters)
        if name == "readings":
            self.read.append(sum(len(row.host_ids) for row in found))
        return found


Scene = Callable[[Watch, Counting, Connection], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseServer]:
    with Postgres(durable=False) as database:
        yield DatabaseServer("postgres", database.address)


@pytest.fixture(scope="module")
def filled(server: DatabaseServer) -> str:
    """A database with two facilities of eight hosts each."""
    url = server.create()
    make_schema(url)
    with psycopg.connect(url, autocommit=True) as connection:
        FleetRows(connection, SHAPE).make_places()
    return url


@pytest.fixture
def address(server: DatabaseServer, filled: str) -> Iterator[str]:
    url = server.create(filled)
    yield url
    server.drop(url)


@pytest.fixture
def play(address: str) -> Callable[[Scene], None]:
    """Play a scene on the fleet, in a database of its own."""

    async def run(scene: Scene) -> None:
        queries = Queries(DashboardSettings(database_url=address))
        await queries.open()
        try:
            counting = Counting(queries)
            watch = Watch(counting, SystemClock())
            with psycopg.connect(address, autocommit=True) as connection:
                await scene(watch, counting, connection)
        finally:
            await queries.close()

    return lambda scene: asyncio.run(run(scene))


def warm(connection: Connection, host: int, celsius: int) -> None:
    connection.execute(
        "update host_state set temperature_gpu_celsius = array_fill(%s::smallint, array[8])"
        " where host_id = (select host_id from hosts order by host_id offset %s limit 1)",
        (celsius, host),
    )


def heat(watch: Watch) -> set[float]:
    return set(watch.picture.readings["temperature_gpu_celsius"].tolist())


def test_the_first_look_reads_everything_and_the_next_what_changed(play: Any) -> None:
    async def scene(watch: Watch, counting: Counting, connection: Connection) -> None:
        await watch.refresh()
        assert len(watch.picture.gpu_ids) == SHAPE.gpus_made
        assert (watch.picture.readings["power_milliwatts"] > 0).all()
        warm(connection, host=3, celsius=99)
        await watch.refresh()
        assert 99 in heat(watch)
        await watch.refresh()
        assert counting.read == [16, 1, 0]

    play(scene)


def test_what_a_long_transaction_wrote_is_seen_when_it_ends(play: Any, address: str) -> None:
    async def scene(watch: Watch, counting: Counting, connection: Connection) -> None:
        await watch.refresh()
        with psycopg.connect(address) as slow:
            warm(slow, host=1, celsius=98)
            for celsius in (96, 97):
                warm(connection, host=2, celsius=celsius)
                await watch.refresh()
            assert 98 not in heat(watch)
        await watch.refresh()
        assert {97, 98} <= heat(watch)

    play(scene)


def test_an_accelerator_that_comes_with_an_old_inventory_is_seen(play: Any) -> None:
    async def scene(watch: Watch, counting: Counting, connection: Connection) -> None:
        await watch.refresh()
        connection.execute(
            "update hosts set inventory_time = '2020-01-01' where host_id ="
            " (select min(host_id) from hosts)"
        )
        connection.execute(
            "update accelerators set present = false where gpu_id ="
            " (select min(gpu_id) from accelerators)"
        )
        watch._due_s["inventory"] = 0.0
        await watch.refresh()
        assert int((~watch.picture.present).sum()) == 1

    play(scene)


def test_a_database_that_went_back_is_read_anew(play: Any) -> None:
    async def scene(watch: Watch, counting: Counting, connection: Connection) -> None:
        await watch.refresh()
        watch._horizon += 1_000_000  # as if an older backup had been restored since
        watch._readings_since = str(watch._horizon)
        await watch.refresh()
        assert counting.read == [16, 16]

    play(scene)


def test_readings_of_a_facility_not_read_yet_are_there_once_it_is(play: Any) -> None:
    async def scene(watch: Watch, counting: Counting, connection: Connection) -> None:
        facilities = await counting.rows("picture", "facilities")
        watch._due_s["facilities"] = float("inf")
        watch.picture.set_facilities(facilities[:1])
        await watch.refresh()
        assert len(watch.picture.gpu_ids) == SHAPE.gpus_made // 2
        watch.picture.set_facilities(facilities)
        await watch.refresh()
        assert (watch.picture.readings["power_milliwatts"] > 0).all()
        assert counting.read == [16, 8]

    play(scene)
