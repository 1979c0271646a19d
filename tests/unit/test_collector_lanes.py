"""Two lanes a partition: whatever is killed, split, set back or deleted, each offset is stored."""

from dataclasses import dataclass

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from collector.claims import backlog_text, resume
from collector.consumer import Bounds
from collector.lanes import SPANS_MAX, Lane, Lanes, Span

FEW = st.integers(1, 6)


@dataclass(frozen=True)
class Row:
    """What the database holds of a partition, all of it changed in one transaction."""

    lanes: Lanes
    epoch: int = 0
    stored: tuple[int, ...] = ()
    lost: frozenset[int] = frozenset()


@dataclass
class Reader:
    """A collector: its claim, and how far each of its two clients has read."""

    epoch: int
    lanes: Lanes


class Partition(RuleBasedStateMachine):
    """A log, a row in a database, and collectors that come, go, stand still and come back."""

    def __init__(self) -> None:
        super().__init__()
        self.begin = self.end = 0
        self.row = self.backup = Row(Lanes(0))
        self.owner: Reader | None = None
        self.zombies: list[Reader] = []
        self.was_set_back = False

    @rule(count=FEW)
    def messages_come(self, count: int) -> None:
        self.end += count

    @rule(limit=st.integers(1, 5))
    def claim(self, limit: int) -> None:
        """A restart, a rebalance, or the same collector after a failure."""
        if self.owner is not None:
            self.zombies.append(self.owner)
        held = Bounds(self.begin, self.end)
        going_on = resume(self.row.lanes, held, is_cut_short=False, split_messages=limit)
        gone = {offset for span in going_on.lost for offset in range(*span)}
        assert not gone & set(self.row.stored) or self.was_set_back
        row = self.row
        self.row = Row(going_on.lanes, row.epoch + 1, row.stored, row.lost | gone)
        self.owner = Reader(row.epoch + 1, going_on.lanes)

    @rule(count=FEW, lane=st.sampled_from(Lane), commits=st.booleans())
    def store(self, count: int, lane: Lane, commits: bool) -> None:
        """Some of a lane, in a transaction that is committed or is not."""
        if self.owner is not None and not self._transact(self.owner, lane, count, commits):
            self.owner = None

    @precondition(lambda self: self.zombies)
    @rule(count=FEW, lane=st.sampled_from(Lane))
    def store_as_a_zombie(self, count: int, lane: Lane) -> None:
        before = self.row
        zombie = self.zombies.pop(0)
        self._transact(zombie, lane, count, commits=True)
        assert self.row == before

    @rule()
    def back_up(self) -> None:
        self.backup = self.row

    @rule()
    def set_back_to_the_backup(self) -> None:
        """The database forgets; of its owners' epochs too, but there is a fence for that."""
        self.was_set_back = True
        self.row = self.backup
        self.owner = None
        self.zombies.clear()  # their sessions ended with the server

    @rule(count=FEW)
    def set_the_offset_back(self, count: int) -> None:
        """By hand, as an operator does who wants the log to be read again."""
        self.was_set_back = True
        lanes = self.row.lanes
        moved = Lanes(max(0, lanes.next_offset - count), lanes.backlog)
        self.row = Row(moved, self.row.epoch, self.row.stored, self.row.lost)
        self.owner = None

    @precondition(lambda self: self.begin < self.end)
    @rule(count=FEW)
    def messages_are_deleted(self, count: int) -> None:
        self.begin = min(self.end, self.begin + count)
        self.owner = None  # a fetch says so, and the partition is claimed again

    @invariant()
    def every_offset_is_stored_or_waits_or_is_said_to_be_lost(self) -> None:
        lanes = self.row.lanes.going_on_at(self.row.lanes.next_offset)
        waits = {offset for span in lanes.backlog for offset in range(*span)}
        stored = set(self.row.stored)
        assert set(range(lanes.next_offset)) <= stored | waits | self.row.lost
        if not self.was_set_back:
            assert len(self.row.stored) == len(stored), "read twice for nothing"
            assert not waits & stored

    @invariant()
    def spans_are_in_order_and_apart(self) -> None:
        if self.owner is None:
            return
        spans = self.owner.lanes.backlog
        edges = [edge for span in spans for edge in span]
        assert edges == sorted(set(edges))
        assert not edges or edges[-1] <= self.owner.lanes.next_offset

    def teardown(self) -> None:
        """In the end one lane is left, and everything that the log held is stored."""
        self.claim(5)
        assert self.owner is not None
        while self.owner.lanes.backlog or self.owner.lanes.next_offset < self.end:
            for lane in Lane:
                assert self._transact(self.owner, lane, 3, commits=True)
        assert set(range(self.begin, self.end)) <= set(self.row.stored)
        assert set(range(self.end)) <= set(self.row.stored) | self.row.lost
        self.row = Row(self.owner.lanes, self.row.epoch, self.row.stored, self.row.lost)
        assert self.row.lanes == Lanes(self.end)

    def _transact(self, reader: Reader, lane: Lane, count: int, commits: bool) -> bool:
        """Store so many offsets of a lane; return whether the fence and the commit let it."""
        offsets = self._readable(reader.lanes, lane)[:count]
        if not offsets:
            return True
        row = self.row
        if (row.lanes, row.epoch) != (reader.lanes, reader.epoch) or not commits:
            return False
        moved = reader.lanes.stored(offsets[-1])
        self.row = Row(moved, row.epoch, (*row.stored, *offsets), row.lost)
        reader.lanes = moved
        return True

    def _readable(self, lanes: Lanes, lane: Lane) -> list[int]:
        if lane is Lane.LIVE:
            return list(range(lanes.next_offset, self.end))
        return list(range(*lanes.backlog[0])) if lanes.backlog else []


TestPartition = Partition.TestCase
TestPartition.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_reading_goes_on_where_it_stopped() -> None:
    going_on = resume(Lanes(50), Bounds(10, 60), is_cut_short=False, split_messages=10)
    assert (going_on.lanes, going_on.lost, going_on.note) == (Lanes(50), (), "")


def test_more_than_is_allowed_to_wait_is_left_behind() -> None:
    going_on = resume(Lanes(50), Bounds(10, 61), is_cut_short=False, split_messages=10)
    assert going_on.lanes == Lanes(61, (Span(50, 61),))
    assert going_on.note == ""


def test_a_split_leaves_what_waits_and_one_behind_another_is_one_span() -> None:
    lanes = Lanes(10).split(50)
    assert lanes == Lanes(50, (Span(10, 50),))
    assert lanes.split(60) == Lanes(60, (Span(10, 60),))
    assert lanes.stored(54).split(60) == Lanes(60, (Span(10, 50), Span(55, 60)))
    assert lanes.split(50) is lanes


def test_a_lane_moves_with_what_is_stored_of_it_and_the_other_stays() -> None:
    lanes = Lanes(50, (Span(10, 20), Span(30, 40)))
    assert lanes.stored(50) == Lanes(51, lanes.backlog)
    assert lanes.stored(12) == Lanes(50, (Span(13, 20), Span(30, 40)))
    assert lanes.stored(19) == Lanes(50, (Span(30, 40),))
    assert lanes.left == 20


@pytest.mark.parametrize("offset", [5, 25, 45])
def test_an_offset_that_is_stored_already_moves_nothing(offset: int) -> None:
    lanes = Lanes(50, (Span(10, 20), Span(30, 40)))
    assert lanes.stored(offset) == lanes


def test_a_collector_that_is_too_slow_for_its_load_does_not_split_for_ever() -> None:
    lanes = Lanes(0)
    for n in range(1, 2 * SPANS_MAX):
        lanes = lanes.split(10 * n).stored(10 * n)
    assert len(lanes.backlog) == SPANS_MAX


@pytest.mark.parametrize(
    ("begin", "lost", "backlog"),
    [
        (0, (), (Span(10, 20), Span(30, 40))),
        (15, (Span(10, 15),), (Span(15, 20), Span(30, 40))),
        (35, (Span(10, 20), Span(30, 35)), (Span(35, 40),)),
        (60, (Span(10, 20), Span(30, 40), Span(50, 60)), ()),
    ],
)
def test_f27_what_the_broker_deleted_of_a_backlog_is_lost_and_said(
    begin: int, lost: tuple[Span, ...], backlog: tuple[Span, ...]
) -> None:
    found = Lanes(50, (Span(10, 20), Span(30, 40)))
    held = Bounds(begin, 70)
    going_on = resume(found, held, is_cut_short=False, split_messages=1000)
    assert going_on.lost == lost
    assert going_on.lanes == Lanes(max(50, begin), backlog)
    assert ("deleted before they were read" in going_on.note) == bool(lost)


def test_f27_a_log_that_was_cut_short_is_read_in_one_lane_from_its_start() -> None:
    found = Lanes(50, (Span(10, 20),))
    going_on = resume(found, Bounds(0, 30), is_cut_short=True, split_messages=1)
    assert going_on.lanes == Lanes(0)
    assert going_on.lost == ()


def test_the_backlog_is_written_as_a_multirange() -> None:
    assert backlog_text(Lanes(5)) == "{}"
    assert backlog_text(Lanes(50, (Span(10, 20), Span(30, 40)))) == "{[10,20),[30,40)}"
