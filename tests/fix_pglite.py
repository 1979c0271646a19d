"""The collector's writer on the timescale tier as far as one can be installed: pglite.

It has one connection at a time and no COPY. So a shelf reads over the connection that it writes
with, and COPY's rows are inserted one by one, in the same binary form; all else is the product's.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import psycopg
import pytest
from psycopg import pq
from psycopg.sql import Composed

from tests.fix_collector import Shelf


class LoneShelf(Shelf):
    """A shelf with the only connection there is."""

    def start(self) -> None:
        super().start()
        self.connection.prepare_threshold = None  # the session outlives its connection

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        return self.connection.execute(query, parameters).fetchall()


@pytest.fixture
def copies_are_inserted(monkeypatch: pytest.MonkeyPatch) -> None:
    for user in ("collector.copy_samples", "collector.books", "collector.merges"):
        monkeypatch.setattr(f"{user}.copy_rows", insert_rows)


def insert_rows(
    connection: psycopg.Connection[Any], statement: str | Composed, rows: Iterable[bytes]
) -> None:
    """Do what a COPY in binary format does, by inserts."""
    target = str(statement).partition("from stdin")[0].split("copy", 1)[1]
    for cells in _cells(b"".join(rows)):
        places = ", ".join(f"${number}" for number in range(1, len(cells) + 1))
        result = connection.pgconn.exec_params(
            f"insert into {target} values ({places})".encode(),
            cells,
            param_formats=[pq.Format.BINARY] * len(cells),
        )
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.DataError(result.error_message.decode())


def _cells(content: bytes) -> Iterator[list[bytes | None]]:
    """Yield the cells of each row; a row begins with their number, each of them with its length."""
    at = 0
    while at < len(content):
        (count,) = struct.unpack_from("!h", content, at)
        at += 2
        cells: list[bytes | None] = []
        for _ in range(count):
            (size,) = struct.unpack_from("!i", content, at)
            at += 4
            cells.append(None if size < 0 else content[at : at + size])
            at += max(0, size)
        yield cells
