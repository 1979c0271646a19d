"""Answers that several views share for a while: series over time are asked once, not per tick.

Owns how long an answer is good, and that one question is asked once at a time however many want
it. Bounded: the least recently wanted answers go first.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any

from telemetry.clock import Clock
from telemetry.errors import RetryableError

ANSWERS_MAX = 512


@dataclass(slots=True)
class _Answer:
    good_until_s: float
    value: Any


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
        if (answer := self._fresh(question)) is not None:
            return answer.value
        async with self._asking.setdefault(question, asyncio.Lock()):
            try:
                if (answer := self._fresh(question)) is None:
                    try:
                        value = await ask()
                    except RetryableError:
                        if question not in self._answers:
                            raise
                        return self._answers[question].value
                    answer = _Answer(self._clock.monotonic_s() + good_for_s, value)
                    self._answers[question] = answer
                    while len(self._answers) > ANSWERS_MAX:
                        self._answers.popitem(last=False)
            finally:
                self._asking.pop(question, None)
        return answer.value

    def _fresh(self, question: Hashable) -> _Answer | None:
        answer = self._answers.get(question)
        if answer is None or answer.good_until_s <= self._clock.monotonic_s():
            return None
        self._answers.move_to_end(question)
        return answer
