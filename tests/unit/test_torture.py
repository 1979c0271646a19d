"""The torture's own pure parts: the same seed is the same schedule, and the tally can say no."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from collector.batch import Batch
from collector.store import Store
from telemetry.streams import Stream
from tests.fix_agent import MakeOutbox, make_tick
from tests.torture import __main__ as torture
from tests.torture import mutants, scenes, schedule
from tests.torture.holding_collector import hold_at_write
from tests.torture.stage import FAULTS
from tests.torture.tally import Row, Tally, compare, hosts_since
from tests.torture.tallying_agent import TallyingOutbox
from tests.torture.torment import Verdict
from tests.torture.waiting import STILL_S, Stillness

A: Row = ("samples", "host-0", 5, 0, 700)
B: Row = ("samples", "host-0", 5, 1, None)
C: Row = ("events", "host-0", 6, 79, "torture 1")
STOP_ME = (os.getpid(), signal.SIGSTOP)


def tally_of(*lines: tuple[str, Row]) -> Tally:
    tally = Tally()
    tally.read("host-0", [json.dumps([word, row[0], row[2:]]) for word, row in lines])
    return tally


@pytest.mark.parametrize("keeps_log", [False, True])
def test_a_seed_makes_the_same_schedule_every_time(keeps_log: bool) -> None:
    for seed in range(50):
        plan = schedule.make(seed, 60, keeps_log=keeps_log)
        assert plan == schedule.make(seed, 60, keeps_log=keeps_log)
        assert plan.faults != schedule.make(seed + 1, 60, keeps_log=keeps_log).faults


@pytest.mark.parametrize("keeps_log", [False, True])
def test_every_schedule_has_the_usual_faults_and_all_together_have_every_kind(
    keeps_log: bool,
) -> None:
    seen = set()
    for seed in range(100):
        kinds = set(schedule.make(seed, 25, keeps_log=keeps_log).by_kind())
        assert kinds >= set(schedule.ALWAYS)
        seen |= kinds
    assert seen == {kind.name for kind in schedule.KINDS if keeps_log or not kind.keeps_log}


def test_a_target_has_one_fault_at_a_time_and_some_need_the_others_in_order() -> None:
    for seed in range(100):
        on: dict[tuple[str, int], schedule.Fault] = {}
        for _, begins, fault in schedule.make(seed, 60, keeps_log=True).moments():
            key = (fault.kind.target, fault.number)
            if not begins:
                assert on.pop(key) is fault
                continue
            assert key not in on
            assert not any(other.kind.alone for other in on.values())
            assert not (fault.kind.alone and on)
            on[key] = fault
        assert not on


@pytest.mark.parametrize("kind", [*schedule.KINDS, scenes.HOLD_AT_WRITE], ids=lambda k: k.name)
def test_there_is_somebody_who_does_each_kind_of_fault(kind: schedule.Kind) -> None:
    assert callable(getattr(FAULTS[kind.target], f"begin_{kind.what}"))


def test_a_scene_has_nothing_that_makes_its_losses_good_and_is_of_a_mutant_that_there_is() -> None:
    assert set(scenes.OF_MUTANTS) <= set(mutants.NAMES)
    assert set(scenes.OF_MUTANTS.values()) == set(scenes.SCENES)
    for name, plan in scenes.SCENES.items():
        assert plan.without_rewinds() == plan
        assert next(plan.lines()).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        (["--seed=3", "--seconds=90"], 90.0),
        (["--seconds", "90", "--seed=3"], 90.0),
        (["--seconds=90", "--scene=commits_are_cut_off"], scenes.SECONDS),
    ],
)
def test_a_run_may_take_its_schedules_seconds_and_what_is_allowed_beside_them(
    monkeypatch: pytest.MonkeyPatch, options: list[str], seconds: float
) -> None:
    allowed: list[float] = []

    def run(command: list[str], **how: Any) -> SimpleNamespace:
        assert command[-len(options) :] == options
        allowed.append(how["timeout"])
        return SimpleNamespace(returncode=torture.FAILED)

    monkeypatch.setattr(subprocess, "run", run)
    assert torture._child(options) == torture.FAILED
    assert allowed == [seconds + torture.OVERHEAD_S]


def test_a_held_collector_stops_itself_once_and_only_where_it_is_about_to_write_samples_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    hold = tmp_path / "hold"
    monkeypatch.setattr(Store, "_write", lambda *_: done.append("write"))
    monkeypatch.setattr(os, "kill", lambda *to: done.append(f"kill {to == STOP_ME}"))
    hold_at_write(hold)
    store = object.__new__(Store)
    hold.touch()
    store._write(batch_of(samples=0, events=0), [])
    store._write(batch_of(samples=1, events=1), [])
    assert hold.exists()
    store._write(batch_of(samples=1, events=0), [])
    store._write(batch_of(samples=1, events=0), [])
    assert not hold.exists()
    assert done == ["write", "write", "kill True", "write", "write"]


def test_what_was_kept_is_equal_to_what_is_stored_once() -> None:
    tally = tally_of(("intent", A), ("kept", A), ("intent", B), ("kept", B), ("intent", C))
    assert compare(tally, {A: 1, B: 1}).is_equal
    assert compare(tally, {A: 1, B: 1, C: 1}).is_equal  # killed before it could say so
    assert str(compare(tally, {A: 1, B: 1})) == "equal"


@pytest.mark.parametrize(
    ("stored", "lost", "twice", "invented"),
    [
        ({A: 1}, [B], [], []),
        ({A: 2, B: 1}, [], [A], []),
        ({A: 1, B: 1, ("samples", "host-1", 5, 0, 700): 1}, [], [], ["host-1"]),
        ({A: 1, ("samples", "host-0", 5, 1, 0): 1}, [B], [], ["host-0"]),  # missing became zero
    ],
)
def test_every_difference_is_found(
    stored: dict[Row, int], lost: list[Row], twice: list[Row], invented: list[str]
) -> None:
    found = compare(tally_of(("intent", A), ("kept", A), ("intent", B), ("kept", B)), stored)
    assert not found.is_equal
    assert (found.lost, found.twice) == (lost, twice)
    assert [row[1] for row in found.invented] == invented
    assert any(word in str(found) for word in ("lost", "twice", "invented"))


def test_a_tally_that_repeats_itself_is_no_tally() -> None:
    with pytest.raises(ValueError, match="twice"):
        tally_of(("intent", A), ("intent", A))


def batch_of(samples: int, events: int) -> Batch:
    return cast("Batch", SimpleNamespace(samples=[None] * samples, events=[None] * events))


def test_every_mutant_finds_what_it_breaks() -> None:
    code = "from tests.torture import mutants; [m() for m in mutants.COLLECTORS.values()]"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert len(set(mutants.NAMES)) == len(mutants.NAMES)


def test_a_mutants_schedule_has_nothing_that_makes_its_losses_good() -> None:
    plan = schedule.make(8, 60.0, keeps_log=False)
    kinds = set(plan.without_rewinds().by_kind())
    assert set(plan.by_kind()) - kinds <= set(schedule.REWINDS)
    assert kinds
    assert not kinds & set(schedule.REWINDS)


def test_rows_are_given_up_only_when_the_log_was_read_past_its_end_for_a_while() -> None:
    still, log = Stillness(), ("torture.samples", 0)
    still.begin(3, now_s=100.0, ends={log: 7})
    later_s = 100.0 + STILL_S
    assert not still.is_final(later_s - 1, {log: 7})
    assert not still.is_final(later_s, {log: 6})
    assert not still.is_final(later_s, {})
    assert still.is_final(later_s, {log: 7})
    still.begin(2, now_s=later_s, ends={log: 9})
    assert not still.is_final(later_s + 1, {log: 9})


def test_hosts_that_are_fresh_are_those_with_samples_of_later() -> None:
    assert hosts_since([A, C], 4) == {"host-0"}
    assert hosts_since([A, C], 5) == set()


def test_an_agent_that_takes_sent_for_confirmed_forgets_what_it_hands_out(
    make_outbox: MakeOutbox,
) -> None:
    outbox = make_outbox()
    mutants.sent_counts_as_confirmed(cast("TallyingOutbox", outbox))
    outbox.write([make_tick(urgent=True)])
    assert len(outbox.pending(Stream.SAMPLES, 5, frozenset(), backlog=1)) == 1
    assert outbox.pending(Stream.SAMPLES, 5, frozenset(), backlog=1) == []


@pytest.mark.parametrize(
    ("fresh_s", "problems", "is_caught"),
    [(3.0, ["5 rows are lost"], True), (None, ["5302 rows are lost"], False), (3.0, [], False)],
)
def test_a_mutant_is_caught_only_where_the_programs_have_run(
    fresh_s: float | None,
    problems: list[str],
    is_caught: bool,
) -> None:
    """A collector that waits for a schema loses everything, and says nothing about a mutant."""
    verdict = Verdict(1, "abc", "light", 60, "drafts_are_dropped", "", "now", {})
    verdict.fresh_s, verdict.problems = fresh_s, problems
    assert verdict.is_caught == is_caught
