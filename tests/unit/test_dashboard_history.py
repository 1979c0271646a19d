"""Answers that several views share: asked once, kept while no newer can be had."""

import asyncio

import pytest

from dashboard.history import FAILURE_GOOD_FOR_S, History
from telemetry.errors import RetryableError


class FakeClock:
    """A clock that stands until it is told otherwise."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def now_us(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.time_s


def test_one_question_is_asked_once_however_many_want_it() -> None:
    history = History(FakeClock())
    asked = []

    async def ask() -> int:
        asked.append(1)
        await asyncio.sleep(0.02)
        return 7

    async def want() -> list[int]:
        return list(await asyncio.gather(*(history.get("q", 10, ask) for _ in range(10))))

    assert asyncio.run(want()) == [7] * 10
    assert len(asked) == 1


def test_while_the_database_is_away_the_last_answer_stands() -> None:
    history = History(FakeClock())

    async def answer() -> int:
        return 7

    async def fail() -> int:
        raise RetryableError("away")

    async def both() -> list[int]:
        return [await history.get("q", 0.0, answer), await history.get("q", 0.0, fail)]

    assert asyncio.run(both()) == [7, 7]


def test_a_failed_question_is_asked_again_after_a_pause() -> None:
    clock = FakeClock()
    history = History(clock)
    asked: list[str] = []

    async def fail() -> int:
        asked.append("fail")
        raise RetryableError("away")

    async def answer() -> int:
        asked.append("answer")
        return 1

    async def both() -> int:
        for _ in range(2):
            with pytest.raises(RetryableError):
                await history.get("q", 600, fail)
        clock.time_s += FAILURE_GOOD_FOR_S
        return int(await history.get("q", 600, answer))

    assert asyncio.run(both()) == 1
    assert asked == ["fail", "answer"]
