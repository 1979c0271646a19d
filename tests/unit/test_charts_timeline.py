"""Panels on one time axis."""

import json
from itertools import pairwise

import numpy as np

from dashboard.charts.marks import Mark, gaps
from dashboard.charts.timeline import Line, Panel, Threshold, timeline
from dashboard.view import Window

WINDOW = Window(start_s=1_700_000_000, end_s=1_700_000_600, step_s=10)


def ramp() -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.arange(WINDOW.points, dtype=np.float64)


def test_all_panels_share_the_time_axis() -> None:
    panels = [
        Panel("A", "%", [Line("x", ramp(), "load")]),
        Panel("B", "W", [Line("", ramp(), "heat")]),
    ]
    figure = timeline(WINDOW, panels)
    assert {trace.get("xaxis", "x") for trace in figure["data"]} == {"x"}
    assert [trace["yaxis"] for trace in figure["data"]] == ["y", "y2"]
    assert figure["layout"]["xaxis"]["range"] == [1_700_000_000_000, 1_700_000_600_000]


def test_panels_do_not_overlap() -> None:
    panels = [Panel(str(n), "", [Line("", ramp(), "load")]) for n in range(4)]
    layout = timeline(WINDOW, panels)["layout"]
    domains = [layout[name]["domain"] for name in ("yaxis", "yaxis2", "yaxis3", "yaxis4")]
    for (low, _), (_, high) in pairwise(domains):
        assert low > high >= 0


def test_t10_texts_from_outside_are_no_markup_and_no_template() -> None:
    lines = [Line("<u>a %{x}", ramp(), "load")]
    panels = [Panel("<u>b", "<u>c %{x}", lines, aside="<u>d", thresholds=[Threshold(5, "<u>e")])]
    marks = [Mark(1_700_000_100, "<u>f %{x}")]
    drawn = json.dumps(timeline(WINDOW, panels, marks))
    assert "&lt;u&gt;f %&#123;x}" in drawn
    assert "<u>" not in drawn
    assert "%{x}" not in drawn


def test_a_gap_is_none_and_not_connected() -> None:
    values = ramp()
    values[3] = np.nan
    [trace] = timeline(WINDOW, [Panel("A", "%", [Line("x", values, "load")])])["data"]
    assert trace["y"][3] is None
    assert trace["connectgaps"] is False


def test_a_spike_of_one_step_is_inside_the_axis() -> None:
    values = ramp() * 0
    values[30] = 5000
    layout = timeline(WINDOW, [Panel("A", "W", [Line("x", values, "load")])])["layout"]
    assert layout["yaxis"]["range"][1] > 5000


def test_the_title_has_the_unit_and_the_names_of_lines() -> None:
    panel = Panel("Power", "W", [Line("most", ramp(), "muted")], thresholds=[Threshold(5, "limit")])
    texts = [note["text"] for note in timeline(WINDOW, [panel])["layout"]["annotations"]]
    assert "Power" in texts[0]
    assert "W" in texts[0]
    assert "most" in texts[0]
    assert texts[1] == "limit"


def test_a_band_is_named_once_and_after_the_lines() -> None:
    edges = [
        Line("low", ramp(), "muted", width=0, in_legend=False),
        Line("high", ramp(), "muted", width=0, fill="low", key="low to high"),
    ]
    panel = Panel("A", "%", [*edges, Line("mean", ramp(), "load")])
    drawn = timeline(WINDOW, [panel])
    text = drawn["layout"]["annotations"][0]["text"]
    assert text.index("mean") < text.index("low to high")
    assert text.count("low") == 1
    assert [trace["name"] for trace in drawn["data"]] == ["low", "high", "mean"]


def test_a_stack_is_lifted_and_tells_each_line_its_own_value() -> None:
    first, second = ramp(), ramp() * 2
    first[0] = np.nan
    panel = Panel(
        "Waiting",
        "GPUs",
        [Line("a", first, "load", fill="stack"), Line("b", second, "heat", fill="stack")],
    )
    low, high = timeline(WINDOW, [panel])["data"]
    assert low["y"][5] == 5
    assert high["y"][5] == 15
    assert high["customdata"][5] == 10
    assert low["y"][0] is None
    assert high["y"][0] == 0


def test_an_empty_stack_keeps_its_gap() -> None:
    hole = ramp()
    hole[10:20] = np.nan
    panel = Panel(
        "Waiting",
        "",
        [Line("a", hole, "load", fill="stack"), Line("b", hole, "heat", fill="stack")],
    )
    _, high = timeline(WINDOW, [panel])["data"]
    assert high["y"][10:20] == [None] * 10


def test_silences_are_shaded_and_named() -> None:
    values = ramp()
    values[20:40] = np.nan
    figure = timeline(WINDOW, [Panel("A", "%", [Line("x", values, "load")])], silence=values)
    shades = [shape for shape in figure["layout"]["shapes"] if shape["type"] == "rect"]
    assert len(shades) == 1
    assert "no data" in [note["text"] for note in figure["layout"]["annotations"]]


def test_time_before_the_first_data_is_no_silence() -> None:
    values = ramp()
    values[:30] = np.nan
    assert gaps(values) == []
    values[50:] = np.nan
    assert gaps(values) == [(50, len(values) - 1)]


def test_events_stand_above_and_grave_ones_cross_all_panels() -> None:
    marks = [Mark(1_700_000_100, "Xid 79", "bad"), Mark(1_700_000_200, "agent start", "info")]
    figure = timeline(WINDOW, [Panel("A", "%", [Line("x", ramp(), "load")])], marks)
    assert figure["data"][-1]["text"] == ["Xid 79", "agent start"]
    lines = [shape for shape in figure["layout"]["shapes"] if shape["type"] == "line"]
    assert [line["x0"] for line in lines] == [1_700_000_100_000]


def test_a_figure_is_plain_json() -> None:
    panel = Panel("A", "%", [Line("x", ramp(), "load")], bars=True)
    assert json.loads(json.dumps(timeline(WINDOW, [panel], [Mark(1_700_000_000, "x")])))


def test_names_of_limits_that_are_close_stand_on_either_side_of_their_lines() -> None:
    """Above each other they would be one heap of letters."""
    limits = [Threshold(87, "core slows down"), Threshold(95, "HBM limit"), Threshold(40, "low")]
    lines = [Line("core", ramp(), "heat")]
    panel = Panel("Temperature", "°C", lines, low=20, high=100, thresholds=limits)
    figure = timeline(WINDOW, [panel])
    sides = {note["text"]: note.get("yanchor") for note in figure["layout"]["annotations"]}
    names = [limit.name for limit in limits]
    assert [sides[name] for name in names] == ["top", "bottom", "bottom"]
