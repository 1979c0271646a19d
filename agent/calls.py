"""Calling into a driver that may never come back.

Owns the threads and the deadlines. One thread makes the calls one after the other, for as long as
the driver answers: that is the cheapest. Where a call takes long, another thread goes on with the
rest, up to one thread a call; those end once the driver answers again. A call that hangs blocks its
thread and nothing else, and what still hangs is not asked again, so a dead driver costs one thread
an accelerator and no more. NOTE: a thread that hangs in the kernel cannot be ended; these are
daemon threads so that they do not hold up the exit.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from telemetry.clock import Clock

ResultT = TypeVar("ResultT")

# Longer than a healthy driver takes for all of its boards.
SLOW_S = 0.05


class Pending(Generic[ResultT]):
    """A call under way, or its outcome."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._outcome: Callable[[], ResultT] | None = None

    def run(self, job: Callable[[], ResultT]) -> None:
        """Make the call and keep its outcome, a value or an error."""
        try:
            value = job()
        except BaseException as error:  # noqa: BLE001 - whoever asked gets it, in `result`
            self._outcome = _raiser(error)
        else:
            self._outcome = lambda: value
        self._done.set()

    def done(self) -> bool:
        """Whether there is an outcome."""
        return self._done.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for an outcome; False when there is none yet, None waits as long as it takes."""
        return self._done.wait(timeout_s)

    def result(self) -> ResultT:
        """Return what the call returned, or raise what it raised."""
        if self._outcome is None:
            raise RuntimeError("the call is still under way")
        return self._outcome()


def _raiser(error: BaseException) -> Callable[[], NoReturn]:
    def outcome() -> NoReturn:
        raise error

    return outcome


class Calls(Protocol):
    """A way to make calls: on threads with deadlines, or right here."""

    def begin(self, job: Callable[[], ResultT]) -> Pending[ResultT]:
        """Start a call that nobody waits for."""

    def gather(
        self, jobs: Sequence[Callable[[], ResultT]], deadline_s: float
    ) -> list[ResultT | None]:
        """Make these calls, the same number for the same thing; None where no answer in time."""

    def hung(self) -> bool:
        """Whether a call has not come back."""

    def close(self) -> None:
        """Let the threads end; those that hang end with the process."""


class InlineCalls:
    """Calls made on the caller's own thread: for drivers that cannot hang, simulated ones."""

    def begin(self, job: Callable[[], ResultT]) -> Pending[ResultT]:
        """Make the call."""
        pending = Pending[ResultT]()
        pending.run(job)
        return pending

    def gather(
        self,
        jobs: Sequence[Callable[[], ResultT]],
        deadline_s: float,  # noqa: ARG002 - part of the contract; nothing can be late here
    ) -> list[ResultT | None]:
        """Make the calls one after the other."""
        return [job() for job in jobs]

    def hung(self) -> bool:
        """Nothing hangs here that would not hang the caller."""
        return False

    def close(self) -> None:
        """There is nothing to end."""


class ThreadedCalls:
    """Calls on threads: one that stays, others for as long as they are needed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._threads = 0
        self._waiting: SimpleQueue[_Batch | None] = SimpleQueue()
        # By number: the batch whose call of that number has not come back.
        self._hanging: dict[int, _Batch] = {}

    def begin(self, job: Callable[[], ResultT]) -> Pending[ResultT]:
        """Start the call on a thread of its own."""
        pending = Pending[ResultT]()
        threading.Thread(target=pending.run, args=(job,), name="driver", daemon=True).start()
        return pending

    def gather(
        self, jobs: Sequence[Callable[[], ResultT]], deadline_s: float
    ) -> list[ResultT | None]:
        """Make the calls; one that still hangs from an earlier time is left out."""
        until_s = self._clock.monotonic_s() + deadline_s
        self.hung()
        asked = [number for number in range(len(jobs)) if number not in self._hanging]
        if not asked:
            return [None] * len(jobs)
        batch = _Batch(jobs, asked)
        self._need(len(self._hanging) + 1)
        self._waiting.put(batch)
        if self._await(batch, until_s, len(jobs)):
            self._spare(len(self._hanging) + 1)
        else:
            self._hanging |= dict.fromkeys(batch.give_up(), batch)
        if batch.error is not None:
            raise batch.error
        return list(batch.results)

    def hung(self) -> bool:
        """Whether a call has not come back."""
        for number, batch in list(self._hanging.items()):
            if number not in batch.under_way:
                del self._hanging[number]
        return bool(self._hanging)

    def close(self) -> None:
        """Let the threads end; those that hang end with the process."""
        self._spare(0)

    def _await(self, batch: "_Batch", until_s: float, threads_max: int) -> bool:
        """Wait for all answers; False when some did not come."""
        while True:
            left_s = max(0.0, until_s - self._clock.monotonic_s())
            if batch.over.wait(min(SLOW_S, left_s)):
                return True
            if left_s <= SLOW_S:
                return False
            if batch.unbegun():
                self._need(min(threads_max, self._threads + 1))
                self._waiting.put(batch)

    def _need(self, threads: int) -> None:
        while self._threads < threads:
            self._threads += 1
            name = f"calls-{self._threads}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def _spare(self, threads: int) -> None:
        """Let all but so many end; those that hang do so once they have come back."""
        while self._threads > threads:
            self._threads -= 1
            self._waiting.put(None)

    def _work(self) -> None:
        while (batch := self._waiting.get()) is not None:
            batch.work()


class _Batch:
    """Calls that somebody waits for together; any number of threads make them.

    Attributes:
        results: by number; None for what was not made, or not yet.
        error: what one of them raised.
        over: that all have come back.
        under_way: numbers of calls that were begun and have not come back.
    """

    def __init__(self, jobs: Sequence[Callable[[], Any]], asked: Sequence[int]) -> None:
        self.results: list[Any] = [None] * len(jobs)
        self.error: BaseException | None = None
        self.over = threading.Event()
        self.under_way: set[int] = set()
        self._jobs = jobs
        self._unbegun = deque(asked)
        self._left = len(asked)
        self._lock = threading.Lock()

    def work(self) -> None:
        """Make the calls that nobody else makes, one after the other."""
        while True:
            with self._lock:
                if not self._unbegun:
                    return
                number = self._unbegun.popleft()
                self.under_way.add(number)
            try:
                self.results[number] = self._jobs[number]()
            except BaseException as error:  # noqa: BLE001 - whoever asked gets it
                self.error = error
            with self._lock:
                self.under_way.discard(number)
                self._left -= 1
                if self._left == 0:
                    self.over.set()

    def unbegun(self) -> bool:
        """Whether there are calls for another thread."""
        return bool(self._unbegun)

    def give_up(self) -> set[int]:
        """Return the calls that hang, and begin no other for a tick that is over."""
        with self._lock:
            self._unbegun.clear()
            return set(self.under_way)
