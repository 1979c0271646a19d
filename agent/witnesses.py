"""Both witnesses of faults, on their way to one stream of events.

Owns the thread that listens to the kernel log, and the lock around the joiner, which NVML's thread
uses too. What is joined and collapsed is `xid_join.py`'s business; where events go is the caller's.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from agent.xid_join import XidJoiner
from telemetry.clock import Clock
from telemetry.records import Event

# How long the thread sleeps when nothing is held; a line of the log or an event wakes it.
LISTEN_S = 5.0
# By then an event that was put is in the spool, and need not be read again after a restart.
REMEMBER_AFTER_S = 5.0

Put = Callable[[Sequence[Event]], None]


class KernelLog(Protocol):
    """What is needed of `kernel_log.witness.KernelLogWitness`."""

    def wait(self, timeout_s: float) -> list[Event]:
        """Return what the kernel log reports, as soon as it does."""

    def wake(self) -> None:
        """Let `wait` return at once; from any thread."""

    def remember(self) -> None:
        """Note that every event returned so far is safe."""

    def close(self) -> None:
        """Let go of the log."""


class Witnesses:
    """Takes events of NVML and of the kernel log; puts each fault once.

    Args:
        joiner: used by nobody else.
        kernel_log: None where it is not read; NVML's events are then still collapsed.
        put: takes the events that leave, from any thread, and does not wait.
    """

    def __init__(
        self, joiner: XidJoiner, kernel_log: KernelLog | None, clock: Clock, put: Put
    ) -> None:
        self._joiner = joiner
        self._kernel_log = kernel_log
        self._clock = clock
        self._put = put
        self._lock = threading.Lock()
        self._stirred = threading.Event()
        self._unremembered_since_s: float | None = None

    def heard(self, events: Sequence[Event]) -> None:
        """Take events that the driver reported. Safe from any thread."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            out = [told for event in events for told in self._joiner.add(event, now_s)]
            if out:
                self._put(out)
            held = self._joiner.next_due_s() is not None
        if held:
            self.wake()

    def wake(self) -> None:
        """Let the thread that listens look again: something is held now, or it is to end."""
        if self._kernel_log is None:
            self._stirred.set()
        else:
            self._kernel_log.wake()

    def listen(self, ending: threading.Event) -> None:
        """Listen to the kernel log, and let go what is due, until `ending`; then tell the rest."""
        while not ending.is_set():
            self.step(self._sleep_s())
        with self._lock:
            rest = self._joiner.flush()
            if rest:
                self._put(rest)
        if self._kernel_log is not None:
            self._kernel_log.close()

    def step(self, timeout_s: float) -> None:
        """Listen once, for up to `timeout_s`."""
        if self._kernel_log is None:
            self._stirred.wait(timeout_s)
            self._stirred.clear()
        else:
            events = self._kernel_log.wait(timeout_s)
            if events:
                self.heard(events)
            self._remember(self._kernel_log, fresh=bool(events))
        with self._lock:
            due = self._joiner.due(self._clock.monotonic_s())
            if due:
                self._put(due)

    def _sleep_s(self) -> float:
        with self._lock:
            due_s = self._joiner.next_due_s()
        if due_s is None:
            return LISTEN_S
        return min(LISTEN_S, max(0.0, due_s - self._clock.monotonic_s()))

    def _remember(self, kernel_log: KernelLog, *, fresh: bool) -> None:
        """Remember what was told once it had time to reach the spool; held faults as well."""
        now_s = self._clock.monotonic_s()
        if fresh:
            self._unremembered_since_s = now_s
        since_s = self._unremembered_since_s
        if since_s is not None and now_s - since_s >= REMEMBER_AFTER_S:
            kernel_log.remember()
            self._unremembered_since_s = None
