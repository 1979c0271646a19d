"""The columnstore of a chunk, written to directly: batches that are compressed here.

Owns when that is right. A chunk's first rows go through the server, which makes its columnstore and
marks its batches as overlapping; after that, rows of one chunk are made into batches here. Whatever
is not exactly as it is known here (another version, order, metadata, a span over two chunks) goes
through the server, as everything does on the other tiers.
"""

import base64
import logging
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql as composed

import sql
from collector.column_batches import BATCH_ROWS, NULL, batches_of
from collector.copy_rows import Column
from collector.database import Connection, translated
from collector.registry import timestamp
from collector.sample_columns import SampleColumns
from collector.tier import extension_version
from telemetry.errors import RetryableError
from telemetry.metrics import Group

log = logging.getLogger(__name__)

TABLES = {Group.FAST: "samples", Group.SLOW: "slow_samples"}
# The only minor version whose chunks were seen to be as they are written here. How a chunk is kept
# is no promise of TimescaleDB's: a newer one goes through the server until somebody has looked.
VERSION_MIN, VERSION_END = (2, 30, 0), (2, 31, 0)
HAS_COLUMNS, OVERLAPS, FROZEN = 1, 2, 4
CHUNKS_KNOWN_MAX = 64
_PROBE = (0, 1, -1, 2**62, -(2**62), *range(90), 7, 7, 7)

_COLUMNSTORE = sql.queries("collector_columnstore")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of a sample table, and the time that it holds: from the first, before the last."""

    schema: str
    name: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Target:
    """The columnstore of a chunk.

    Attributes:
        overlaps: whether its batches are known to overlap; otherwise the server must be told by
            letting it sort, or it believes that they do not.
        columns: in the table's order; none where batches cannot be made here.
    """

    relation: composed.Identifier
    columns: tuple[str, ...]
    overlaps: bool

    @property
    def takes_batches(self) -> bool:
        """Whether batches that are made here may be added."""
        return bool(self.columns) and self.overlaps

    @property
    def copy(self) -> composed.Composed:
        """The statement that takes batches."""
        names = composed.SQL(", ").join(composed.Identifier(name) for name in self.columns)
        return composed.SQL("copy {} ({}) from stdin (format binary)").format(self.relation, names)


class Columnstore:
    """The chunks that were met, for one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[Group, list[Chunk]] = {group: [] for group in Group}
        self._writes = _unpacks_ours(connection)

    def forget(self) -> None:
        """Chunks may be others by now."""
        for known in self._known.values():
            known.clear()

    def server_compresses(self, *, on: bool, ordered: bool = False) -> None:
        """Switch compression by the server, for the next copies of this transaction."""
        switches = {"on": "on" if on else "off", "ordered": "on" if ordered else "off"}
        self._connection.execute(_COLUMNSTORE["compress_copies"], switches)

    def target(self, part: SampleColumns) -> Target | None:
        """Return the columnstore for all of these rows, kept from being made anew until the end.

        Raises:
            RetryableError: the chunk went away just now.
        """
        chunk = self._chunk(part)
        if chunk is None:
            return None
        names = {"schema": chunk.schema, "chunk": chunk.name}
        lock = composed.SQL("lock table only {} in row exclusive mode")
        try:
            self._connection.execute(lock.format(composed.Identifier(chunk.schema, chunk.name)))
            row = self._connection.execute(_COLUMNSTORE["columnstore_of"], names).fetchone()
        except psycopg.errors.UndefinedTable as error:
            raise RetryableError(f"chunk {chunk.name} is gone") from error
        if row is None:
            return None
        schema, relation, columns, ordered, status = row
        state = int(str(status))
        usable = self._writes and ordered and not state & FROZEN
        known = isinstance(columns, list) and all(
            name in _METADATA for name in columns if name.startswith("_ts_")
        )
        return Target(
            composed.Identifier(str(schema), str(relation)),
            tuple(columns) if usable and known and isinstance(columns, list) else (),
            bool(state & HAS_COLUMNS and state & OVERLAPS),
        )

    def _chunk(self, part: SampleColumns) -> Chunk | None:
        first, last = timestamp(int(part.times_us.min())), timestamp(int(part.times_us.max()))
        known = self._known[part.group]
        for chunk in known:
            if chunk.starts_at <= first and last < chunk.ends_at:
                return chunk
        wanted = {"parent": TABLES[part.group], "first": first, "last": last}
        row = self._connection.execute(_COLUMNSTORE["chunk_of"], wanted).fetchone()
        if row is None:
            return None
        schema, name, starts_at, ends_at = row
        assert isinstance(starts_at, datetime)  # noqa: S101 - the view's type
        assert isinstance(ends_at, datetime)  # noqa: S101 - the view's type
        del known[: -CHUNKS_KNOWN_MAX + 1]
        known.append(Chunk(str(schema), str(name), starts_at, ends_at))
        return known[-1]


def rows_of_batches(
    names: Sequence[str], columns: Mapping[str, Column], count: int
) -> Iterator[bytes]:
    """Yield rows of a columnstore for COPY's binary format, a batch each.

    Args:
        names: the columns of the columnstore.
        columns: those of the sample table, by accelerator and time.
        count: how many rows they hold.
    """
    starts = np.arange(0, count, BATCH_ROWS)
    ends = np.append(starts[1:], count)
    gpu, time = columns["gpu_id"].values, columns["time"].values
    assert gpu is not None  # noqa: S101 - every row has both
    assert time is not None  # noqa: S101 - every row has both
    spans = _Spans(starts, ends, gpu, time)
    absent = [NULL] * len(starts)
    fields = [
        _METADATA[name](spans)
        if name in _METADATA
        else batches_of(columns[name], count)
        if name in columns
        else absent
        for name in names
    ]
    head = struct.pack(">h", len(names))
    for row in zip(*fields, strict=True):
        yield head + b"".join(row)


@dataclass(frozen=True, slots=True)
class _Spans:
    """Batches as stretches of rows."""

    starts: NDArray[np.intp]
    ends: NDArray[np.intp]
    gpu: NDArray[Any]
    time: NDArray[Any]


def _numbers(values: NDArray[Any], number: str) -> list[bytes]:
    """Return one field a number, `number` being its type on the wire."""
    rows = np.empty(len(values), dtype=[("length", ">i4"), ("value", number)])
    rows["length"] = rows.itemsize - 4
    rows["value"] = values
    plain, size = rows.tobytes(), rows.itemsize
    return [plain[at : at + size] for at in range(0, len(plain), size)]


# Metadata columns by name. Rows are in the order of gpu_id, so that the first is the least.
_METADATA = {
    "_ts_meta_count": lambda s: _numbers(s.ends - s.starts, ">i4"),
    "_ts_meta_min_1": lambda s: _numbers(s.gpu[s.starts], ">i4"),
    "_ts_meta_max_1": lambda s: _numbers(s.gpu[s.ends - 1], ">i4"),
    "_ts_meta_v2_first_gpu_id": lambda s: _numbers(s.gpu[s.starts], ">i4"),
    "_ts_meta_v2_last_gpu_id": lambda s: _numbers(s.gpu[s.ends - 1], ">i4"),
    "_ts_meta_min_2": lambda s: _numbers(np.minimum.reduceat(s.time, s.starts), ">i8"),
    "_ts_meta_max_2": lambda s: _numbers(np.maximum.reduceat(s.time, s.starts), ">i8"),
    "_ts_meta_v2_first_time": lambda s: _numbers(s.time[s.starts], ">i8"),
    "_ts_meta_v2_last_time": lambda s: _numbers(s.time[s.ends - 1], ">i8"),
}


def _unpacks_ours(connection: Connection) -> bool:
    """Return whether this server's version is known, and reads what is written here."""
    version = extension_version(connection)
    if version is None or not VERSION_MIN <= version < VERSION_END:
        return False
    packed = batches_of(Column(np.array(_PROBE, dtype=np.int64)), len(_PROBE))[0]
    with translated("asking what the server unpacks"):
        value = {"value": base64.b64encode(packed[4:])}
        try:
            row = connection.execute(_COLUMNSTORE["unpack"], value).fetchone()
        except (psycopg.ProgrammingError, psycopg.DataError, psycopg.InternalError) as error:
            log.warning("rows are compressed by the server: %s", error)
            return False
    return row is not None and row[0] == list(_PROBE)
