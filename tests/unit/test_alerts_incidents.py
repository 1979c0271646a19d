"""When people are told, and when it rings."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.incidents import Kind, Notice, Now, Pace, Told, decide

START = datetime(2026, 11, 1, tzinfo=UTC)
PACE = Pace(
    wait=timedelta(seconds=5),
    page=timedelta(minutes=30),
    update=timedelta(minutes=5),
    reminder=timedelta(hours=4),
)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def now_is(firing: int = 1, **changes: Any) -> Now:
    fields: dict[str, Any] = {
        "firing": firing, "muted": 0, "unacknowledged": firing, "severity": "warning",
        "newest_firing": START if firing else None, "calm": False,
    }  # fmt: skip
    return Now(**fields | changes)


def opened(**changes: Any) -> Told:
    _, told = decide(START, now_is(**changes), Told(), at(5), PACE)
    return told


def say(told: Told, second: float, firing: int = 1, **changes: Any) -> Notice | None:
    return decide(START, now_is(firing, **changes), told, at(second), PACE)[0]


def test_the_first_word_waits_for_company_and_rings() -> None:
    assert decide(START, now_is(), Told(), at(4), PACE) == (None, Told())
    notice, told = decide(START, now_is(7), Told(), at(5), PACE)
    assert notice == Notice(Kind.OPENED, page=True)
    assert (told.count, told.paged_at) == (7, at(5))


def test_nothing_new_means_nothing_said() -> None:
    assert say(opened(), 600) is None


def test_a_little_more_is_told_quietly_after_a_while() -> None:
    told = opened()
    assert say(told, 200, 3) is None
    assert say(told, 305, 3) == Notice(Kind.UPDATED, page=False)


def test_ten_times_more_rings_at_once() -> None:
    assert say(opened(firing=2), 16, 20) == Notice(Kind.UPDATED, page=True)
    assert say(opened(firing=2), 14, 20) is None


def test_growth_is_measured_against_the_most_there_ever_was() -> None:
    told = opened(firing=50)
    _, told = decide(START, now_is(3), told, at(400), PACE)
    assert say(told, 500, 50) is None


def test_getting_worse_rings_once_however_often_it_happens() -> None:
    told = opened()
    notice, told = decide(START, now_is(severity="critical"), told, at(30), PACE)
    assert notice == Notice(Kind.UPDATED, page=True)
    _, told = decide(START, now_is(severity="warning"), told, at(60), PACE)
    assert say(told, 90, severity="critical") is None


def test_a_new_firing_rings_again_once_the_last_ring_is_long_enough_ago() -> None:
    told = opened()
    assert say(told, 600, 2, newest_firing=at(590)) == Notice(Kind.UPDATED, page=False)
    assert say(told, 1805, 2, newest_firing=at(590)) == Notice(Kind.UPDATED, page=True)
    assert say(told, 1805, 2, newest_firing=at(590), unacknowledged=0) != Notice(
        Kind.UPDATED, page=True
    )


def test_nobody_answers_so_it_rings_again() -> None:
    told = opened()
    assert say(told, 4 * 3600) is None
    assert say(told, 4 * 3600 + 5) == Notice(Kind.REMINDER, page=True)
    assert say(told, 4 * 3600 + 5, unacknowledged=0) is None


def test_the_end_is_told_once_and_only_to_who_heard_the_beginning() -> None:
    notice, told = decide(START, now_is(0), opened(), at(60), PACE)
    assert notice == Notice(Kind.RESOLVED, page=False)
    assert decide(START, now_is(0), told, at(70), PACE)[0] is None
    assert decide(START, now_is(0), Told(), at(60), PACE)[0] is None


def test_what_is_only_muted_is_neither_told_nor_over() -> None:
    assert decide(START, now_is(0, muted=3), Told(), at(60), PACE)[0] is None
    assert decide(START, now_is(0, muted=3), opened(), at(60), PACE)[0] is None


def test_f46_what_comes_back_flapping_is_shown_but_does_not_ring_within_the_page_interval() -> None:
    _, told = decide(START, now_is(0), opened(), at(60), PACE)
    calm = now_is(calm=True, newest_firing=at(90))
    notice, told = decide(START, calm, told, at(90), PACE)
    assert notice == Notice(Kind.OPENED, page=False)
    assert decide(START, calm, told, at(1804), PACE)[0] is None
    assert decide(START, calm, told, at(1805), PACE)[0] == Notice(Kind.UPDATED, page=True)


def test_what_comes_back_for_another_reason_rings_at_once() -> None:
    _, told = decide(START, now_is(0), opened(), at(60), PACE)
    assert say(told, 90, newest_firing=at(90)) == Notice(Kind.OPENED, page=True)


WORLD = st.tuples(st.floats(1, 400), st.integers(0, 3), st.booleans())


@given(st.lists(WORLD, max_size=100))
def test_f46_a_flapping_group_rings_at_most_once_in_the_page_interval(
    steps: list[tuple[float, int, bool]],
) -> None:
    told, rings, second = Told(), list[datetime](), 0.0
    for pause_s, firing, _ in steps:
        second += pause_s
        state = now_is(firing, calm=True, newest_firing=at(second) if firing else None)
        notice, told = decide(START, state, told, at(second), PACE)
        if notice is not None and notice.page:
            rings.append(at(second))
    gaps = [later - earlier for earlier, later in itertools.pairwise(rings)]
    assert all(gap >= PACE.page for gap in gaps)


@given(st.lists(WORLD, max_size=100))
def test_openings_and_ends_alternate_and_what_fires_is_told(
    steps: list[tuple[float, int, bool]],
) -> None:
    told, open_, second = Told(), False, 0.0
    for pause_s, firing, calm in steps:
        second += pause_s + PACE.wait.total_seconds()
        state = now_is(firing, calm=calm, newest_firing=at(second) if firing else None)
        notice, told = decide(START, state, told, at(second), PACE)
        if notice is not None and notice.kind is Kind.OPENED:
            assert not open_
            open_ = True
        if notice is not None and notice.kind is Kind.RESOLVED:
            assert open_
            open_ = False
        assert open_ == bool(firing)


@pytest.mark.parametrize("firing", [1, 10, 100, 1000, 10_000])
def test_a_storm_that_grows_step_by_step_stays_a_handful_of_notices(firing: int) -> None:
    told, count, second = Told(), 0, 5.0
    for size in range(1, firing + 1, max(1, firing // 300)):
        notice, told = decide(START, now_is(size, newest_firing=at(second)), told, at(second), PACE)
        count += notice is not None
        second += 1
    assert count <= 7
