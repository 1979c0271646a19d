"""A partition whose log goes on while its position does not: noticed in time, and only then."""

from collections.abc import Mapping
from itertools import chain, takewhile
from typing import NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.claims import Claim
from collector.consumer import RECORDS_PER_POLL, Bounds, BrokenClientError, Consumer, Partition
from collector.lanes import Lanes
from collector.report import Report
from collector.settings import CollectorSettings
from collector.stalls import LOOKS, LOOKS_MAX, Stall, Stalls
from collector.watch import ASK_EVERY_S, LOOK_EVERY_S, ClientWatch
from telemetry.errors import RetryableError
from tests.fix_collector import FixedClock

STILL, MOVING = Partition("samples", 0), Partition("samples", 1)


def looks_until_a_stall(stalls: Stalls, position: int, most: int = 10 * LOOKS_MAX) -> int:
    """Look until the partition has stalled; the first look only learns where it is."""
    for n in range(most):
        stalls.polled(is_dry=True)
        if stalls.look({STILL: position}):
            return n
    return most


def test_a_partition_that_stands_still_before_the_end_of_its_log_has_stalled() -> None:
    stalls = Stalls()
    stalls.learn({STILL: 20})
    for _ in range(LOOKS):
        stalls.polled(is_dry=True)
        assert stalls.look({STILL: 12}) == []
    stalls.polled(is_dry=True)
    assert stalls.look({STILL: 12}) == [Stall(STILL, 12, 20)]


@pytest.mark.parametrize("end", [None, 11, 12])
def test_a_partition_at_the_end_of_its_log_rests(end: int | None) -> None:
    stalls = Stalls()
    stalls.learn({} if end is None else {STILL: end})
    assert looks_until_a_stall(stalls, 12, most=50) == 50


def test_time_in_which_nothing_is_polled_does_not_count() -> None:
    stalls = Stalls()
    stalls.learn({STILL: 20})
    assert looks_until_a_stall(stalls, 12, most=LOOKS) == LOOKS
    for _ in range(50):
        assert stalls.look({STILL: 12}) == []


def test_polls_that_leave_something_in_hand_do_not_count() -> None:
    stalls = Stalls()
    stalls.learn({STILL: 20})
    for _ in range(50):
        stalls.polled(is_dry=False)
        assert stalls.look({STILL: 12}) == []


def test_a_partition_that_is_not_to_be_fetched_for_a_while_is_watched_from_anew() -> None:
    stalls = Stalls()
    stalls.learn({STILL: 20})
    assert looks_until_a_stall(stalls, 12, most=LOOKS) == LOOKS
    stalls.look({})
    assert looks_until_a_stall(stalls, 12) == LOOKS


def test_new_claims_are_watched_from_anew() -> None:
    stalls = Stalls()
    stalls.learn({STILL: 20})
    assert looks_until_a_stall(stalls, 12, most=LOOKS) == LOOKS
    stalls.start_over()
    stalls.learn({STILL: 20})
    assert looks_until_a_stall(stalls, 12) == LOOKS


def test_an_offset_that_stalls_every_client_is_given_longer_each_time() -> None:
    stalls = Stalls()
    waits = []
    for _ in range(7):
        stalls.learn({STILL: 20})
        waits.append(looks_until_a_stall(stalls, 12))
        stalls.start_over()
    assert waits == [LOOKS, 2 * LOOKS, 4 * LOOKS, 8 * LOOKS, *[LOOKS_MAX] * 3]
    stalls.learn({STILL: 20})
    assert looks_until_a_stall(stalls, 13) == LOOKS  # it went on


class Step(NamedTuple):
    """What happens between two looks."""

    fetched: int
    came: int
    is_dry: bool
    is_asked: bool


class Seen(NamedTuple):
    """What there is to know at a look."""

    position: int
    end: int
    known_end: int
    is_dry: bool


STEPS = st.builds(Step, st.integers(0, 2), st.integers(0, 2), st.booleans(), st.booleans())
# Without such stretches nothing would stand still for long enough.
STILLNESS = st.integers(1, 3 * LOOKS).map(lambda n: [Step(0, 0, is_dry=True, is_asked=True)] * n)


@given(st.lists(STEPS.map(lambda step: [step]) | STILLNESS, max_size=20))
def test_the_first_stall_is_said_when_so_many_dry_looks_in_a_row_saw_no_move(
    runs: list[list[Step]],
) -> None:
    stalls = Stalls()
    seen: list[Seen] = []
    end = position = known_end = 0
    for step in chain.from_iterable(runs):
        end += step.came
        position = min(end, position + step.fetched)
        if step.is_asked:
            known_end = end
            stalls.learn({STILL: end})
        stalls.polled(is_dry=step.is_dry)
        seen.append(Seen(position, end, known_end, step.is_dry))
        found = stalls.look({STILL: position})
        assert bool(found) == (dry_looks_without_a_move(seen) >= LOOKS)
        if found:
            assert found == [Stall(STILL, position, known_end)]
            assert position < end
            break


def dry_looks_without_a_move(seen: list[Seen]) -> int:
    """Count those at the end of what was seen, each with something to fetch."""
    still = takewhile(
        lambda pair: pair[0].position == pair[1].position < pair[1].known_end,
        zip(reversed(seen[:-1]), reversed(seen), strict=False),
    )
    return sum(later.is_dry for _, later in still)


class FakeConsumer:
    """A client that fetches one partition and not the other, of logs that both go on."""

    def __init__(self) -> None:
        self.position = 100
        self.is_answering = True
        self.asked = 0

    def bounds(self, claims: Mapping[Partition, Claim]) -> dict[Partition, Bounds]:
        self.asked += 1
        if not self.is_answering:
            raise RetryableError("the broker does not answer")
        return {partition: Bounds(0, 500) for partition in claims}

    def positions(self, _claims: Mapping[Partition, Claim]) -> dict[Partition, int]:
        return {STILL: 12, MOVING: self.position}


class Watched:
    """The watch over a collector that stores what comes."""

    def __init__(self, clock: FixedClock) -> None:
        self._clock = clock
        self.consumer = FakeConsumer()
        settings = CollectorSettings(database_url="postgresql:///")
        self.report = Report("c", clock)
        self._watch = ClientWatch(settings, clock, self.report)
        self._claims = {p: Claim("log", 1, Lanes(12), 12) for p in (STILL, MOVING)}
        self._watch.assigned()

    def turns(self, most: int, *, records: int = 0) -> None:
        for _ in range(most):
            self.turn(records=records)

    def turn(self, *, records: int = 0) -> None:
        self._clock.seconds += LOOK_EVERY_S
        self.consumer.position += records
        self._watch.polled(records)
        consumer = cast("Consumer", self.consumer)
        self._watch.look(consumer, self._claims, idle=not records)


@pytest.fixture
def watched(fixed_clock: FixedClock) -> Watched:
    return Watched(fixed_clock)


def test_a_client_that_leaves_one_partition_unfetched_is_given_up_while_others_flow(
    watched: Watched,
) -> None:
    stall = r"samples partition 0: the client stands still at offset 12, and the log goes on to 500"
    with pytest.raises(BrokenClientError, match=stall):
        watched.turns(LOOKS + int(ASK_EVERY_S / LOOK_EVERY_S) + 1, records=1)
    assert watched.report.fetch_stalls == 1
    # Whoever waits for the broker's answer stores nothing meanwhile.
    assert watched.consumer.asked <= 3


def test_a_client_that_fetches_nothing_is_given_up_and_says_of_how_much(watched: Watched) -> None:
    with pytest.raises(BrokenClientError, match="partition 0, like 1 more: the client"):
        watched.turns(LOOKS + 1)


def test_a_broker_that_does_not_answer_is_a_reason_to_wait_only_while_nothing_comes(
    watched: Watched,
) -> None:
    watched.consumer.is_answering = False
    watched.turns(5 * LOOKS, records=1)
    with pytest.raises(RetryableError, match="does not answer"):
        watched.turn()
    assert watched.report.fetch_stalls == 0


def test_a_client_under_a_load_that_fills_every_poll_is_let_be(watched: Watched) -> None:
    watched.turns(5 * LOOKS, records=RECORDS_PER_POLL)
    assert watched.report.fetch_stalls == 0
