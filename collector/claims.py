"""Where to read each partition: the database's word, checked against the log itself.

Owns the decision (pure) and the claim, which raises the owner's epoch and thereby fences whoever
had the partition before. The log is known by its topic's id, not by its name.
"""

import logging
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from psycopg.types.multirange import Multirange

import sql
from collector.consumer import Bounds, Consumer, Partition
from collector.database import Connection, translated
from collector.lanes import Lane, Lanes, Span

log = logging.getLogger(__name__)

_QUERIES = sql.queries("collector_books")


@dataclass(slots=True)
class Claim:
    """A partition that this collector may store from.

    Attributes:
        topic_id: which log this is.
        owner_epoch: the fence; whoever claims later has a higher one.
        lanes: which offsets are not stored.
        end_offset: where the log ended when it was last seen.
        fresh: the lanes from which nothing was stored under this claim yet.
    """

    topic_id: str
    owner_epoch: int
    lanes: Lanes
    end_offset: int
    fresh: set[Lane] = field(default_factory=lambda: set(Lane))

    @property
    def behind(self) -> int:
        """How many messages wait in the live lane."""
        return max(0, self.end_offset - self.lanes.next_offset)


@dataclass(frozen=True, slots=True)
class Start:
    """Where the live lane goes on, and what there is to say about it.

    Attributes:
        offset: the first to read.
        note: one sentence where something is odd.
    """

    offset: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where both lanes go on.

    Attributes:
        lost: what is in neither because it can no longer be read.
        note: as of `Start`.
    """

    lanes: Lanes
    lost: tuple[Span, ...]
    note: str


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
        return Start(begin, f"begins at offset {begin}, behind the next to store, {next_offset}")
    if is_cut_short:
        return Start(
            begin,
            f"ends before the next offset to store, {next_offset}; it was cut short, and is "
            "read again from its start",
        )
    return Start(next_offset)


def resume(found: Lanes, held: Bounds, *, is_cut_short: bool, split_messages: int) -> Resumption:
    """Return where to go on with a partition, given what the database says and the log holds."""
    start = decide(found.next_offset, held.begin, is_cut_short=is_cut_short)
    # Whoever has set the offset back has set it back for all that is behind it.
    known = found.going_on_at(found.next_offset)
    lost = known.lost_below(held.begin)
    if found.next_offset < held.begin:
        lost.append(Span(found.next_offset, held.begin))
    lanes = known.held_from(held.begin).going_on_at(start.offset)
    if held.end - lanes.next_offset > split_messages and not is_cut_short:
        lanes = lanes.split(held.end)
    note = start.note
    if lost:
        messages = sum(span.end - span.first for span in lost)
        said = f"{messages} messages were deleted before they were read"
        note = f"{note}; {said}" if note else f"begins at offset {held.begin}; {said}"
    return Resumption(lanes, tuple(lost), note)


def claim_all(
    connection: Connection,
    consumer: Consumer,
    partitions: Iterable[Partition],
    cut_short: Container[Partition],
    split_messages: int,
) -> dict[Partition, Claim]:
    """Claim partitions, write down what was lost, and send the consumer to the right offsets.

    Where more waits than `split_messages`, the live lane goes on at the log's end.

    Args:
        connection: of the collector.
        consumer: a member to which the partitions belong.
        partitions: what to claim.
        cut_short: those of which a fetch has shown that they end too early.
        split_messages: of a partition.

    Raises:
        RetryableError: database or broker is away.
    """
    bounds = consumer.bounds(partitions)
    claims = {}
    with translated("claiming partitions"), connection.transaction():
        for partition, held in bounds.items():
            log_id = _Log(partition, consumer.topic_id(partition.topic), held)
            claims[partition] = _claim(
                connection,
                log_id,
                is_cut_short=partition in cut_short,
                split_messages=split_messages,
            )
    consumer.read_from({partition: claim.lanes.next_offset for partition, claim in claims.items()})
    return claims


class _Log(NamedTuple):
    """A partition as the broker has it now."""

    partition: Partition
    topic_id: str
    bounds: Bounds


def _claim(connection: Connection, held: _Log, *, is_cut_short: bool, split_messages: int) -> Claim:
    partition, topic_id, bounds = held
    where = {"topic_id": topic_id, "partition": partition.number, "topic": partition.topic}
    row = connection.execute(
        _QUERIES["claim"], where | {"start": bounds.begin, "end": bounds.end}
    ).fetchone()
    if row is None:
        raise AssertionError("an upsert returns its row")
    next_offset, owner_epoch = int(str(row[0])), int(str(row[1]))
    spans = cast("Multirange[int]", row[2])
    found = Lanes(next_offset, tuple(Span(part.lower or 0, part.upper or 0) for part in spans))
    for (old_id,) in connection.execute(_QUERIES["retire"], where).fetchall():
        log.warning(
            "%s partition %d was made again: a new log (%s, was %s), read from its start",
            *partition,
            topic_id,
            old_id,
        )
    going_on = resume(found, bounds, is_cut_short=is_cut_short, split_messages=split_messages)
    if going_on.note:
        log.warning("%s partition %d %s", *partition, going_on.note)
    for span in going_on.lost:
        entry = {"first": span.first, "last": span.end - 1, "reason": "deleted before it was read"}
        connection.execute(_QUERIES["lose_range"], where | entry)
    lanes = going_on.lanes
    if lanes.backlog:
        sentence = "%s partition %d: %d messages are left behind; live ones come first"
        log.info(sentence, *partition, lanes.left)
    if lanes != found:
        to = {"start": lanes.next_offset, "backlog": backlog_text(lanes)}
        connection.execute(_QUERIES["move_start"], where | to | {"owner_epoch": owner_epoch})
    return Claim(topic_id, owner_epoch, lanes, bounds.end)


def backlog_text(lanes: Lanes) -> str:
    """Return the backlog as the database's `int8multirange`."""
    return "{" + ",".join(f"[{span.first},{span.end})" for span in lanes.backlog) + "}"
