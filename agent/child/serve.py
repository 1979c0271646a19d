"""The child: opens the driver, reads when asked, tells events, ends when the parent is gone.

Owns the child's threads. The main thread talks to the parent and never calls the driver, so it
answers in time whatever hangs. It ends by itself at the end of the connection, after the reading
that is under way: a process that is killed while it samples activity counters has left boards
hanging, and so a signal to end is left to the parent, which gets it too.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import cast

from agent.accelerators import AcceleratorReader, load_reader
from agent.boards import EventSource
from agent.calls import ThreadedCalls
from agent.child.compact import Folder
from agent.child.frames import Channel, Events, NotOpened, Opened, Read
from agent.counters import Counters
from agent.settled import settle, share_arena
from telemetry import logs
from telemetry.clock import Clock, SystemClock
from telemetry.errors import PermanentError, RetryableError

log = logging.getLogger(__name__)

EVENT_WAIT_S = 1.0
# The parent waits a little longer than the child may take.
DEADLINE_SHARE = 0.9
# What may be under way at the end is given this long.
END_PATIENCE_S = 1.5


def main(arguments: list[str] | None = None) -> None:
    """Serve with a reader by its name: `READER LOG_LEVEL ASK_DESCRIPTOR TELL_DESCRIPTOR`."""
    share_arena()
    reader, level, ask, tell = sys.argv[1:] if arguments is None else arguments
    logs.configure("agent", cast("logs.Level", level))
    clock = SystemClock()
    make_reader = cast("Callable[[Clock], AcceleratorReader]", load_reader(reader))
    serve(make_reader(clock), int(ask), int(tell), clock)


def serve(reader: AcceleratorReader, ask: int, tell: int, clock: Clock) -> None:
    """Answer on the socket `ask` and tell events on the socket `tell` until the parent is gone.

    Does not return: a thread that hangs in the driver would hold up the interpreter's own end.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    child = _Child(reader, Channel(ask, Read), Channel(tell, Events), clock)
    try:
        child.run()
    except (EOFError, OSError):
        log.debug("the agent is gone")
    child.end()
    os._exit(0)


class _Child:
    def __init__(
        self, reader: AcceleratorReader, ask: Channel, tell: Channel, clock: Clock
    ) -> None:
        self._reader = reader
        self._ask = ask
        self._tell = tell
        self._clock = clock
        self._calls = ThreadedCalls(clock)
        self._folder = Folder()
        self._ending = threading.Event()
        self._watcher: threading.Thread | None = None

    def run(self) -> None:
        """Answer until the connection ends."""
        opening = self._calls.begin(self._open)
        while True:
            asked = self._ask.receive()
            # Nobody asks before the answer to the opening was sent, which is its last step.
            opening.wait()
            if self._watcher is None:
                # Only a child that is asked tells: until then another one does.
                self._watcher = threading.Thread(target=self._watch, name="events", daemon=True)
                self._watcher.start()
                # What is there now stays; the collector need not look at it ever again.
                settle()
            jobs = [partial(self._reader.read, at, asked.group) for at in asked.positions]
            readings = self._calls.gather(jobs, DEADLINE_SHARE * asked.deadline_s)
            self._ask.send(self._folder.fold(asked.number, readings))

    def end(self) -> None:
        """Let go of the driver, if it lets go."""
        self._ending.set()
        closing = self._calls.begin(self._close)
        closing.wait(END_PATIENCE_S)

    def _open(self) -> None:
        """Open the driver and send the outcome; nobody else sends by then."""
        try:
            answer: Opened | NotOpened = Opened(self._reader.open())
        except RetryableError as error:
            answer = NotOpened(str(error), mismatch=False)
        except PermanentError as error:
            answer = NotOpened(str(error), mismatch=True)
        with suppress(OSError):
            self._ask.send(answer)

    def _watch(self) -> None:
        counters = Counters()
        source = EventSource(self._reader.wait_events, self._clock, counters)
        told: dict[str, int] = {}
        while not self._ending.is_set():
            events = source.wait(EVENT_WAIT_S)
            counts = counters.snapshot()
            if events or counts != told:
                more = {name: count - told.get(name, 0) for name, count in counts.items()}
                told = counts
                try:
                    self._tell.send(Events(events, more))
                except OSError:
                    return

    def _close(self) -> None:
        if self._watcher is not None:
            self._watcher.join()
        while self._calls.hung():
            time.sleep(0.01)
        self._reader.close()
