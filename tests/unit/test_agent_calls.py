"""A call that hangs costs its own answer and nothing else."""

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from agent.calls import ThreadedCalls
from agent.counters import Counters
from agent.drafts import EventDraft
from agent.inbox import OTHERS_MAX, TICKS_MAX, Inbox
from telemetry.clock import SystemClock
from telemetry.records import Event, EventKind
from tests.fix_agent import kinds_of, make_tick, samples_of
from tests.waiting import until

LONG_S = 30.0


@pytest.fixture
def calls() -> Iterator[ThreadedCalls]:
    made = ThreadedCalls(SystemClock())
    yield made
    made.close()


def test_answers_come_in_the_order_of_the_jobs(calls: ThreadedCalls) -> None:
    for _ in range(50):
        assert calls.gather([partial(int, n) for n in range(8)], LONG_S) == list(range(8))


def test_a_hung_call_is_left_out_and_its_lane_rests_until_it_returns(
    calls: ThreadedCalls,
) -> None:
    release, entered = threading.Event(), []

    def hang() -> str:
        entered.append(1)
        release.wait(LONG_S)
        return "late"

    assert calls.gather([lambda: "a", hang, lambda: "c"], 1.0) == ["a", None, "c"]
    assert calls.hung()
    for _ in range(3):
        assert calls.gather([lambda: "a", hang, lambda: "c"], LONG_S) == ["a", None, "c"]
    assert len(entered) == 1
    release.set()
    while calls.hung():
        threading.Event().wait(0.01)
    assert calls.gather([lambda: "a", lambda: "b", lambda: "c"], LONG_S) == ["a", "b", "c"]


def test_a_slow_call_gets_help_that_leaves_when_the_driver_is_quick_again(
    calls: ThreadedCalls,
) -> None:
    def made() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith("calls-")}

    before, helped = made(), threading.Event()

    def wait_for_help() -> bool:
        return helped.wait(LONG_S)

    def help_on() -> bool:
        helped.set()
        return True

    assert calls.gather([wait_for_help, help_on], LONG_S) == [True, True]
    assert calls.gather([lambda: "quick"], LONG_S) == ["quick"]
    until(lambda: len(made() - before) == 1)


def test_an_error_reaches_who_asked(calls: ThreadedCalls) -> None:
    def fail() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        calls.gather([fail], LONG_S)
    assert calls.gather([lambda: "well"], LONG_S) == ["well"]
    pending = calls.begin(fail)
    while not pending.done():
        threading.Event().wait(0.01)
    with pytest.raises(ZeroDivisionError):
        pending.result()


def test_the_inbox_keeps_the_newest_ticks_and_counts_the_others() -> None:
    counters = Counters()
    inbox = Inbox(counters)
    for number in range(TICKS_MAX + 5):
        inbox.put([make_tick(number, gpus=1)])
    events = [EventDraft([Event(time_us=0, kind=EventKind.XID)])] * (OTHERS_MAX + 2)
    inbox.put(events)
    inbox.close()
    drafts = inbox.take()
    assert drafts is not None
    assert len(samples_of(drafts)) == TICKS_MAX
    assert len(kinds_of(drafts)) == OTHERS_MAX
    assert counters.snapshot() == {"drafts_dropped": 2, "ticks_dropped": 5}
    assert inbox.take() is None
