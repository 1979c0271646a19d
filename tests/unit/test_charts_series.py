"""Series on a time grid, and when a backlog will be gone."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.charts import series
from dashboard.view import Window

WINDOW = Window(start_s=1000, end_s=1100, step_s=10)


def row(bucket_s: float, value: float | None, **keys: object) -> SimpleNamespace:
    return SimpleNamespace(bucket_s=bucket_s, value=value, **keys)


def test_a_missing_bucket_stays_a_gap() -> None:
    grid = series.on_grid([row(1000, 1.0), row(1020, 3.0)], WINDOW, ["value"])["value"]
    assert grid[0] == 1.0
    assert math.isnan(grid[1])
    assert grid[2] == 3.0


def test_a_null_is_a_gap_and_not_zero() -> None:
    grid = series.on_grid([row(1000, None), row(1010, 0.0)], WINDOW, ["value"])["value"]
    assert math.isnan(grid[0])
    assert grid[1] == 0.0


def test_rows_outside_the_window_are_left_out() -> None:
    grid = series.on_grid([row(990, 1.0), row(5000, 2.0)], WINDOW, ["value"])["value"]
    assert np.isnan(grid).all()


def test_an_answer_counts_for_a_while_and_then_no_more() -> None:
    values = np.array([1.0, np.nan, np.nan, np.nan, 2.0])
    carried = series.carry(values, 2)
    assert carried[:3].tolist() == [1.0, 1.0, 1.0]
    assert math.isnan(carried[3])
    assert carried[4] == 2.0


def test_queues_are_added_where_one_is_silent_for_a_moment() -> None:
    rows = [
        row(1000, 5.0, queue="a"), row(1050, 5.0, queue="a"), row(1010, 2.0, queue="b"),
    ]  # fmt: skip
    parts = series.stacked(rows, WINDOW, "value", ["queue"])
    total = series.total(parts.values(), WINDOW.points)
    assert total.tolist() == [7.0] * WINDOW.points


def test_a_queue_that_tells_nothing_is_not_part_of_the_sum() -> None:
    rows = [row(1000, None, queue="a"), row(1000, 4.0, queue="b")]
    assert list(series.stacked(rows, WINDOW, "value", ["queue"])) == [("b",)]


def test_the_sum_of_nothing_is_not_known() -> None:
    assert np.isnan(series.total([], 3)).all()


def test_a_falling_backlog_is_empty_when_its_trend_says_so() -> None:
    values = np.asarray(
        600.0 - np.arange(60) * 10.0, np.float64
    )  # one a second, ten seconds a step
    estimate = series.drain(values, 10)
    assert estimate is not None
    assert estimate.seconds == pytest.approx(values[-1], rel=0.01)
    assert estimate.per_hour == pytest.approx(-3600)


def test_a_growing_backlog_is_never_empty() -> None:
    estimate = series.drain(np.arange(60.0), 10)
    assert estimate is not None
    assert estimate.seconds is None
    assert estimate.high_s is None
    assert estimate.per_hour > 0


def test_nothing_is_estimated_when_the_newest_is_long_ago() -> None:
    values = np.concatenate([np.arange(60.0), np.full(10, np.nan)])
    assert series.drain(values, 10) is None


def test_gaps_become_none_in_json() -> None:
    assert series.rounded(np.array([1.26, np.nan])) == [1.3, None]


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.just(math.nan), st.floats(0, 1e6)), min_size=0, max_size=80),
    st.sampled_from([10, 60, 300]),
)
def test_an_estimate_is_never_negative_and_its_band_holds_it(
    values: list[float], step_s: int
) -> None:
    estimate = series.drain(np.array(values, np.float64), step_s)
    if estimate is None or estimate.seconds is None:
        return
    assert estimate.seconds >= 0
    if estimate.low_s is not None and estimate.seconds > 0:
        assert estimate.low_s <= estimate.seconds * (1 + 1e-6)
