"""The dashboard's side of the database: read-only, bounded in time and in connections.

Owns the pool and the translation of its errors; the statements are named blocks of
`sql/queries/dashboard_*.sql`. Everything above this file sees rows or a `RetryableError`.
"""

import logging
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

import sql
from dashboard.settings import DashboardSettings
from telemetry.clock import Clock, SystemClock
from telemetry.errors import RetryableError

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 3
REFUSE_S = 2.0

Parameters = Mapping[str, Any]


class Queries:
    """Named queries on a pool that opens by itself and comes back by itself."""

    def __init__(self, settings: DashboardSettings, clock: Clock | None = None) -> None:
        # The settings of a session, sent with the connection: the server enforces them.
        options = (
            "-c default_transaction_read_only=on"
            f" -c statement_timeout={settings.statement_timeout_ms}"
            " -c timezone=UTC -c application_name=fleetgauge-dashboard -c jit=off"
        )
        self._clock = clock or SystemClock()
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

    async def rows(self, file: str, name: str, parameters: Parameters | None = None) -> list[Any]:
        """Run one named query and return its rows as named tuples.

        Raises:
            RetryableError: the database is away, too slow, or lacks a table that is to come.
        """
        statement = sql.queries(f"dashboard_{file}")[name]
        if self._clock.monotonic_s() < self._refuse_until_s:
            raise RetryableError("the database does not answer")
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statement, parameters or {}, binary=True)
                return await cursor.fetchall()
        except PoolTimeout as error:
            # One has waited in vain: for a moment the others need not, or a page of several
            # queries would take as many time-outs to show what it has in memory.
            self._refuse_until_s = self._clock.monotonic_s() + REFUSE_S
            raise RetryableError("the database does not answer") from error
        except psycopg.errors.QueryCanceled as error:
            raise RetryableError(f"the query {name} took too long and was stopped") from error
        except psycopg.errors.UndefinedTable as error:
            raise RetryableError("the schema is not there yet: run `fleetgauge migrate`") from error
        except psycopg.OperationalError as error:
            raise RetryableError("the connection to the database broke") from error
