"""Answers that several views share for a while: series over time are asked once, not per tick.

Owns how long an answer is good, that one question is asked once at a time however many want it,
and that a failure is remembered for a few seconds: what is away is not asked again at every tick,
and what was known before it went stays known. Bounded: the least recently wanted answers go first.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any

from telemetry.clock import Clock
from telemetry.errors import RetryableError

ANSWERS_MAX = 512
FAILURE_GOOD_FOR_S = 5.0


@dataclass(slots=True)
class _Answer:
    """The newest that could be had; `error` says why it is not newer, or is nothing at all."""

    good_until_s: float = 0.0
    value: Any = None
    error: RetryableError | None = None


class History:
    """Answers by question, each good for its time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: OrderedDict[Hashable, _Answer] = OrderedDict()
        self._asking: dict[Hashable, asyncio.Lock] = {}

    async def get(
        self, question: Hashable, good_for_s: float, ask: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Return the answer, from memory while it is good, or while no newer can be had.

        Raises:
            RetryableError: it cannot be had, and never was.
        """
        value, error = await self.newest(question, good_for_s, ask)
        if value is None and error is not None:
            raise error
        return value

    async def newest(
        self, question: Hashable, good_for_s: float, ask: Callable[[], Awaitable[Any]]
    ) -> tuple[Any, RetryableError | None]:
        """Return the newest answer there is, and why there is no newer one.

        The answer is None where there was never one; the error is None where it is as new as was
        asked for.
        """
        answer = self._fresh(question)
        if answer is None:
            async with self._asking.setdefault(question, asyncio.Lock()):
                try:
                    answer = self._fresh(question) or await self._renew(question, good_for_s, ask)
                finally:
                    self._asking.pop(question, None)
        return answer.value, answer.error

    async def _renew(
        self, question: Hashable, good_for_s: float, ask: Callable[[], Awaitable[Any]]
    ) -> _Answer:
        answer = self._answers.setdefault(question, _Answer())
        try:
            answer.value, answer.error = await ask(), None
        except RetryableError as error:
            answer.error = error
            good_for_s = min(good_for_s, FAILURE_GOOD_FOR_S)
        answer.good_until_s = self._clock.monotonic_s() + good_for_s
        while len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)
        return answer

    def _fresh(self, question: Hashable) -> _Answer | None:
        answer = self._answers.get(question)
        if answer is None or answer.good_until_s <= self._clock.monotonic_s():
            return None
        self._answers.move_to_end(question)
        return answer
