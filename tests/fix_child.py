"""Fixtures: a host whose driver is called in child processes, with a clock that may be put on."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agent.child.boards import ChildBoards
from agent.counters import Counters
from agent.drafts import Draft
from agent.driver import Driver
from agent.observer import Observer, Plan
from telemetry.clock import SystemClock
from telemetry.records import ReaderStatus
from tests.fix_agent import statuses_in

PATIENCE_S = 60.0
DEADLINE_S = 4.0


class ShiftedClock(SystemClock):
    """The machine's clock, put on by hand so that nobody has to wait for a minute."""

    def __init__(self) -> None:
        self.shift_s = 0.0

    def now_us(self) -> int:
        return super().now_us() + round(self.shift_s * 1e6)

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.shift_s

    def pass_s(self, seconds: float) -> None:
        self.shift_s += seconds


class ChildHost:
    """An observer over real child processes.

    Attributes:
        folder: what stands in it is what the driver does; see `child_reader.py`.
        heard: all drafts so far.
    """

    def __init__(self, folder: Path, command: Sequence[str] = ()) -> None:
        self.folder = folder
        self.say("boards", "gpu-0 gpu-1 gpu-2")
        self.say("version", "590.48.01")
        self.clock, self.counters = ShiftedClock(), Counters()
        code = "from tests.child_reader import main; main()"
        own = (sys.executable, "-c", code, str(folder), "scripted", "info")
        self.boards = ChildBoards(command or own, self.clock, self.counters)
        self.driver = Driver(self.boards, self.clock, self.counters, deadline_s=DEADLINE_S)
        self.observer = Observer(
            Plan(agent_version="1", heartbeat_interval_s=1.0, slow_interval_s=3600.0),
            self.driver,
            self.clock,
            self.counters,
        )
        self.heard: list[Draft] = []

    def say(self, name: str, what: str = "") -> None:
        path = self.folder / f"{name}.new"
        path.write_text(what)
        path.rename(self.folder / name)

    def unsay(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def tick(self, seconds: float = 0.0) -> list[Draft]:
        self.clock.pass_s(seconds)
        drafts = self.observer.tick()
        self.heard += drafts
        return drafts

    def statuses(self, seconds: float = 0.0) -> list[int | None]:
        """Return what a tick says of each board; nothing when it says nothing."""
        return statuses_in(self.tick(seconds))

    def until(self, holds: Callable[[list[Draft]], bool], seconds: float = 0.0) -> list[Draft]:
        """Tick until a tick is as it should be, each that many seconds after the one before."""
        end_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_s:
            drafts = self.tick(seconds)
            if holds(drafts):
                return drafts
            time.sleep(0.02)
        raise TimeoutError(f"still {statuses_in(drafts)}; {self.driver.trouble}")

    def until_whole(self, seconds: float = 0.0) -> list[Draft]:
        return self.until(lambda drafts: set(statuses_in(drafts)) == {ReaderStatus.WHOLE}, seconds)


@pytest.fixture
def child_host(tmp_path: Path) -> Iterator[ChildHost]:
    made = ChildHost(tmp_path)
    yield made
    made.unsay("frozen")
    for path in tmp_path.glob("hang-*"):
        path.unlink()
    made.driver.close()
