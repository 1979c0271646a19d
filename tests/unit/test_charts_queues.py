"""The Queues figure: measures, outlook, and what is never added up."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.charts import queues as charts
from dashboard.charts.queues import Measure
from dashboard.view import Window

WINDOW = Window(start_s=0, end_s=3600, step_s=10)
ENTRIES = Measure("jobs", "entries", "jobs")


def queue(**values: Any) -> SimpleNamespace:
    empty = dict.fromkeys(("gpus_waiting", "gpu_seconds_waiting", "waiting"))
    return SimpleNamespace(**{**empty, "unit": "jobs", "queue": "q", **values})


def row(bucket_s: float, unit: str = "jobs", name: str = "q", **values: Any) -> SimpleNamespace:
    names = ("gpus", "hours", "entries", "oldest", "wait", "arrivals", "completions")
    told = {**dict.fromkeys(names), **values}
    return SimpleNamespace(
        facility_id=1, source="s", queue=name, unit=unit, bucket_s=bucket_s, **told
    )


def test_only_measures_that_somebody_tells_are_offered() -> None:
    found = charts.measures([queue(waiting=3.0), queue(waiting=4.0, unit="requests")])
    assert list(found) == ["jobs", "requests"]
    assert next(iter(charts.measures([queue(gpus_waiting=0.0)]))) == "gpus"


def test_a_queue_that_does_not_tell_a_measure_has_no_size_in_it() -> None:
    gpus = Measure("GPUs", "gpus", "GPUs")
    assert charts.size_now(queue(waiting=5.0), gpus) is None
    assert charts.size_now(queue(gpus_waiting=0.0), gpus) == 0.0
    assert charts.size_now(queue(waiting=5.0, unit="requests"), ENTRIES) is None
    hours = Measure("GPU-hours", "hours", "GPU-h")
    assert charts.size_now(queue(gpu_seconds_waiting=7200.0), hours) == 2.0


def test_jobs_and_requests_are_never_in_one_chart() -> None:
    rows = [row(0, "jobs", "a", entries=1.0), row(0, "requests", "b", entries=9.0)]
    assert list(charts.sizes(WINDOW, rows, ENTRIES)) == [(1, "s", "a")]
    drawn = charts.figure(WINDOW, [
        row(0, "jobs", "a", entries=1.0, arrivals=1.0),
        row(0, "requests", "b", entries=9.0, arrivals=2.0),
    ], charts.sizes(WINDOW, rows, ENTRIES), ENTRIES, {})  # fmt: skip
    titles = [note["text"] for note in drawn["layout"]["annotations"]]
    assert sum("jobs a minute" in title for title in titles) == 1
    assert sum("requests a minute" in title for title in titles) == 1


@settings(max_examples=50)
@given(st.integers(-50, 50), st.integers(0, 10_000), st.integers(4, 60))
def test_the_middle_of_an_outlook_lies_in_its_band_and_never_below_nothing(
    slope: int, start: int, steps: int
) -> None:
    noise = np.sin(np.arange(360) / 7)
    found = charts.outlook(start + slope / 10 * np.arange(360.0) + noise, 10, steps)
    assert found is not None
    assert len(found.middle) == steps
    assert (found.low <= found.middle).all()
    assert (found.middle <= found.high).all()
    assert (found.low >= 0).all()


def test_an_old_or_unknown_backlog_has_no_outlook() -> None:
    values = np.full(360, np.nan)
    assert charts.outlook(values, 10, 20) is None
    values[:200] = 5.0
    assert charts.outlook(values, 10, 20) is None


def test_the_axis_goes_on_beyond_now_only_where_there_is_an_outlook() -> None:
    rows = [row(10.0 * n, entries=400.0 - n) for n in range(361)]
    live = charts.figure(WINDOW, rows, charts.sizes(WINDOW, rows, ENTRIES), ENTRIES, {})
    assert live["layout"]["xaxis"]["range"][1] > 3_600_000
    assert any(trace.get("name") == "if it goes on so" for trace in live["data"])
    past = Window(0, 3600, 10, live=False)
    still = charts.figure(past, rows, charts.sizes(past, rows, ENTRIES), ENTRIES, {})
    assert still["layout"]["xaxis"]["range"][1] == 3_600_000


def test_rates_are_told_in_the_unit_that_keeps_them_readable() -> None:
    assert charts.rate(11.0) == "11.0 a second"
    assert charts.rate(0.012) == "43.2 an hour"
    assert charts.rate(None) == "—"
    assert charts.rate(0.0) == "0.0 a day"
