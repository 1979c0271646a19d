"""The quarantine: messages that are not stored, with the reason and their first bytes.

Owns what is kept of them. Why a message goes there is decided in `intake.py`, `batch.py` and by the
database; a message is there once, however often it is read.
"""

from collections.abc import Mapping, Sequence

import sql
from collector.consumer import Partition
from collector.database import Connection
from collector.intake import Rejected

PAYLOAD_BYTES_MAX = 4096
KEY_BYTES_MAX = 512
DETAIL_CHARS_MAX = 1000

_QUERIES = sql.queries("collector_books")


def write(
    connection: Connection, rejected: Sequence[Rejected], topic_ids: Mapping[Partition, str]
) -> None:
    """Write rejected records, in the caller's transaction."""
    if not rejected:
        return
    connection.cursor().executemany(
        _QUERIES["quarantine"], [_row(item, topic_ids) for item in rejected]
    )


def _row(item: Rejected, topic_ids: Mapping[Partition, str]) -> dict[str, object]:
    received = item.received
    return {
        "topic_id": topic_ids[received.partition],
        "topic": received.partition.topic,
        "partition": received.partition.number,
        "offset": received.offset,
        "reason": item.reason,
        # A text column cannot hold a NUL, and what a stranger sent may have one.
        "detail": item.detail[:DETAIL_CHARS_MAX].replace("\0", "\\0"),
        "key": None if received.key is None else received.key[:KEY_BYTES_MAX],
        "payload": received.value[:PAYLOAD_BYTES_MAX],
        "payload_bytes": len(received.value),
    }
