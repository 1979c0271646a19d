"""State timelines: what counts as what, and where a stretch begins and ends."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.state_changes import SUBJECTS
from dashboard.charts import conditions, lanes
from dashboard.charts.conditions import LOOKS, Condition, Interval
from dashboard.charts.lanes import Lane, Segment
from dashboard.view import Window
from telemetry.records import ReaderStatus

WINDOW = Window(start_s=1000, end_s=1200, step_s=10)
NAN = float("nan")


def condition(
    status: float = 0, reasons: float = 0, load: float = 50, headroom: float = 30
) -> Condition:
    parts = [np.array([value]) for value in (status, reasons, load, headroom)]
    return Condition(int(conditions.conditions(*parts)[0]))


def test_the_gravest_condition_wins() -> None:
    assert condition() is Condition.BUSY
    assert condition(load=0) is Condition.IDLE
    assert condition(reasons=0x4) is Condition.POWER_CAP
    assert condition(reasons=0x4 | 0x80) is Condition.BRAKE
    assert condition(reasons=0x80 | 0x40) is Condition.HEAT
    assert condition(reasons=0x40, status=ReaderStatus.LOST) is Condition.LOST


def test_no_headroom_is_heat_even_when_the_driver_gives_no_reason() -> None:
    assert condition(headroom=0) is Condition.HEAT


def test_a_power_cap_on_an_idle_board_is_no_news() -> None:
    assert condition(load=0, reasons=0x4) is Condition.IDLE


def test_what_was_not_read_is_never_idle() -> None:
    assert condition(status=NAN, reasons=NAN, load=NAN, headroom=NAN) is Condition.NO_DATA
    assert condition(status=ReaderStatus.TIMEOUT, load=NAN) is Condition.SILENT
    assert condition(status=ReaderStatus.LOST, load=NAN) is Condition.LOST


def test_a_hole_is_a_stretch_of_its_own_and_what_came_before_is_blank() -> None:
    codes = np.full(20, Condition.NO_DATA, np.int64)
    codes[4:8] = Condition.BUSY
    codes[12:20] = Condition.IDLE
    found = lanes.stretches(codes, WINDOW)
    told = [(s.start_s, s.end_s, s.look.label) for s in found]
    assert told == [(1040, 1080, "busy"), (1080, 1120, "no data"), (1120, 1200, "idle")]


def test_messages_on_their_way_are_not_called_silence() -> None:
    codes = np.full(20, Condition.BUSY, np.int64)
    codes[18:] = Condition.NO_DATA
    assert [s.look.label for s in lanes.stretches(codes, WINDOW)] == ["busy"]
    codes[10:] = Condition.NO_DATA
    assert [s.look.label for s in lanes.stretches(codes, WINDOW)] == ["busy", "no data"]


def test_without_any_reading_there_is_no_stretch() -> None:
    codes = np.full(20, Condition.NO_DATA, np.int64)
    assert lanes.stretches(codes, WINDOW) == []


@settings(max_examples=60)
@given(st.lists(st.sampled_from(list(Condition)), min_size=20, max_size=20))
def test_stretches_follow_one_another_and_say_what_the_steps_said(given: list[Condition]) -> None:
    codes = np.array(given, np.int64)
    found = lanes.stretches(codes, WINDOW)
    for left, right in itertools.pairwise(found):
        assert left.end_s == right.start_s
        assert left.look is not right.look
    for segment in found:
        first = int((segment.start_s - WINDOW.start_s) // WINDOW.step_s)
        assert LOOKS[given[first]] is segment.look


def interval(condition: Condition, start_s: float, end_s: float, times: int = 1) -> Interval:
    return Interval(7, condition, start_s, end_s, times, end_s - start_s)


def with_told(*told: Interval, silent: slice = slice(0)) -> list[Segment]:
    codes = np.full(20, Condition.BUSY, np.int64)
    codes[silent] = Condition.NO_DATA
    steps = conditions.with_intervals(codes, told, WINDOW)
    return lanes.exactly(lanes.stretches(steps, WINDOW), told)


def test_a_stored_interval_of_a_second_stays_visible_and_is_told_to_the_second() -> None:
    found = with_told(interval(Condition.HEAT, 1053.2, 1054.1))
    assert [(s.start_s, s.end_s, s.look.label) for s in found] == [
        (1000, 1050, "busy"), (1050, 1060, "slowed by heat"), (1060, 1200, "busy"),
    ]  # fmt: skip
    assert found[1].told_s == (1053.2, 1054.1)
    assert "1053; to @t1054;" in str(lanes.figure(WINDOW, [Lane("x", found)]))


def test_what_began_before_the_axis_is_told_with_its_own_beginning() -> None:
    [segment] = with_told(interval(Condition.FAILED, 200, math.inf))
    assert (segment.start_s, segment.open, segment.told_s) == (1000, True, (200, 1200))


def test_an_interval_says_nothing_of_a_time_in_which_nobody_was_heard() -> None:
    found = with_told(interval(Condition.LOST, 1050, math.inf), silent=slice(10, 20))
    assert [s.look.label for s in found] == ["busy", "lost", "no data"]
    assert not found[1].open or found[1].end_s < WINDOW.end_s


def test_many_short_intervals_are_one_stretch_that_counts_them() -> None:
    found = with_told(
        interval(Condition.BRAKE, 1050, 1058, 4), interval(Condition.BRAKE, 1060, 1069, 3)
    )
    assert [s.look.label for s in found] == ["busy", "power brake", "busy"]
    assert found[1].more.startswith("7 times")


def test_a_slowdown_shows_through_a_standing_memory_error_but_not_through_a_failure() -> None:
    assert Condition.DEGRADED < Condition.PREDICTED < Condition.HARDWARE
    assert Condition.HEAT < Condition.FAILED < Condition.LOST


def test_every_state_that_the_collector_stores_has_its_condition() -> None:
    stored = {(s.name, word) for s in SUBJECTS for word in s.words if word != "ok"}
    assert stored == set(conditions.TOLD)


def test_a_state_of_a_newer_collector_is_left_out() -> None:
    row = SimpleNamespace(subject="reader", state="asleep")
    assert conditions.intervals([row]) == []


def alert(rule: str, started_s: float, resolved_s: float | None) -> SimpleNamespace:
    return SimpleNamespace(
        rule=rule, severity="critical", started_s=started_s, resolved_s=resolved_s
    )


def test_an_open_alert_reaches_to_the_end_and_rules_have_lanes_of_their_own() -> None:
    found = lanes.alert_lanes(WINDOW, [alert("gpu_lost", 1050, None), alert("thermal", 1010, 1020)])
    assert [len(lane.segments) for lane in found] == [1, 1]
    assert (found[0].segments[0].end_s, found[0].segments[0].open) == (1200, True)
    assert (found[1].segments[0].end_s, found[1].segments[0].open) == (1020, False)
    assert len({lane.name for lane in found}) == 2


def test_a_figure_has_a_bar_a_stretch_and_escapes_what_is_not_its_own() -> None:
    look = LOOKS[Condition.HEAT]
    shown = [Lane("<b>x", [Segment(900, 1100, look, text="<i>y")])]
    drawn = lanes.figure(WINDOW, shown)
    [bar] = drawn["data"]
    assert bar["base"] == [1_000_000]  # cut at the beginning of the axis
    assert bar["x"] == [100_000]
    assert "<i>" not in str(drawn)
    assert "<b>x" not in str(drawn)


def test_a_name_is_written_from_the_edge_that_leaves_it_more_room() -> None:
    look = LOOKS[Condition.HEAT]
    spans = [(1000, 1200), (1080, 1200), (1010, 1030), (1150, 1190)]
    shown = [Lane("x", [Segment(*span, look, text="y")]) for span in spans]
    notes = lanes.figure(WINDOW, shown)["layout"]["annotations"]
    assert [(note["x"], note["xanchor"]) for note in notes] == [
        (1_000_000, "left"), (1_200_000, "right"), (1_010_000, "left"), (1_190_000, "right"),
    ]  # fmt: skip


def test_a_name_stands_beside_a_stretch_that_is_too_short_for_it() -> None:
    look, text = LOOKS[Condition.HEAT], "accelerators lost · Memphis 1"  # a fifth of the window
    at_end, at_start, long = (1180, 1200), (1000, 1010), (1100, 1200)
    shown = [Lane(text, [Segment(*span, look, text=text)]) for span in (at_end, at_start, long)]
    notes = lanes.figure(WINDOW, shown)["layout"]["annotations"]
    assert [(note["x"], note["xanchor"], note["xshift"]) for note in notes] == [
        (1_180_000, "right", -4), (1_010_000, "left", 4), (1_200_000, "right", -4),
    ]  # fmt: skip


def test_a_name_does_not_stand_over_what_comes_next_in_its_lane() -> None:
    look, text = LOOKS[Condition.HEAT], "memphis-1-003-07 GPU 3"
    first, then = Segment(1002, 1010, look, text=text), Segment(1010, 1200, look)
    [note] = lanes.figure(WINDOW, [Lane("x", [first, then])])["layout"]["annotations"]
    assert (note["x"], note["xanchor"]) == (1_002_000, "left")
    crowded = [Segment(1180, 1200, look, text=text), Segment(1000, 1170, look)]
    [note] = lanes.figure(WINDOW, [Lane("x", crowded)])["layout"]["annotations"]
    assert (note["x"], note["xanchor"]) == (1_200_000, "right")


def test_lanes_that_stand_alone_have_times_below_them() -> None:
    shown = [Lane("x", [Segment(1000, 1100, LOOKS[Condition.HEAT])])]
    above, alone = (lanes.figure(WINDOW, shown, alone=word)["layout"] for word in (False, True))
    assert above["xaxis"]["showticklabels"] is False
    assert "showticklabels" not in alone["xaxis"]
    assert alone["height"] - alone["margin"]["b"] == above["height"] - above["margin"]["b"]


def test_reasons_are_named_and_unknown_bits_are_shown() -> None:
    assert conditions.reason_words(0x4 | 0x40) == "power cap, heat, by hardware"
    assert conditions.reason_words(0x1000) == "0x1000"
    assert conditions.reason_words(NAN) == ""


def test_every_condition_has_its_own_look() -> None:
    assert set(LOOKS) == set(Condition)
    assert len({(look.colour, look.pattern) for look in LOOKS.values()}) == len(LOOKS)
