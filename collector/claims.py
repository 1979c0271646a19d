"""Where to read each partition: the database's word, checked against the log itself.

Owns the decision (pure) and the claim, which raises the owner's epoch and thereby fences whoever
had the partition before. The log is known by its topic's id, not by its name.
"""

import logging
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import sql
from collector.consumer import Bounds, Consumer, Partition
from collector.database import Connection, translated

log = logging.getLogger(__name__)

_QUERIES = sql.queries("collector_books")


@dataclass(slots=True)
class Claim:
    """A partition that this collector may store from.

    Attributes:
        topic_id: which log this is.
        owner_epoch: the fence; whoever claims later has a higher one.
        next_offset: the first offset that is not stored.
        end_offset: where the log ended when it was last seen.
        fresh: nothing was stored under this claim yet.
    """

    topic_id: str
    owner_epoch: int
    next_offset: int
    end_offset: int
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Start:
    """Where to go on, and what there is to say about it.

    Attributes:
        offset: the first to read.
        lost: offsets that can no longer be read, both ends included.
        note: one sentence where something is odd.
    """

    offset: int
    lost: tuple[int, int] | None = None
    note: str = ""


def decide(next_offset: int, begin: int, *, is_cut_short: bool) -> Start:
    """Compare the next offset to store with what the log holds.

    A log that ends before it has lost its end, perhaps to be written anew with other messages;
    nobody can tell from where on, so it is read again from the start. The marks of the hosts keep
    what is stored already from being stored twice.

    Args:
        next_offset: the first that is not stored.
        begin: the first that the log holds.
        is_cut_short: a fetch has shown that the log ends before the next offset.
    """
    if next_offset < begin:
        return Start(
            begin,
            lost=(next_offset, begin - 1),
            note=f"begins at offset {begin}; {begin - next_offset} messages before it were deleted "
            "before they were read",
        )
    if is_cut_short:
        return Start(
            begin,
            note=f"ends before the next offset to store, {next_offset}; it was cut short, and is "
            "read again from its start",
        )
    return Start(next_offset)


def claim_all(
    connection: Connection,
    consumer: Consumer,
    partitions: Iterable[Partition],
    cut_short: Container[Partition],
) -> dict[Partition, Claim]:
    """Claim partitions, write down what was lost, and send the consumer to the right offsets.

    Args:
        connection: of the collector.
        consumer: a member to which the partitions belong.
        partitions: what to claim.
        cut_short: those of which a fetch has shown that they end too early.

    Raises:
        RetryableError: database or broker is away.
    """
    bounds = consumer.bounds(partitions)
    claims = {}
    with translated("claiming partitions"), connection.transaction():
        for partition, held in bounds.items():
            log_id = _Log(partition, consumer.topic_id(partition.topic), held)
            claims[partition] = _claim(connection, log_id, is_cut_short=partition in cut_short)
    consumer.read_from({partition: claim.next_offset for partition, claim in claims.items()})
    return claims


class _Log(NamedTuple):
    """A partition as the broker has it now."""

    partition: Partition
    topic_id: str
    bounds: Bounds


def _claim(connection: Connection, held: _Log, *, is_cut_short: bool) -> Claim:
    partition, topic_id, bounds = held
    where = {"topic_id": topic_id, "partition": partition.number, "topic": partition.topic}
    row = connection.execute(
        _QUERIES["claim"], where | {"start": bounds.begin, "end": bounds.end}
    ).fetchone()
    if row is None:
        raise AssertionError("an upsert returns its row")
    next_offset, owner_epoch = int(str(row[0])), int(str(row[1]))
    for (old_id,) in connection.execute(_QUERIES["retire"], where).fetchall():
        log.warning(
            "%s partition %d was made again: a new log (%s, was %s), read from its start",
            *partition,
            topic_id,
            old_id,
        )
    start = decide(next_offset, bounds.begin, is_cut_short=is_cut_short)
    if start.note:
        log.warning("%s partition %d %s", *partition, start.note)
    if start.lost is not None:
        first, last = start.lost
        reason = "deleted before it was read"
        connection.execute(
            _QUERIES["lose_range"], where | {"first": first, "last": last, "reason": reason}
        )
    if start.offset != next_offset:
        connection.execute(
            _QUERIES["move_start"], where | {"start": start.offset, "owner_epoch": owner_epoch}
        )
    return Claim(topic_id, owner_epoch, start.offset, bounds.end)
