"""What the benches make of their measurements."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.command import BENCHES
from benchmarks.report import Report, Stack, percentile, round_figure, slope_per_hour, summarise


def test_a_figure_is_the_median_of_its_runs_with_least_and_most_beside_it() -> None:
    runs = [{"ms": 3.0}, {"ms": 1.0}, {"ms": 10.0}]
    assert summarise(runs) == {"ms": 3.0, "ms_spread": [1.0, 10.0]}


def test_a_figure_that_no_run_has_is_null_and_still_there() -> None:
    assert summarise([{"ms": None}, {"ms": None}]) == {"ms": None, "ms_spread": None}


def test_a_figure_that_some_runs_lack_is_that_of_the_others() -> None:
    assert summarise([{"ms": None}, {"ms": 4.0}, {}])["ms"] == 4.0


def test_groups_are_summarised_figure_by_figure() -> None:
    runs = [{"peer": {"bytes": 1.0}}, {"peer": {"bytes": 3.0}}]
    assert summarise(runs) == {"peer": {"bytes": 2.0, "bytes_spread": [1.0, 3.0]}}


def test_a_report_has_the_agreed_keys_and_is_json() -> None:
    report = Report(
        bench="wall",
        parameters={"gpus": 8},
        stack=Stack(database="PostgreSQL", tier="postgres"),
        runs=[{"first_paint_ms": 12.5}],
        notes=["one"],
    )
    document = json.loads(json.dumps(report.document({"cores": 2})))
    assert list(document) == [
        "bench", "machine", "stack", "parameters", "runs", "figures", "notes",
    ]  # fmt: skip
    assert document["stack"] == {"broker": None, "database": "PostgreSQL", "tier": "postgres"}
    assert document["figures"] == {"first_paint_ms": 12.5, "first_paint_ms_spread": [12.5, 12.5]}


@pytest.mark.parametrize(
    ("value", "shown"), [(0.123456, 0.1235), (12345.6, 12346), (7, 7), (99.999, 100.0), (0.0, 0.0)]
)
def test_a_figure_has_four_digits(value: float, shown: float) -> None:
    assert round_figure(value) == shown


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 50) == 50.0
    assert percentile(values, 99) == 99.0
    assert percentile([7.0], 99) == 7.0
    assert percentile([], 50) is None


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.integers(1, 100))
def test_a_percentile_leaves_that_share_at_or_below_it(values: list[float], percent: int) -> None:
    found = percentile(values, percent)
    assert found is not None
    below = sum(value <= found for value in values)
    assert 100 * below >= percent * len(values)


def test_a_slope_is_by_the_hour() -> None:
    rising = [(float(second), 100 + second / 60) for second in range(600)]
    assert slope_per_hour(rising) == pytest.approx(60.0)
    assert slope_per_hour([(0.0, 1.0), (1.0, 2.0)]) is None
    assert slope_per_hour([(5.0, 1.0)] * 4) is None


def test_the_benches_of_the_targets_are_there() -> None:
    targets = {"ingest", "storage", "agent", "latency", "wall", "viewers", "query", "start"}
    assert targets <= set(BENCHES)
