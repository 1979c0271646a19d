"""The figures of a host and of one accelerator."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import sql
from dashboard.charts import accelerator as charts
from dashboard.charts import host
from dashboard.charts.conditions import Condition, Interval
from dashboard.view import Window
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group

WINDOW = Window(start_s=0, end_s=600, step_s=10)


def fast(bucket_s: float, **values: Any) -> SimpleNamespace:
    names = [name for m in CATALOGUE.group(Group.FAST) for name in charts.columns(m)]
    return SimpleNamespace(bucket_s=bucket_s, **{**dict.fromkeys(names), **values})


def grid_of(steps: range, **values: Any) -> charts.Grid:
    return charts.on_grid(WINDOW, [fast(10.0 * n, **values) for n in steps], Group.FAST)


@pytest.mark.parametrize("group", list(Group))
def test_every_metric_of_the_catalogue_is_asked_for(group: Group) -> None:
    words = set(sql.queries("dashboard_host")[f"gpu_{group.value}"].replace(",", " ").split())
    raw = set(sql.queries("dashboard_host")[f"raw_{group.value}"].replace(",", " ").split())
    for metric in CATALOGUE.group(group):
        assert set(charts.columns(metric)) <= words, metric.name
        assert metric.name in raw


def test_values_are_told_in_the_unit_of_the_catalogue() -> None:
    grid = grid_of(range(3), power_milliwatts=700_000.0, sm_active_permille=650)
    assert grid["power_milliwatts"][0] == 700.0
    assert grid["sm_active_permille"][0] == 65.0


def test_a_band_is_closed_around_each_stretch_and_never_crosses_a_gap() -> None:
    grid = grid_of(range(60), power_milliwatts=500.0, power_milliwatts_min=400,
                   power_milliwatts_max=600, reader_status_code=0)  # fmt: skip
    for name in ("power_milliwatts_min", "power_milliwatts_max", "power_milliwatts"):
        grid[name][20:30] = np.nan
    drawn = charts.figure(WINDOW, grid, None, [])
    [band] = [trace for trace in drawn["data"] if trace.get("fill") == "toself"]
    assert band["x"].count(None) == 2
    assert not any(200_000 <= x < 300_000 for x in band["x"] if x is not None)


def test_a_slowdown_that_never_happened_has_no_lane() -> None:
    calm = charts.lanes_of(WINDOW, grid_of(range(60), utilization_gpu_percent=90.0,
                                           clock_event_reasons_bitmask=0))  # fmt: skip
    assert [lane.name for lane in calm] == ["state"]
    hot = charts.lanes_of(WINDOW, grid_of(range(60), utilization_gpu_percent=90.0,
                                          clock_event_reasons_bitmask=0x40))  # fmt: skip
    assert [lane.name for lane in hot] == ["state", "heat"]


def test_health_and_slowdowns_that_are_stored_have_lanes_even_where_readings_do_not_show_them() -> (
    None
):
    told = [Interval(7, condition, 100, 101, 1, 1.0)
            for condition in (Condition.PREDICTED, Condition.BRAKE)]  # fmt: skip
    busy = grid_of(range(60), utilization_gpu_percent=90.0, reader_status_code=0)
    assert [lane.name for lane in charts.lanes_of(WINDOW, busy, told)] == [
        "state", "health", "brake",
    ]  # fmt: skip


def test_an_accelerator_that_tells_nothing_gets_an_empty_panel_and_no_lane() -> None:
    grid = charts.on_grid(WINDOW, [], Group.FAST)
    assert charts.lanes_of(WINDOW, grid)[0].segments == []
    assert all(value is None for trace in charts.figure(WINDOW, grid, None, [])["data"]
               for value in trace["y"])  # fmt: skip


def test_each_accelerator_of_a_host_has_its_lane_even_without_readings() -> None:
    row = SimpleNamespace(gpu_id=7, bucket_s=0.0, status=0, reasons=0, load=50.0, sm=None,
                          headroom=30.0, power=500.0, memory=1.0)  # fmt: skip
    found = host.trails(WINDOW, [row], [7, 8])
    lanes = host.lanes_of(WINDOW, host.codes_of(WINDOW, found, []), [], {7: 0, 8: 1})
    assert [lane.name for lane in lanes] == ["GPU 0", "GPU 1"]
    assert lanes[0].segments
    assert not lanes[1].segments
    titles = str(host.figure(WINDOW, found, {7: 0, 8: 1}, [])["layout"]["annotations"])
    assert "Power" in titles
    assert "SM activity" not in titles
