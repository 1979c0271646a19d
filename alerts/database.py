"""Connections to the database, as the alerts program wants them.

Owns how they are made and which errors mean "try again later". Outside a `transaction()` block
every statement stands alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from telemetry.errors import RetryableError

Connection = psycopg.Connection[dict[str, Any]]

CONNECT_TIMEOUT_S = 5
# A process that is stopped in the middle of a transaction must not keep a standby from taking
# over: the server ends its session.
IDLE_TRANSACTION_MS = 10_000


def connect(database_url: str, purpose: str) -> Connection:
    """Open a connection; RetryableError while the database is away."""
    with translated():
        connection = psycopg.connect(
            database_url,
            autocommit=True,
            row_factory=dict_row,
            application_name=f"fleetgauge alerts {purpose}",
            connect_timeout=CONNECT_TIMEOUT_S,
            options=f"-c idle_in_transaction_session_timeout={IDLE_TRANSACTION_MS} -c timezone=UTC",
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )
    set_json_loads(msgspec.json.decode, connection)
    return connection


@contextmanager
def translated() -> Iterator[None]:
    """Turn "the database is away, or not ready yet" into RetryableError."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise RetryableError(_sentence(error)) from error
    except psycopg.errors.UndefinedTable as error:
        raise RetryableError(
            f"the schema is not there yet: run `fleetgauge migrate` ({_sentence(error)})"
        ) from error


def _sentence(error: Exception) -> str:
    """The first line of a database's complaint."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
