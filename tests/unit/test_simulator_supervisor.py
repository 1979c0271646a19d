"""The supervisor: what ends is started again, with patience, and said."""

import itertools

from simulator.services.place import ServiceError
from simulator.supervisor import BACK_OFF_S, STEADY_S, Supervisor


class FakeProcess:
    """A process that can be made to end, and to refuse to start."""

    def __init__(self, name: str, journal: list[str]) -> None:
        self.name = name
        self.pid: int | None = None
        self.starts = 0
        self.refuses = False
        self._journal = journal

    def start(self) -> None:
        self.starts += 1
        if self.refuses:
            raise ServiceError("no such program")
        self.pid = 100 + self.starts

    def stop(self, _timeout_s: float = 0.0, /) -> None:
        self.pid = None
        self._journal.append(self.name)


def test_what_ended_is_started_again_after_a_pause() -> None:
    said: list[str] = []
    supervisor, process = Supervisor(said.append), FakeProcess("a", [])
    supervisor.start(process, 0.0)
    process.pid = None
    supervisor.step(10.0)
    supervisor.step(10.0 + BACK_OFF_S[0] / 2)
    assert process.starts == 1
    supervisor.step(10.0 + BACK_OFF_S[0])
    assert process.starts == 2
    assert said == ["a has ended; it is started again in 1 s", "a is running again"]


def test_pauses_grow_up_to_a_limit() -> None:
    said: list[str] = []
    supervisor, process = Supervisor(said.append), FakeProcess("a", [])
    supervisor.start(process, 0.0)
    now_s, starts_at = 0.0, list[float]()
    while len(starts_at) < len(BACK_OFF_S) + 2:
        process.pid = None
        before = process.starts
        supervisor.step(now_s)
        if process.starts > before:
            starts_at.append(now_s)
        now_s += 0.5
    gaps = [round(b - a) for a, b in itertools.pairwise(starts_at)]
    assert gaps == sorted(gaps)
    assert gaps[-1] <= BACK_OFF_S[-1] + 1


def test_a_long_steady_run_is_forgiven() -> None:
    said: list[str] = []
    supervisor, process = Supervisor(said.append), FakeProcess("a", [])
    supervisor.start(process, 0.0)
    for _ in range(3):
        process.pid = None
        supervisor.step(1.0)
        supervisor.step(100.0)
    process.pid = None
    supervisor.step(100.0 + STEADY_S + 1)
    assert said[-1].endswith("in 1 s")


def test_a_failed_start_is_said_and_tried_again() -> None:
    said: list[str] = []
    supervisor, process = Supervisor(said.append), FakeProcess("a", [])
    supervisor.start(process, 0.0)
    process.pid, process.refuses = None, True
    supervisor.step(1.0)
    supervisor.step(2.0)
    assert "a did not start: no such program" in said
    process.refuses = False
    supervisor.step(2.0)
    supervisor.step(30.0)
    assert process.pid is not None


def test_one_dead_child_leaves_the_others_alone() -> None:
    supervisor = Supervisor(lambda _text: None)
    dead, alive = FakeProcess("dead", []), FakeProcess("alive", [])
    supervisor.start(dead, 0.0)
    supervisor.start(alive, 0.0)
    dead.pid = None
    supervisor.step(1.0)
    supervisor.step(5.0)
    assert (dead.starts, alive.starts) == (2, 1)


def test_the_end_comes_for_all_and_last_for_one() -> None:
    journal: list[str] = []
    supervisor = Supervisor(lambda _text: None)
    theirs = FakeProcess("service", journal)
    theirs.start()
    supervisor.watch(theirs, 0.0)
    for name in ("collector", "a", "b"):
        supervisor.start(FakeProcess(name, journal), 0.0)
    supervisor.stop(last="collector")
    assert journal[-1] == "collector"
    assert set(journal) == {"a", "b", "collector"}
    supervisor.step(1000.0)
    assert theirs.starts == 1
