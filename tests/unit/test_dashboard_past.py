"""What the detail pages ask, and that a slow history costs them that part alone."""

import asyncio
from typing import Any, cast

from dashboard import past
from dashboard.history import History
from dashboard.sources import Sources
from dashboard.view import View, Window
from telemetry.errors import RetryableError


class FakeClock:
    """A clock that stands until it is told otherwise."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def now_us(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.time_s


class Answers:
    """Queries that count how often they are asked, and fail where told to."""

    def __init__(self, broken: str = "") -> None:
        self.broken = broken
        self.asked: list[str] = []

    async def rows(self, file: str, name: str, parameters: Any = None) -> list[Any]:
        self.asked.append(name)
        if name == self.broken:
            raise RetryableError("too slow")
        return [name]


def sources(answers: Answers, clock: FakeClock) -> Sources:
    empty = cast("Any", None)
    return Sources(
        picture=empty, now_s=0.0, as_of_s=None, trouble="", queries=answers,
        history=History(clock), maps=empty, blobs=empty, counters={},
    )  # fmt: skip


def test_one_failing_query_leaves_the_others() -> None:
    asked = Answers(broken="trail")
    view = sources(asked, FakeClock())
    found = asyncio.run(past.ask(view, "host", ("trail", "events"), {}, question=1, good_for_s=5))
    assert found.of("trail") == []
    assert found.of("events") == ["events"]
    assert found.trouble == "too slow"


def test_a_failure_is_remembered_and_not_asked_again_at_once() -> None:
    asked, clock = Answers(broken="trail"), FakeClock()
    view = sources(asked, clock)

    async def twice() -> None:
        for _ in range(2):
            await past.ask(view, "host", ("trail",), {}, question=1, good_for_s=5)

    asyncio.run(twice())
    assert asked.asked == ["trail"]


def test_f40_what_was_known_stays_when_the_database_goes_away() -> None:
    asked, clock = Answers(), FakeClock()
    view = sources(asked, clock)

    async def before_and_after() -> tuple[past.Past, past.Past, past.Past]:
        first = await past.ask(view, "host", ("trail",), {}, question=1, good_for_s=5)
        asked.broken = "trail"
        clock.time_s = 6.0
        away = await past.ask(view, "host", ("trail",), {}, question=1, good_for_s=5)
        asked.broken = ""
        clock.time_s = 12.0
        back = await past.ask(view, "host", ("trail",), {}, question=1, good_for_s=5)
        return first, away, back

    first, away, back = asyncio.run(before_and_after())
    assert (away.of("trail"), away.trouble) == (["trail"], "too slow")
    assert away.of("trail") is first.of("trail")
    assert (back.of("trail"), back.trouble) == (["trail"], "")


def test_something_is_made_again_only_when_what_it_is_made_from_changes() -> None:
    view = sources(Answers(), FakeClock())
    made: list[int] = []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    async def several() -> list[int]:
        rows = [1, 2, 3]
        window = Window(0, 10, 1)
        return [
            await past.kept(view, "q", (window, rows), make),
            await past.kept(view, "q", (Window(0, 10, 1), rows), make),
            await past.kept(view, "q", (Window(1, 11, 1), rows), make),
            await past.kept(view, "q", (Window(1, 11, 1), [9]), make),
        ]

    assert asyncio.run(several()) == [0, 0, 1, 2]


def test_a_window_moves_once_a_step() -> None:
    view = View.parse("/host", "range=1h")
    ends = {past.steady(view.window(1_000_000.0 + tick)).end_s for tick in range(10)}
    assert len(ends) <= 2
    assert all(end_s % 10 == 0 for end_s in ends)


def test_a_step_is_never_finer_than_the_readings() -> None:
    window = past.steady(View.parse("/host", "range=15m").window(1e6), interval_s=25)
    assert window.step_s == 30


def test_a_long_range_is_cut_and_said() -> None:
    whole = View.parse("/host", "range=7d").window(1e6)
    cut = past.steady(whole, span_s_max=86_400)
    assert cut.end_s - cut.start_s <= 86_400 + 2 * cut.step_s
    assert "24 h" in cut.note
    assert past.steady(View.parse("/host", "range=24h").window(1e6), span_s_max=86_400).note == ""


def test_a_window_in_the_past_keeps_its_ends() -> None:
    window = past.steady(View.parse("/host", "from=1000&to=4600").window(1e6))
    assert (window.start_s, window.end_s, window.live) == (1000, 4600, False)
