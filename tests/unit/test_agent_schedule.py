"""Ticks come on the monotonic clock, whatever else happens."""

from hypothesis import given
from hypothesis import strategies as st

from agent.schedule import Schedule


def test_ticks_do_not_drift_when_each_is_a_little_late() -> None:
    schedule = Schedule(1.0, 100.0)
    for number in range(50):
        assert schedule.advance(100.0 + number + 0.3) == 0
    assert schedule.wait_s(149.3) == 0.7 or abs(schedule.wait_s(149.3) - 0.7) < 1e-9


def test_f11_a_stall_misses_ticks_and_makes_no_burst() -> None:
    schedule = Schedule(1.0, 0.0)
    schedule.advance(0.0)
    assert schedule.advance(7.4) == 6
    assert not schedule.due(7.5)
    assert schedule.due(8.0)


@given(st.lists(st.floats(0, 20), max_size=50), st.floats(0.1, 60))
def test_every_interval_is_a_tick_or_counted_as_missed(
    delays: list[float], interval_s: float
) -> None:
    schedule = Schedule(interval_s, 0.0)
    now_s, taken, missed = 0.0, 0, 0
    for delay in delays:
        now_s += schedule.wait_s(now_s) + delay
        missed += schedule.advance(now_s)
        taken += 1
    assert taken + missed == 0 or abs((taken + missed - 1) - now_s / interval_s) <= 1.000001
