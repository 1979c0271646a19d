"""The dashboard's side of the database: read-only, bounded in time and in connections.

Owns the pool, for whose eyes a query is, and the translation of errors; the statements are named
blocks of `sql/queries/dashboard_*.sql`. Everything above this file sees rows or a `RetryableError`.
Whoever the pool connects as, a query runs as the role that may read and nothing else, and row
security leaves out what is not for the audience.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

import sql
from dashboard.access.identity import Audience, Role
from dashboard.settings import DashboardSettings
from telemetry.clock import Clock, SystemClock
from telemetry.errors import RetryableError

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 3
REFUSE_S = 2.0

Parameters = Mapping[str, Any]
Connection = psycopg.AsyncConnection[Any]

_ENTER = sql.queries("dashboard_access")["enter"]
# Queries that nobody waits for any more, until they have ended.
_ENDING: set["asyncio.Task[list[Any]]"] = set()


class DatabasePool:
    """Connections that open by themselves and come back by themselves."""

    def __init__(self, settings: DashboardSettings, clock: Clock) -> None:
        # The settings of a session, sent with the connection: the server enforces them.
        options = (
            "-c default_transaction_read_only=on"
            f" -c statement_timeout={settings.statement_timeout_ms}"
            # A table that takes no row security has a view of its name there.
            " -c search_path=visible,public"
            " -c timezone=UTC -c application_name=fleetgauge-dashboard -c jit=off"
        )
        self._clock = clock
        self._refuse_until_s = 0.0
        self._pool = AsyncConnectionPool(
            settings.database_url,
            kwargs={
                "autocommit": True,
                "row_factory": namedtuple_row,
                "options": options,
                "connect_timeout": CONNECT_TIMEOUT_S,
                "keepalives_idle": 10,
            },
            min_size=1,
            max_size=settings.database_connections_max,
            timeout=CONNECT_TIMEOUT_S,
            reconnect_timeout=0,
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    async def open(self) -> None:
        """Start connecting in the background; a database that is away is waited for."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close(timeout=2)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection.

        Raises:
            RetryableError: there is none in time, or it broke.
        """
        if self._clock.monotonic_s() < self._refuse_until_s:
            raise RetryableError("the database does not answer")
        try:
            async with self._pool.connection() as connection:
                yield connection
        except PoolTimeout as error:
            # One has waited in vain: for a moment the others need not, or a page of several
            # queries would take as many time-outs to show what it has in memory.
            self._refuse_until_s = self._clock.monotonic_s() + REFUSE_S
            raise RetryableError("the database does not answer") from error
        except psycopg.OperationalError as error:
            raise RetryableError("the connection to the database broke") from error


class Queries:
    """Named queries, for one audience."""

    def __init__(
        self,
        settings: DashboardSettings,
        clock: Clock | None = None,
        *,
        audience: Audience | None = None,
        pool: DatabasePool | None = None,
    ) -> None:
        self._settings = settings
        self._pool = pool or DatabasePool(settings, clock or SystemClock())
        self._audience = {
            "tenant": (audience or Audience()).tenant,
            "facility": (audience or Audience()).facility,
            "role": str(Role.VIEWER if (audience or Audience()).names else Role.LANDLORD),
        }

    def seen_by(self, audience: Audience) -> "Queries":
        """Return the same for another audience, on the same connections."""
        return Queries(self._settings, audience=audience, pool=self._pool)

    async def open(self) -> None:
        """Start connecting in the background; a database that is away is waited for."""
        await self._pool.open()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def rows(self, file: str, name: str, parameters: Parameters | None = None) -> list[Any]:
        """Run one named query and return its rows as named tuples; it ends with who waits for it.

        Raises:
            RetryableError: the database is away, too slow, or lacks a table that is to come.
        """
        asking = asyncio.create_task(self._ask(file, name, parameters))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            # Once, and not as often as a task group would: or else psycopg could neither stop the
            # statement nor give its connection back.
            asking.cancel()
            asking.add_done_callback(_ENDING.discard)
            _ENDING.add(asking)
            raise

    async def _ask(self, file: str, name: str, parameters: Parameters | None) -> list[Any]:
        statement = sql.queries(f"dashboard_{file}")[name]
        async with self._pool.connection() as connection:
            try:
                # One round trip for three statements, and one for the end.
                async with connection.pipeline(), connection.transaction():
                    await connection.execute(_ENTER, self._audience)
                    cursor = await connection.execute(statement, parameters or {}, binary=True)
                    return await cursor.fetchall()
            except psycopg.errors.QueryCanceled as error:
                raise RetryableError(f"the query {name} took too long and was stopped") from error
            except (
                psycopg.errors.UndefinedTable,
                psycopg.errors.UndefinedColumn,
                psycopg.errors.InvalidParameterValue,  # a role that is not there
            ) as error:
                raise RetryableError(
                    "the schema is not there yet: run `fleetgauge migrate`"
                ) from error
