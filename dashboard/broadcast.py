"""The broadcaster: each live view is computed once a tick, however many people look at it.

Owns the ticks, who watches what, and what a viewer has already got. A view is a set of slots
(id -> `children` or `figure`); a slot is encoded once when it changes, and a viewer is sent what
changed since its last message. Only the newest is kept: a slow viewer skips, nothing queues.
A view that nobody has open costs nothing.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from dashboard.channel import Channel
from dashboard.frames import Frames, address
from dashboard.history import History
from dashboard.maps import Maps
from dashboard.pace import Pace
from dashboard.picture import Picture
from dashboard.sources import Render, Sources
from dashboard.view import View
from dashboard.watch import Source, Watch
from telemetry.clock import Clock
from telemetry.errors import FleetgaugeError, RetryableError

log = logging.getLogger(__name__)

# Something is said at least this often, so that a page can tell a quiet fleet from a dead line.
SILENCE_S_MAX = 2.0
LINGER_S = 20.0
# So many frames a viewer is believed to keep; older ones it fetches (`assets/20-frames.js`).
FRAMES_KEPT = 60


class Update(NamedTuple):
    """What a viewer is sent: frames that its message speaks of, and then the message.

    Attributes:
        frames: last part of the address, and gzipped bytes.
        message: a JSON object.
    """

    frames: Sequence[tuple[str, bytes]]
    message: bytes


class TooManyViewers(FleetgaugeError):  # noqa: N818 - says what it is
    """A bound on viewers or views is reached."""


class Broadcaster:
    """All live views of this process."""

    def __init__(
        self,
        source: Source,
        pages: Mapping[str, Render],
        clock: Clock,
        *,
        tick_interval_s: float = 1.0,
        tick_fastest_s: float = 1.0,
        cpu_s: Callable[[], float] = lambda: 0.0,
        viewers_max: int = 500,
        views_max: int = 100,
    ) -> None:
        self.counters = {"viewers": 0, "ticks": 0, "slots_sent": 0, "ticks_skipped": 0}
        self.trouble = "starting"
        self._watch = Watch(source, clock)
        self._history = History(clock)
        self.maps = Maps()
        self._source = source
        self._pages = pages
        self._clock = clock
        self._cpu_s = cpu_s
        self._pace = Pace(tick_interval_s, min(tick_fastest_s, tick_interval_s))
        # One moment for all pages of a tick, so that what they share is computed once.
        self._tick_s: float | None = None
        self._viewers_max = viewers_max
        self._views_max = views_max
        self._channels: dict[View, Channel] = {}
        self._frames = Frames()
        self._refreshed = asyncio.Event()

    @property
    def picture(self) -> Picture:
        """The fleet in memory."""
        return self._watch.picture

    async def run(self) -> None:
        """Keep the picture up to date until cancelled."""
        cpu_s = self._cpu_s()
        while True:
            started_s = self._clock.monotonic_s()
            await self._look()
            looked_s = self._clock.monotonic_s() - started_s
            await asyncio.sleep(max(0.05, self._pace.interval_s - looked_s))
            while not self._pace.is_over(self._clock.monotonic_s() - started_s):
                if await self._watch.has_changed():
                    break
                await asyncio.sleep(self._pace.fastest_s)
            used_s, cpu_s = self._cpu_s() - cpu_s, self._cpu_s()
            self._pace.take(looked_s + used_s)

    async def _look(self) -> None:
        try:
            await self._watch.refresh()
            self._say_trouble("")
        except RetryableError as error:
            self._say_trouble(str(error))
        except Exception:
            # Whatever is odd in the data, the pages must go on saying that they are not live.
            log.exception("cannot bring the picture up to date")
            self._say_trouble("the newest data cannot be read; the dashboard's log says why")
        self.counters["ticks"] += 1
        self._tick_s = self._clock.now_us() / 1e6
        self._refreshed.set()
        self._refreshed = asyncio.Event()

    def blob(self, name: str) -> bytes | None:
        """Return gzipped bytes by the last part of their address."""
        return self._frames.get(name)

    def sources(self) -> Sources:
        """Return what a page may look at, as of the newest tick."""
        return Sources(
            picture=self._watch.picture,
            now_s=self._tick_s or self._clock.now_us() / 1e6,
            as_of_s=self._watch.as_of_s,
            trouble=self.trouble,
            queries=self._source,
            history=self._history,
            maps=self.maps,
            blobs=lambda content: address(self._frames.keep(content)),
            counters=self.counters,
        )

    async def updates(self, view: View) -> AsyncIterator[Update]:
        """Yield what a viewer of `view` is to be sent, newest only, for as long as it is taken.

        Raises:
            TooManyViewers: a bound is reached.
        """
        channel = self._join(view)
        try:
            seen = ticks = 0
            sent: deque[str] = deque(maxlen=FRAMES_KEPT)
            while True:
                async with channel.changed:
                    # Not asyncio.wait_for: Python 3.11's forgets that it was cancelled when what it
                    # waits for comes in the same moment, and a page would stay on its old view.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(SILENCE_S_MAX):
                            await channel.changed.wait_for(lambda: channel.ticks != ticks)  # noqa: B023
                if channel.ticks == ticks:
                    channel.envelopes.clear()  # nothing new, and what is said is said as of now
                self.counters["ticks_skipped"] += max(0, channel.ticks - ticks - 1)
                frames = [name for name in channel.frames if name not in sent]
                sent.extend(frames)
                update = Update(
                    [(name, blob) for name in frames if (blob := self.blob(name)) is not None],
                    self._envelope(channel, seen),
                )
                seen, ticks = channel.version, channel.ticks
                yield update
        finally:
            self._leave(channel)

    def _join(self, view: View) -> Channel:
        if self.counters["viewers"] >= self._viewers_max:
            raise TooManyViewers(f"{self._viewers_max} pages are already served live")
        channel = self._channels.get(view)
        if channel is None:
            if len(self._channels) >= self._views_max:
                raise TooManyViewers(f"{self._views_max} different views are already open")
            channel = Channel(view, self._pages[view.path])
            channel.task = asyncio.create_task(self._keep_rendering(channel))
            self._channels[view] = channel
        channel.viewers += 1
        self.counters["viewers"] += 1
        return channel

    def _leave(self, channel: Channel) -> None:
        channel.viewers -= 1
        self.counters["viewers"] -= 1
        if not channel.viewers and channel.rendering is not None:
            channel.rendering.cancel()  # and with it the query that it waits for

    async def _keep_rendering(self, channel: Channel) -> None:
        """Render one view after each refresh until nobody has looked at it for a while."""
        empty_since_s: float | None = None
        while True:
            now_s = self._clock.monotonic_s()
            if channel.viewers:
                empty_since_s = None
            elif empty_since_s is None:
                empty_since_s = now_s
            elif now_s - empty_since_s > LINGER_S:
                del self._channels[channel.view]
                return
            refreshed = self._refreshed
            if channel.viewers:
                channel.rendering = asyncio.create_task(self._render(channel))
                await asyncio.wait({channel.rendering})
                channel.rendering = None
            await refreshed.wait()

    async def _render(self, channel: Channel) -> None:
        frames: dict[str, None] = {}

        def blobs(content: bytes) -> str:
            name = self._frames.keep(content)
            frames[name] = None
            return address(name)

        try:
            slots = await channel.render(channel.view, replace(self.sources(), blobs=blobs))
            channel.trouble = ""
            channel.frames = list(frames)
        except RetryableError as error:
            slots = {}
            channel.trouble = str(error)
        except Exception:
            # A mistake in one page must not stop the others, nor take the last good values away.
            log.exception("cannot render %s", channel.view.path)
            slots = {}
            channel.trouble = "this page has a fault; it is in the dashboard's log"
        async with channel.changed:
            channel.take(slots)
            channel.changed.notify_all()

    def _envelope(self, channel: Channel, seen: int) -> bytes:
        """Return the message for a viewer that has all up to a version."""
        head = {
            "now": self._clock.now_us() / 1e6,
            "as_of": self._watch.as_of_s,
            "trouble": self.trouble or channel.trouble,
        }
        message, slots = channel.envelope(seen, head)
        self.counters["slots_sent"] += slots
        return message

    def _say_trouble(self, trouble: str) -> None:
        if trouble != self.trouble:
            if trouble:
                log.warning("the pages are not live: %s", trouble)
            else:
                log.info("the pages are live")
            self.trouble = trouble
