"""The product, broken on purpose in ways that a careless change could break it.

A test that has never failed proves little: the torture has to catch each of these. Owns the list;
run as a program it is a collector with one mistake (`python -m tests.torture.mutants NAME`), and
the agents' mistakes are applied by `tallying_agent.py`. Nothing here is reachable from the product.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from collector import books, claims, lanes, marks, sample_columns, store, writer
from collector.batch import Batch, assemble
from collector.books import Move
from collector.claims import Claim
from collector.database import Connection, translated
from fleetgauge.__main__ import main as fleetgauge

if TYPE_CHECKING:
    from tests.torture.tallying_agent import TallyingOutbox


def _replace(owner: object, name: str, by: object) -> None:
    getattr(owner, name)  # it has to be there: a mutant of nothing would survive
    setattr(owner, name, by)


def repeats_are_stored() -> None:
    """A message that is there already is stored once more."""
    accept = marks.Mark.accept

    def careless(mark: marks.Mark, seq: int) -> marks.Verdict:
        verdict = accept(mark, seq)
        return marks.Verdict.STORE if verdict is marks.Verdict.REPEAT else verdict

    _replace(marks.Mark, "accept", careless)


def a_message_is_passed_over() -> None:
    """Now and then a message is not stored, and reading goes on behind it."""
    original = assemble
    messages = 0

    def careless(judged: Sequence[Any], senders: Sequence[Any], *rest: Any) -> Batch:
        nonlocal messages
        first, messages = messages, messages + len(judged)
        kept = [at for at in range(len(judged)) if (first + at) % 10 != 9]
        return original([judged[at] for at in kept], [senders[at] for at in kept], *rest)

    _replace(store, "assemble", careless)


def offsets_are_committed_first() -> None:
    """The offsets are committed on their own, before the rows."""
    original, move = store.Store._write, books.move_offsets

    def careless(self: store.Store, batch: Batch, moves: Sequence[Move]) -> None:
        with translated("committing the offsets"), self._connection.transaction():
            move(self._connection, moves)
        original(self, batch, moves)

    _replace(books, "move_offsets", lambda *_: None)
    _replace(store.Store, "_write", careless)


def an_unknown_commit_counts_as_done() -> None:
    """After a commit whose outcome is not known, reading goes on behind it."""
    original, claim = store.Store._write, claims._claim
    believed: dict[tuple[str, int], int] = {}

    def careless(self: store.Store, batch: Batch, moves: Sequence[Move]) -> None:
        believed.update(
            {(m.claim.topic_id, m.partition.number): m.lanes.next_offset for m in moves}
        )
        original(self, batch, moves)

    def ahead(connection: Connection, held: Any, **options: Any) -> Claim:
        claimed = claim(connection, held, **options)
        offset = believed.get((claimed.topic_id, held.partition.number), 0)
        if offset > claimed.lanes.next_offset:
            connection.execute(
                "update stream_offsets set next_offset = %s where topic_id = %s and partition = %s",
                [offset, claimed.topic_id, held.partition.number],
            )
            claimed.lanes = replace(claimed.lanes, next_offset=offset)
        return claimed

    _replace(store.Store, "_write", careless)
    _replace(claims, "_claim", ahead)


def marks_outlive_a_failure() -> None:
    """What was accepted in a transaction that failed is still taken for stored."""
    _replace(writer.Writer, "forget", lambda self: None)


def the_fence_is_open() -> None:
    """A collector stores whether or not its partition and offset are still its own."""
    statements = dict(books._BOOKS)
    text = statements["move_offsets"]
    for condition in (
        "and kept.next_offset = moved.expected",
        "and kept.backlog = moved.expected_backlog::int8multirange",
        "and kept.owner_epoch <= moved.owner_epoch",
    ):
        assert condition in statements["move_offsets"]
        statements["move_offsets"] = statements["move_offsets"].replace(condition, "")
    assert len(statements["move_offsets"]) < len(text)
    _replace(books, "_BOOKS", statements)


def what_is_left_behind_is_forgotten() -> None:
    """The live lane goes on at the log's end, and nobody reads what waited before it."""
    _replace(lanes.Lanes, "split", lambda self, end: lanes.Lanes(end, self.backlog))


def missing_becomes_zero() -> None:
    """A value that was not read is stored as 0."""
    original = sample_columns.PackedSamples.columns

    def careless(self: sample_columns.PackedSamples, *arguments: Any) -> Any:
        found = original(self, *arguments)
        for name, missing in found.missing.items():
            found.values[name] = np.where(missing, 0, found.values[name])
        found.missing.clear()
        return found

    _replace(sample_columns.PackedSamples, "columns", careless)


def the_log_is_joined_at_its_end() -> None:
    """A new claim of a known log starts at the log's end instead of where the database says."""
    original = claims.decide
    claimed: set[int] = set()

    def careless(next_offset: int, begin: int, **options: Any) -> claims.Start:
        start = original(next_offset, begin, **options)
        if next_offset in claimed:
            return claims.Start(start.offset + 1)
        claimed.add(next_offset)
        return start

    _replace(claims, "decide", careless)


def sent_counts_as_confirmed(outbox: "TallyingOutbox") -> None:
    """The agent forgets a message when it has handed it to the client, not when it is confirmed."""
    original = outbox.pending

    def careless(*arguments: Any) -> Any:
        found = original(*arguments)
        outbox.confirm([slot for slot, _ in found])
        return found

    _replace(outbox, "pending", careless)


def drafts_are_dropped(outbox: "TallyingOutbox") -> None:
    """The agent says that it has kept what it has not."""
    writes = 0

    def careless(drafts: Sequence[Any]) -> Sequence[Any]:
        nonlocal writes
        writes += 1
        return drafts if writes % 20 else []

    outbox.mistake = careless


COLLECTORS: dict[str, Callable[[], None]] = {
    mistake.__name__: mistake
    for mistake in (
        repeats_are_stored,
        a_message_is_passed_over,
        offsets_are_committed_first,
        an_unknown_commit_counts_as_done,
        marks_outlive_a_failure,
        the_fence_is_open,
        what_is_left_behind_is_forgotten,
        missing_becomes_zero,
        the_log_is_joined_at_its_end,
    )
}
AGENTS: dict[str, Callable[["TallyingOutbox"], None]] = {
    mistake.__name__: mistake for mistake in (sent_counts_as_confirmed, drafts_are_dropped)
}
NAMES = [*COLLECTORS, *AGENTS]

if __name__ == "__main__":
    COLLECTORS[sys.argv[1]]()
    sys.argv[1:] = ["collector"]
    sys.exit(fleetgauge())
