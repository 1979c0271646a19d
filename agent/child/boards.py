"""The boards as read by a child process, replaced by another one where that may help.

Owns which children there are: one that serves, and at most one more, which is being opened or is
on its way out. A driver is always opened by a new child while the old one serves on, so a reopening
costs no reading, a library that was replaced on disk is loaded anew, and where the driver hangs or
crashes the agent does not. Two that do not end are two: a third would hang as well.
"""

import logging
import select
import threading
from collections.abc import Sequence

from agent.accelerators import AcceleratorReading
from agent.boards import Opening
from agent.child.frames import Channel
from agent.child.process import Child
from agent.counters import Counters
from telemetry.clock import Clock
from telemetry.errors import DecodeError
from telemetry.metrics import Group
from telemetry.records import Event

log = logging.getLogger(__name__)

CHILDREN_MAX = 2
CLOSE_PATIENCE_S = 3.0


class ChildBoards:
    """All boards of this host, read by `command` with the numbers of two sockets added."""

    def __init__(self, command: Sequence[str], clock: Clock, counters: Counters) -> None:
        self._command = tuple(command)
        self._clock = clock
        self._counters = counters
        self._current: Child | None = None
        self._fallen: Child | None = None
        self._early: Child | None = None
        self._children: list[Child] = []
        self._inlet = EventInlet(counters)
        self._note = ""

    def serving(self) -> bool:
        """Whether there is a child that reads."""
        self._tidy()
        return self._current is not None

    def start_early(self) -> None:
        """Start the first child now, so that the driver is opened while an agent still loads."""
        self._early = self.open()

    def open(self) -> Child | None:
        """Start a child that opens the driver; None while two are there that do not end."""
        early, self._early = self._early, None
        if early is not None:
            return early
        self._tidy()
        if len(self._children) >= CHILDREN_MAX:
            return None
        try:
            child = Child(self._command, self._clock)
        except OSError as error:
            log.warning("no process can be started: %s", error.strerror)
            return None
        self._counters.add("reader_starts")
        self._children.append(child)
        return child

    def adopt(self, opening: Opening) -> None:
        """Ask this child from now on, and let the one before go."""
        before = self._current
        self._current = next(child for child in self._children if child is opening)
        if self._current.tell is not None:
            self._inlet.add(self._current.tell)
            self._current.tell = None
        if before is not None:
            before.leave()

    def read(
        self, positions: Sequence[int], group: Group, deadline_s: float
    ) -> list[AcceleratorReading | None]:
        """Ask the child."""
        if self._current is None:
            return [None] * len(positions)
        return self._current.read(positions, group, deadline_s)

    def wait_events(self, timeout_s: float) -> list[Event]:
        """Return what a child tells."""
        return self._inlet.wait(timeout_s)

    def hang_note(self) -> str:
        """Say what is known of the children."""
        return "; ".join(child.note() for child in self._children) or self._note

    def process_ids(self) -> list[int]:
        """Return those of the children."""
        return [child.pid for child in self._children]

    def close(self) -> None:
        """Let the children go; one that hangs in the kernel is left to it."""
        self._current = None
        for child in self._children:
            child.leave()
        until_s = self._clock.monotonic_s() + CLOSE_PATIENCE_S
        rest = threading.Event()
        while self._children and self._clock.monotonic_s() < until_s:
            self._tidy()
            rest.wait(0.01)

    def _tidy(self) -> None:
        for child in list(self._children):
            if not child.buried():
                continue
            self._children.remove(child)
            self._note = child.note()
            if child in (self._current, self._fallen):
                log.warning("%s", self._note)
        if self._current is not None and not self._current.serving():
            # Its sockets may tell of its end before the kernel has it ready to be buried.
            self._counters.add("reader_ends")
            self._fallen = self._current
            self._current.leave()
            self._current = None


class EventInlet:
    """What any child tells, as it comes. `add` is for any thread, `wait` for one."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        # What is added while it waits, it waits for as well.
        self._poll = select.epoll()
        self._channels: dict[int, Channel] = {}

    def add(self, channel: Channel) -> None:
        """Listen to one more child, until it ends."""
        self._channels[channel.descriptor] = channel
        self._poll.register(channel.descriptor, select.EPOLLIN)

    def wait(self, timeout_s: float) -> list[Event]:
        """Return events as soon as there are any, or nothing when the time is over."""
        events: list[Event] = []
        for descriptor, _ in self._poll.poll(timeout_s):
            channel = self._channels[descriptor]
            try:
                channel.fill()
                for told in channel.drain():
                    events += told.events
                    for name, count in told.counts.items():
                        self._counters.add(name, count)
            except (EOFError, DecodeError) as error:
                log.debug("no more events from that process: %s", error)
                self._poll.unregister(descriptor)
                del self._channels[descriptor]
                channel.close()
        return events
