"""One broadcaster an audience: what some see is computed once for all who see the same.

Owns making them when somebody comes and ending them when nobody is left. Each reads the database
for its own audience only, so that nothing of another can be in its pictures, its remembered
answers or its frames. With one tenant and no landlord there is one.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from dashboard.access.identity import Audience
from dashboard.broadcast import Broadcaster, TooManyViewers
from dashboard.tasks import end
from telemetry.clock import Clock

FIRST_LOOK_S_MAX = 3.0
UNUSED_S_MAX = 60.0
CHECK_EVERY_S = 5.0


@dataclass(slots=True)
class _Running:
    broadcaster: Broadcaster
    task: asyncio.Task[None]
    used_s: float


class Audiences:
    """All broadcasters of this process."""

    def __init__(
        self,
        make: Callable[[Audience], Broadcaster],
        clock: Clock,
        *,
        viewers_max: int,
        audiences_max: int,
    ) -> None:
        self._make = make
        self._clock = clock
        self._viewers_max = viewers_max
        self._audiences_max = audiences_max
        self._running: dict[Audience, _Running] = {}

    def of(self, audience: Audience) -> Broadcaster:
        """Return the broadcaster of an audience.

        Raises:
            TooManyViewers: there are as many already as this process will have.
        """
        running = self._running.get(audience)
        if running is None or running.task.done():
            if running is None and len(self._running) >= self._audiences_max:
                raise TooManyViewers(f"{self._audiences_max} audiences are served already")
            broadcaster = self._make(audience)
            running = _Running(broadcaster, asyncio.create_task(broadcaster.run()), 0.0)
            self._running[audience] = running
        running.used_s = self._clock.monotonic_s()
        return running.broadcaster

    async def ready(self, audience: Audience) -> Broadcaster:
        """Return the broadcaster of an audience, after its first look if that is soon enough."""
        broadcaster = self.of(audience)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_S_MAX):
                while not broadcaster.counters["ticks"]:  # noqa: ASYNC110 - once, and short
                    await asyncio.sleep(0.02)
        return broadcaster

    def check_room(self) -> None:
        """Refuse one more viewer than this process will have.

        Raises:
            TooManyViewers: all places are taken.
        """
        viewers = sum(each.broadcaster.counters["viewers"] for each in self._running.values())
        if viewers >= self._viewers_max:
            raise TooManyViewers(f"{self._viewers_max} pages are already served live")

    async def run(self, always: Audience | None) -> None:
        """End those that nobody uses, until cancelled; `always` is kept."""
        try:
            while True:
                if always is not None:
                    self.of(always)
                await asyncio.sleep(CHECK_EVERY_S)
                now_s = self._clock.monotonic_s()
                for audience, each in list(self._running.items()):
                    if each.broadcaster.counters["viewers"]:
                        each.used_s = now_s
                    elif now_s - each.used_s > UNUSED_S_MAX and audience != always:
                        del self._running[audience]
                        await end(each.task)
        finally:
            await end(*(each.task for each in self._running.values()))
