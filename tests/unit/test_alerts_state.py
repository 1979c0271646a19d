"""The life of an alert, step by step and at random."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from alerts.offences import Verdict
from alerts.state import Life, State, Timing, advance

START = datetime(2026, 11, 1, tzinfo=UTC)
TIMING = Timing(
    pending=timedelta(seconds=30), clear=timedelta(seconds=60), flap_window=timedelta(minutes=30)
)
BAD, HOLD, GOOD = Verdict.BAD, Verdict.HOLD, Verdict.GOOD


def live(
    *steps: tuple[float, Verdict], timing: Timing = TIMING, life: Life | None = None
) -> Life | None:
    for second, verdict in steps:
        life = advance(life, verdict, START + timedelta(seconds=second), timing)
    return life


def state_after(*steps: tuple[float, Verdict], timing: Timing = TIMING) -> State | None:
    life = live(*steps, timing=timing)
    return None if life is None else life.state


def test_an_offender_is_pending_until_its_time_is_over() -> None:
    assert state_after((0, BAD), (29, BAD)) is State.PENDING
    assert state_after((0, BAD), (30, BAD)) is State.FIRING


def test_without_a_wait_it_fires_at_once() -> None:
    at_once = Timing(timedelta(0), timedelta(0), timedelta(0))
    assert state_after((0, BAD), timing=at_once) is State.FIRING
    assert state_after((0, BAD), (1, GOOD), timing=at_once) is State.RESOLVED


def test_a_pending_one_that_looks_good_is_forgotten_and_starts_anew() -> None:
    assert state_after((0, BAD), (10, GOOD)) is None
    assert state_after((0, BAD), (10, GOOD), (20, BAD), (49, BAD)) is State.PENDING


def test_holding_neither_fires_nor_forgets_nor_clears() -> None:
    assert state_after((0, HOLD)) is None
    assert state_after((0, BAD), (100, HOLD)) is State.PENDING
    assert state_after((0, BAD), (30, BAD), (40, HOLD), (4000, HOLD)) is State.FIRING


def test_holding_interrupts_the_calm() -> None:
    assert state_after((0, BAD), (30, BAD), (40, GOOD), (90, HOLD), (101, GOOD)) is State.FIRING


def test_it_is_resolved_after_enough_calm_and_not_before() -> None:
    assert state_after((0, BAD), (30, BAD), (40, GOOD), (99, GOOD)) is State.FIRING
    assert state_after((0, BAD), (30, BAD), (40, GOOD), (100, GOOD)) is State.RESOLVED


def test_an_acknowledged_one_stays_so_until_it_ends() -> None:
    firing = live((0, BAD), (30, BAD))
    assert firing is not None
    life: Life | None = Life(
        State.ACKNOWLEDGED, firing.pending_since, firing.fired_at, firings=firing.firings
    )
    life = live((40, BAD), life=life)
    assert life is not None
    assert life.state is State.ACKNOWLEDGED
    life = live((50, GOOD), (110, GOOD), life=life)
    assert life is not None
    assert life.state is State.RESOLVED


def test_f46_firing_again_within_the_window_is_flapping_and_needs_a_long_calm() -> None:
    twice = [(0.0, BAD), (30, BAD), (40, GOOD), (100, GOOD), (110, BAD), (140, BAD)]
    life = live(*twice)
    assert life is not None
    assert life.flapping
    assert len(life.firings) == 2
    assert state_after(*twice, (150, GOOD), (1900, GOOD)) is State.FIRING
    assert state_after(*twice, (150, GOOD), (1950, GOOD)) is State.RESOLVED


def test_firing_again_after_the_window_is_a_new_matter() -> None:
    life = live((0, BAD), (30, BAD), (40, GOOD), (100, GOOD), (2000, BAD), (2030, BAD))
    assert life is not None
    assert not life.flapping
    assert life.firings == (START + timedelta(seconds=2030),)


def test_one_that_was_pending_again_goes_back_to_resolved() -> None:
    life = live((0, BAD), (30, BAD), (40, GOOD), (100, GOOD), (110, BAD), (120, GOOD))
    assert life is not None
    assert life.state is State.RESOLVED
    assert life.resolved_at == START + timedelta(seconds=100)


def test_a_clock_that_steps_back_restarts_waits_instead_of_stretching_them() -> None:
    assert state_after((7200, BAD), (0, BAD), (30, BAD)) is State.FIRING
    assert state_after((0, BAD), (30, BAD), (7200, GOOD), (60, GOOD), (120, GOOD)) is State.RESOLVED


STEPS = st.lists(
    st.tuples(st.floats(0.1, 100), st.sampled_from(list(Verdict))), min_size=1, max_size=80
)


@given(STEPS)
def test_it_fires_exactly_when_it_was_bad_for_long_enough(
    steps: list[tuple[float, Verdict]],
) -> None:
    """Against a second description of the same thing, by looking back over the whole history."""
    life: Life | None = None
    history: list[tuple[datetime, Verdict]] = []
    now = START
    for pause_s, verdict in steps:
        now += timedelta(seconds=pause_s)
        history.append((now, verdict))
        before = life
        life = advance(life, verdict, now, TIMING)
        was_active = before is not None and before.state.active
        is_active = life is not None and life.state.active
        if is_active and not was_active:
            since = first_of_run(history, until_not=GOOD, first=BAD, after=_ended(before))
            assert verdict is BAD
            assert now - since >= TIMING.pending
        if was_active and not is_active:
            assert life is not None
            assert life.state is State.RESOLVED
            calm = first_of_run(history, until_not=None, first=GOOD, after=None)
            assert now - calm >= TIMING.clear
            assert before is not None
            assert not before.flapping or now - calm >= TIMING.flap_window


def _ended(life: Life | None) -> datetime | None:
    return None if life is None else life.resolved_at


def first_of_run(
    history: list[tuple[datetime, Verdict]],
    until_not: Verdict | None,
    first: Verdict,
    after: datetime | None,
) -> datetime:
    """The first `first` of the newest run: broken by `until_not`, or by anything but `first`."""
    found = history[-1][0]
    for time, verdict in reversed(history):
        broken = verdict is until_not if until_not is not None else verdict is not first
        if broken or (after is not None and time <= after):
            break
        if verdict is first:
            found = time
    return found


@given(STEPS)
def test_what_is_remembered_is_always_consistent(steps: list[tuple[float, Verdict]]) -> None:
    life: Life | None = None
    now = START
    for pause_s, verdict in steps:
        now += timedelta(seconds=pause_s)
        life = advance(life, verdict, now, TIMING)
        if life is None:
            continue
        if life.state.active:
            assert life.fired_at is not None
            assert life.resolved_at is None
        if life.state is State.RESOLVED:
            assert life.resolved_at is not None
            assert life.firings
        if life.state is State.PENDING:
            assert life.calm_since is None
        assert list(life.firings) == sorted(life.firings)
