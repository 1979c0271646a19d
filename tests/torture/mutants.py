"""The product, broken on purpose in ways that a careless change could break it.

A test that has never failed proves little: the torture has to catch each of these. Owns the list;
a collector's mistake is applied by `holding_collector.py`, an agent's by `tallying_agent.py`.
Nothing here is reachable from the product.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from collector import books, claims, lanes, marks, sample_columns, store
from collector.batch import Batch, assemble
from collector.books import Move
from collector.claims import Claim
from collector.database import Connection, translated

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
    """After a commit whose outcome is not known, reading goes on behind it, in both lanes."""
    original, claim = store.Store._write, claims._claim
    believed: dict[tuple[str, int], lanes.Lanes] = {}

    def careless(self: store.Store, batch: Batch, moves: Sequence[Move]) -> None:
        believed.update({(m.claim.topic_id, m.partition.number): m.lanes for m in moves})
        original(self, batch, moves)

    def ahead(connection: Connection, held: Any, **options: Any) -> Claim:
        claimed = claim(connection, held, **options)
        said = believed.get((claimed.topic_id, held.partition.number))
        if said is not None:
            claimed.lanes = _without_stored(claimed.lanes, said)
            connection.execute(
                "update stream_offsets set next_offset = %s, backlog = %s::int8multirange"
                " where topic_id = %s and partition = %s",
                [
                    claimed.lanes.next_offset,
                    claims.backlog_text(claimed.lanes),
                    claimed.topic_id,
                    held.partition.number,
                ],
            )
        return claimed

    _replace(store.Store, "_write", careless)
    _replace(claims, "_claim", ahead)


def _without_stored(found: lanes.Lanes, said: lanes.Lanes) -> lanes.Lanes:
    """Return where a partition stands if what `said` takes for stored is stored, too."""
    waiting = [
        lanes.Span(offset, offset + 1)
        for span in found.backlog
        for offset in range(*span)
        if offset >= said.next_offset or any(s.first <= offset < s.end for s in said.backlog)
    ]
    return lanes.Lanes(max(found.next_offset, said.next_offset), tuple(lanes._joined(waiting)))


def marks_outlive_a_failure() -> None:
    """What was accepted in a transaction that failed is still taken for stored.

    Marks are forgotten after the failure and at the claim that follows it, and either is enough.
    """

    def careless(self: store.Store) -> None:
        self._states.forget()
        self._registry.forget_places()

    _replace(store.Store, "forget_what_others_change", careless)


def nobody_is_fenced() -> None:
    """A collector stores whether or not its partitions and its hosts' marks are still its own.

    Either guard alone is enough: with the fence open, whoever has lost a partition fails at marks
    that the new owner has changed, or is the first to store and makes the new owner fail.
    """
    statements = dict(books._BOOKS)
    for name, condition in (
        ("move_offsets", "and kept.next_offset = moved.expected"),
        ("move_offsets", "and kept.backlog = moved.expected_backlog::int8multirange"),
        ("move_offsets", "and kept.owner_epoch <= moved.owner_epoch"),
        ("move_marks", "and kept.version = moved.version"),
    ):
        assert condition in statements[name]
        statements[name] = statements[name].replace(condition, "")
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

    def careless(*arguments: Any, **options: Any) -> Any:
        found = original(*arguments, **options)
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
        nobody_is_fenced,
        what_is_left_behind_is_forgotten,
        missing_becomes_zero,
        the_log_is_joined_at_its_end,
    )
}
AGENTS: dict[str, Callable[["TallyingOutbox"], None]] = {
    mistake.__name__: mistake for mistake in (sent_counts_as_confirmed, drafts_are_dropped)
}
NAMES = [*COLLECTORS, *AGENTS]
