"""The connection to PostgreSQL: how it is opened, and what its errors mean to the collector.

Owns the translation of psycopg's errors into the three that matter here: come back later, this
data is refused, or the schema is not what this program expects. Statements are in `store.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict

from telemetry.errors import FleetgaugeError, PermanentError, RetryableError

Connection = psycopg.Connection[tuple[object, ...]]

CONNECT_TIMEOUT_S = 5
# Whoever stands still between two statements holds locks that the others of its group wait for;
# between two statements of a batch lies less than a second of our own work.
IDLE_IN_TRANSACTION_S = 15


class RefusedDataError(FleetgaugeError):
    """The database does not take this data, however often it is tried."""


def connect(
    url: str, program: str, statement_timeout_s: int, *, is_replayed: bool = False
) -> Connection:
    """Open a connection in autocommit mode, with every wait bounded.

    Args:
        url: of the database.
        program: what the server shows it as.
        statement_timeout_s: how long a statement may take.
        is_replayed: what is lost with the server is done again by itself, so a commit is not waited
            for on disk: rows and offsets are in one transaction, so after a power cut both are back
            where they were and the broker sends the rest again.

    Raises:
        RetryableError: the database is away, full or does not let us in now.
    """
    with translated(f"the database at {address(url)}"):
        return psycopg.connect(
            url,
            autocommit=True,
            application_name=f"fleetgauge {program}",
            connect_timeout=CONNECT_TIMEOUT_S,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            options=(
                f"-c statement_timeout={statement_timeout_s}s -c lock_timeout=30s"
                f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_S}s"
                f" -c synchronous_commit={'off' if is_replayed else 'on'}"
                " -c timezone=UTC -c jit=off"
            ),
        )


def address(url: str) -> str:
    """Return a database as host:port/name, without user or password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "an address that libpq does not understand"
    host, port = parts.get("host", "its default host"), parts.get("port", "5432")
    return f"{host}:{port}/{parts.get('dbname', '')}"


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn psycopg's errors into ours.

    Raises:
        RetryableError: lost connection, no room, lock not given, deadlock, read-only server …
        RefusedDataError: a value or constraint that will not do.
        PermanentError: the schema is not the one this program was written for.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise RetryableError(f"{what}: {_first_line(error)}") from error
    except (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.InFailedSqlTransaction) as error:
        raise RetryableError(f"{what}: {_first_line(error)}") from error
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise RefusedDataError(f"{what}: {_first_line(error)}") from error
    except psycopg.ProgrammingError as error:
        raise PermanentError(
            f"{what}: {_first_line(error)}; is the schema up to date (`fleetgauge migrate`)?"
        ) from error


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
