"""Lanes of work: who held which accelerators when, in as few lanes as it takes."""

import itertools
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard import told
from dashboard.charts import conditions, lanes, work
from dashboard.charts.lanes import Segment
from dashboard.view import Window

WINDOW = Window(start_s=1000, end_s=2000, step_s=10)
INDICES = {70 + n: n for n in range(8)}


def row(job: str, start_s: float, end_s: float | None = None, **more: Any) -> SimpleNamespace:
    told = {"source": "slurm", "user_name": "", "gpu_ids": [70], "steps": [""]} | more
    return SimpleNamespace(job=job, started_s=start_s, ended_s=end_s, is_open=end_s is None, **told)


def shown(*rows: SimpleNamespace, silences: tuple[Segment, ...] = ()) -> list[list[Segment]]:
    found, hidden = work.lanes_of(WINDOW, work.works(rows, WINDOW), INDICES, silences)
    assert hidden == 0
    return [list(lane.segments) for lane in found]


def test_steps_and_accelerators_of_one_job_are_one_stretch() -> None:
    [[stretch]] = shown(
        row("7", 1100, 1200, gpu_ids=[70, 71], steps=["0"]),
        row("7", 1205, None, gpu_ids=[72], steps=["1"]),
    )
    assert stretch.label == "job 7 · 3 of 8"
    assert stretch.more == "GPU 0\u20132, step 0, 1"
    assert (stretch.start_s, stretch.end_s, stretch.open) == (1100, 2000, True)


def test_a_job_that_runs_again_later_is_a_stretch_of_its_own() -> None:
    [stretches] = shown(row("7", 1100, 1200), row("7", 1500, 1600))
    assert [(s.start_s, s.end_s) for s in stretches] == [(1100, 1200), (1500, 1600)]


def test_work_that_overlaps_stands_in_lanes_below_each_other() -> None:
    found = shown(row("1", 900, 1500), row("2", 1400, 1800), row("3", 1500, 1900))
    assert [[s.text for s in lane] for lane in found] == [["job 1", "job 3"], ["job 2"]]
    assert found[0][0].told_s == (900, 1500)


def test_what_has_no_room_is_counted() -> None:
    rows = [row(str(n), 1100 + n, None) for n in range(work.WORK_LANES_MAX + 3)]
    found, hidden = work.lanes_of(WINDOW, work.works(rows, WINDOW), INDICES)
    assert (len(found), hidden) == (work.WORK_LANES_MAX, 3)
    assert "3 pieces of work had no room" in str(told.table(found, hidden))


def test_a_time_in_which_nobody_was_heard_is_not_said_to_be_worked_in() -> None:
    silence = Segment(1200, 1300, work.SILENT)
    [stretches] = shown(row("1", 1100, None), silences=(silence,))
    told_of = sorted((s.start_s, s.end_s, s.look.label) for s in stretches)
    assert told_of == [(1100, 1200, "work"), (1200, 1300, "no data"), (1300, 2000, "work")]


def test_in_words_what_was_cut_by_silence_is_one_entry_and_what_was_of_all_lanes_too() -> None:
    silence = Segment(1200, 1300, work.SILENT)
    found, _ = work.lanes_of(
        WINDOW, work.works([row("1", 1100, None)], WINDOW), INDICES, (silence,)
    )
    states = [lanes.Lane(f"GPU {n}", [silence]) for n in range(8)]
    written = str(told.table([*states, *found]))
    assert "In words: 2 entries" in written
    assert "9 lanes" in written
    assert written.count("job 1 ") == 1


def test_a_name_from_outside_is_drawn_letter_by_letter() -> None:
    found, _ = work.lanes_of(
        WINDOW, work.works([row("<b>%{x}", 1100, user_name="<i>")], WINDOW), INDICES
    )
    drawn = str(lanes.figure(WINDOW, found))
    assert "<b>%" not in drawn
    assert "%{x}" not in drawn.replace("%{customdata}", "")
    assert "<i>" not in drawn


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(900, 2000), st.integers(1, 600)), max_size=40))
def test_stretches_of_a_lane_never_overlap_and_no_work_is_lost(
    spans: list[tuple[int, int]],
) -> None:
    rows = [row(str(n), start, start + length) for n, (start, length) in enumerate(spans)]
    rows = [r for r in rows if r.started_s < WINDOW.end_s and r.ended_s >= WINDOW.start_s]
    found, hidden = work.lanes_of(WINDOW, work.works(rows, WINDOW), INDICES)
    assert sum(len(lane.segments) for lane in found) + hidden == len(rows)
    for lane in found:
        ordered = sorted(lane.segments, key=lambda s: s.start_s)
        for left, right in itertools.pairwise(ordered):
            assert left.end_s <= right.start_s


def test_work_looks_like_no_condition() -> None:
    assert work.LOOK.colour not in {look.colour for look in conditions.LOOKS.values()}
