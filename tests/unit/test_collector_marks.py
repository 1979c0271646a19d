"""Marks: a set of numbers in little room, equal to a real set whatever comes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from collector.marks import GAPS_MAX, Epoch, Gap, Mark, MarkBook, MarkKey, Verdict
from telemetry.streams import Stream

SEQ = st.integers(1, 60)
KEY = MarkKey(1, Stream.SAMPLES, 1)


def stored_by(mark: Mark) -> set[int]:
    missing = {n for gap in mark.gaps for n in range(gap.first, gap.last + 1)}
    return set(range(1, mark.last_seq + 1)) - missing


class MarkAgainstSet(RuleBasedStateMachine):
    """Any mixture of messages, repeats and drops, against plain sets."""

    def __init__(self) -> None:
        super().__init__()
        self.mark = Mark()
        self.stored: set[int] = set()
        self.reasons: dict[int, str] = {}

    @rule(seq=SEQ)
    def message(self, seq: int) -> None:
        expected = Verdict.REPEAT if seq in self.stored else Verdict.STORE
        assert self.mark.accept(seq) is expected
        self.stored.add(seq)
        self.reasons.pop(seq, None)

    @rule(first=SEQ, length=st.integers(0, 9), reason=st.sampled_from(["full", "quarantined"]))
    def drop(self, first: int, length: int, reason: str) -> None:
        self.mark.write_off(first, first + length, reason)
        for seq in range(first, first + length + 1):
            if seq not in self.stored:
                self.reasons.setdefault(seq, reason)

    @invariant()
    def knows_what_is_stored(self) -> None:
        assert stored_by(self.mark) == self.stored

    @invariant()
    def knows_why_the_rest_is_not(self) -> None:
        explained = {
            n: gap.reason
            for gap in self.mark.gaps
            for n in range(gap.first, gap.last + 1)
            if gap.reason is not None
        }
        assert explained == self.reasons

    @invariant()
    def gaps_are_in_order_and_as_few_as_can_be(self) -> None:
        for left, right in zip(self.mark.gaps, self.mark.gaps[1:], strict=False):
            assert left.last < right.first
            assert left.last + 1 < right.first or left.reason != right.reason

    @invariant()
    def account_balances(self) -> None:
        gaps = sum(gap.last - gap.first + 1 for gap in self.mark.gaps)
        assert self.mark.last_seq == self.mark.stored_messages + gaps


TestMarkAgainstSet = MarkAgainstSet.TestCase
TestMarkAgainstSet.settings = settings(max_examples=60, deadline=None)


@given(st.permutations(range(1, 30)))
def test_any_order_of_a_whole_range_leaves_no_gap(order: list[int]) -> None:
    mark = Mark()
    assert all(mark.accept(seq) is Verdict.STORE for seq in order)
    assert mark.last_seq == 29
    assert mark.gaps == []


def test_holes_beyond_the_limit_are_refused_and_not_forgotten() -> None:
    mark = Mark()
    for n in range(1, GAPS_MAX + 1):
        assert mark.accept(2 * n) is Verdict.STORE
    before = (mark.last_seq, list(mark.gaps))
    assert mark.accept(2 * GAPS_MAX + 2) is Verdict.TOO_MANY_GAPS
    assert (mark.last_seq, mark.gaps) == before
    assert mark.accept(2 * GAPS_MAX + 1) is Verdict.STORE
    assert mark.accept(1) is Verdict.STORE


def test_splitting_a_gap_beyond_the_limit_is_refused() -> None:
    mark = Mark()
    for n in range(1, GAPS_MAX + 1):
        mark.accept(4 * n)
    assert mark.accept(2) is Verdict.TOO_MANY_GAPS
    assert mark.accept(1) is Verdict.STORE


def test_a_late_message_closes_a_gap_that_was_explained() -> None:
    mark = Mark(last_seq=9, gaps=[Gap(3, 5, "spool full")])
    assert mark.accept(4) is Verdict.STORE
    assert mark.gaps == [Gap(3, 3, "spool full"), Gap(5, 5, "spool full")]


@pytest.mark.parametrize(("first", "last"), [(0, 0), (-5, -1), (7, 3)])
def test_writing_off_nothing_changes_nothing(first: int, last: int) -> None:
    mark = Mark(last_seq=4)
    mark.write_off(first, last, "odd")
    assert mark == Mark(last_seq=4)


def test_book_counts_versions_from_the_first_commit() -> None:
    book = MarkBook()
    book.learn([Epoch(KEY.host_id, KEY.boot_epoch)], {})
    book.touch(KEY).accept(1)
    assert [mark.version for _, mark in book.changed()] == [None]
    book.committed()
    assert book.changed() == []
    book.touch(KEY).accept(2)
    ((_, mark),) = book.changed()
    assert (mark.version, mark.stored_messages) == (0, 1)


def test_book_that_forgets_asks_again() -> None:
    book = MarkBook()
    met = [Epoch(1, 10), Epoch(2, 10)]
    book.learn(met, {KEY: Mark(last_seq=7, version=3)})
    assert book.unknown([*met, Epoch(1, 11)]) == [Epoch(1, 11)]
    book.forget()
    assert book.unknown(met[:1]) == met[:1]
    assert book.touch(KEY).last_seq == 0
