"""Ticks at even distances, and what a stall does to them."""

import pytest

from simulator.pace import run_ticks
from telemetry.stop import StopSignal


class FakeTime(StopSignal):
    """A clock and a stop signal in one: waiting moves the time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0

    def monotonic_s(self) -> float:
        return self.now

    def now_us(self) -> int:
        return round(self.now * 1e6)

    def wait(self, seconds: float) -> bool:
        self.now += max(0.0, seconds)
        return self.is_set()


def test_ticks_come_at_even_distances_until_the_time_is_over() -> None:
    time, ticks = FakeTime(), list[float]()
    assert run_ticks(lambda: ticks.append(time.now), 0.5, 3.0, time, time) == 0
    assert ticks == [100.0, 100.5, 101.0, 101.5, 102.0, 102.5]


def test_a_slow_tick_is_caught_up_with() -> None:
    time, ticks = FakeTime(), list[float]()

    def tick() -> None:
        ticks.append(time.now)
        time.now += 2.2 if len(ticks) == 2 else 0.0

    assert run_ticks(tick, 1.0, 6.0, time, time) == 0
    assert ticks == pytest.approx([100, 101, 103.2, 103.2, 104, 105])


def test_a_long_stall_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    time, ticks = FakeTime(), list[float]()

    def tick() -> None:
        ticks.append(time.now)
        time.now += 30.0 if len(ticks) == 2 else 0.0

    missed = run_ticks(tick, 1.0, 40.0, time, time)
    assert missed == 29
    assert len(ticks) == 40 - missed
    assert "29 ticks behind" in caplog.text


def test_a_raised_flag_ends_it() -> None:
    time, ticks = FakeTime(), list[float]()

    def tick() -> None:
        ticks.append(time.now)
        if len(ticks) == 3:
            time.set()

    run_ticks(tick, 1.0, 0.0, time, time)
    assert len(ticks) == 3
