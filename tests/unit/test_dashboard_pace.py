"""The pace of the live views: with what comes, and within what it may cost."""

from dashboard.pace import SHARE_MAX, Pace


def settled(cost_s: float) -> float:
    pace = Pace(slowest_s=1.0, fastest_s=0.25)
    for _ in range(30):
        pace.take(cost_s)
    return round(pace.interval_s, 2)


def test_a_cheap_look_is_taken_at_the_fastest_pace_and_a_dear_one_at_the_slowest() -> None:
    assert settled(0.005) == 0.25
    assert settled(0.5 * SHARE_MAX) == 0.5
    assert settled(0.4) == 1.0


def test_it_begins_slowly_and_one_slow_look_changes_little() -> None:
    pace = Pace(slowest_s=1.0, fastest_s=0.25)
    assert pace.interval_s == 1.0
    for _ in range(30):
        pace.take(0.001)
    pace.take(5.0)
    assert pace.interval_s < 0.5


def test_without_news_a_look_is_due_at_the_slowest_pace() -> None:
    pace = Pace(slowest_s=1.0, fastest_s=0.25)
    assert not pace.is_over(0.5)
    assert pace.is_over(1.0)
