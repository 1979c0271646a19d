"""Samples into their tables: the statement and the form that each shape of messages takes.

Owns the choice between rows and batches of a columnstore (`columnstore.py`), and COPY itself.
"""

from collections.abc import Iterable, Sequence
from typing import LiteralString

from psycopg.sql import Composed

import sql
from collector.column_batches import hole_counts
from collector.columnstore import Columnstore, rows_of_batches
from collector.copy_rows import END, SIGNATURE, rows_of
from collector.database import Connection
from collector.sample_columns import SampleColumns
from collector.sample_rows import column_names, sample_rows
from telemetry.metrics import Group

# Fewer rows go into the row store of their chunk, and into its columnstore with the next
# recompression: a compressed batch has columns of its own, which a few rows do not fill.
COMPRESSED_ROWS_MIN = 2000
# Where values are missing all over the place, a server compresses them faster than this program:
# each different number of holes in a batch costs about as much as it does for so many rows.
ROWS_A_HOLE_COUNT = 100

_SAMPLES = sql.queries("collector_samples")
_STATEMENTS = {
    Group.FAST: _SAMPLES["copy_samples"],
    Group.SLOW: _SAMPLES["copy_slow_samples"],
}


def copy_samples(
    connection: Connection, samples: Sequence[SampleColumns], columnstore: Columnstore | None
) -> None:
    """Copy samples; each shape of messages is put in order by itself, so it is one statement."""
    for part in samples:
        if columnstore is None:
            copy_rows(connection, _STATEMENTS[part.group], rows_of(sample_rows(part), part.rows))
        elif part.rows < COMPRESSED_ROWS_MIN:
            columnstore.server_compresses(on=False)
            copy_rows(connection, _STATEMENTS[part.group], rows_of(sample_rows(part), part.rows))
        else:
            _copy_in_order(connection, part, columnstore)


def _copy_in_order(connection: Connection, part: SampleColumns, columnstore: Columnstore) -> None:
    target = columnstore.target(part)
    rows = sample_rows(part, by_accelerator=True)
    whole = hole_counts(rows, part.rows) * ROWS_A_HOLE_COUNT <= part.rows
    if target is not None and target.takes_batches and whole:
        columns = dict(zip(column_names(part.group), rows, strict=True))
        batches = rows_of_batches(target.columns, columns, part.rows)
        copy_rows(connection, target.copy, batches)
    else:
        # A server that is told of an order believes that no two batches of a chunk overlap, unless
        # it knows better: a chunk's first rows are put in order by the server.
        columnstore.server_compresses(on=True, ordered=target is not None and target.overlaps)
        copy_rows(connection, _STATEMENTS[part.group], rows_of(rows, part.rows))


def copy_rows(
    connection: Connection, statement: LiteralString | Composed, rows: Iterable[bytes]
) -> None:
    """Send rows in COPY's binary format, in pieces of any length."""
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(SIGNATURE)
        for piece in rows:
            copy.write(piece)
        copy.write(END)
