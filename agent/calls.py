"""Calling into a driver that may never come back.

Owns the threads and the deadlines. Each accelerator has a lane: a thread that makes one call at a
time. A call that hangs blocks its lane and nothing else, and a blocked lane is given nothing more
to do, so a dead driver costs one thread an accelerator and no more. NOTE: a thread that hangs in
the kernel cannot be ended; lanes are daemon threads so that it does not hold up the exit.
"""

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, NoReturn, Protocol, TypeVar

from telemetry.clock import Clock

ResultT = TypeVar("ResultT")


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
        """Make one call a lane, all at once; None where there was no answer in time."""

    def hung(self) -> bool:
        """Whether a lane has not come back from an earlier call."""


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


class ThreadedCalls:
    """One thread a lane, made when first needed and kept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lanes: list[_Lane] = []
        self._answers: SimpleQueue[int] = SimpleQueue()

    def begin(self, job: Callable[[], ResultT]) -> Pending[ResultT]:
        """Start the call on a thread of its own."""
        pending = Pending[ResultT]()
        threading.Thread(target=pending.run, args=(job,), name="driver", daemon=True).start()
        return pending

    def gather(
        self, jobs: Sequence[Callable[[], ResultT]], deadline_s: float
    ) -> list[ResultT | None]:
        """Make one call a lane; a lane that still hangs is left out and answers None."""
        until_s = self._clock.monotonic_s() + deadline_s
        while len(self._lanes) < len(jobs):
            self._lanes.append(_Lane(len(self._lanes), self._answers))
        calls: dict[int, Pending[ResultT]] = {
            lane.number: lane.begin(job)
            for lane, job in zip(self._lanes, jobs, strict=False)
            if not lane.busy()
        }
        waiting = set(calls)
        while waiting:
            try:
                answered = self._answers.get(timeout=max(0.0, until_s - self._clock.monotonic_s()))
            except Empty:
                break
            # A lane that answers a call of an earlier tick is not waited for, and is free again.
            if answered in waiting and calls[answered].done():
                waiting.discard(answered)
        return [
            calls[number].result() if number in calls and number not in waiting else None
            for number in range(len(jobs))
        ]

    def hung(self) -> bool:
        """Whether a lane has not come back."""
        return any(lane.busy() for lane in self._lanes)

    def close(self) -> None:
        """Let the threads end; those that hang end with the process."""
        for lane in self._lanes:
            lane.close()


class _Lane:
    """A thread that makes one call at a time and says on a shared queue that it has."""

    def __init__(self, number: int, answers: SimpleQueue[int]) -> None:
        self.number = number
        self._answers = answers
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._current: Pending[object] | None = None
        threading.Thread(target=self._work, name=f"lane-{number}", daemon=True).start()

    def begin(self, job: Callable[[], ResultT]) -> Pending[ResultT]:
        """Hand a call to the thread."""
        pending = Pending[ResultT]()
        self._current = pending  # type: ignore[assignment] # only asked whether it is done
        self._jobs.put(lambda: pending.run(job))
        return pending

    def busy(self) -> bool:
        """Whether the last call is still under way."""
        return self._current is not None and not self._current.done()

    def close(self) -> None:
        """End the thread after the call that it is in."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            self._answers.put(self.number)
