"""Recorded times, the times that are stamped, and when each moment is sent."""

import math

import pytest

from simulator.replay.timeline import Timeline

START_US = 1_800_000_000_000_000


def timeline(mode: str, speed: float) -> Timeline:
    return Timeline(mode, first_s=1000.0, last_s=4600.0, speed=speed, start_us=START_US)


def test_shifted_ends_when_the_replay_ends() -> None:
    made = timeline("shifted", 600.0)
    assert made.stamp_us(4600.0) == START_US + 6_000_000
    assert made.stamp_us(1000.0) == START_US + 6_000_000 - 3_600_000_000


def test_shifted_never_stamps_what_has_not_been_yet() -> None:
    made = timeline("shifted", 600.0)
    for time_s in range(1000, 4601, 57):
        assert made.stamp_us(time_s) <= START_US + round(made.due_s(time_s) * 1e6)


def test_shifted_at_full_speed_ends_at_the_start() -> None:
    made = timeline("shifted", math.inf)
    assert made.stamp_us(4600.0) == START_US
    assert made.due_s(4600.0) == 0


def test_original_keeps_times() -> None:
    assert timeline("original", 10.0).range_us == (1_000_000_000, 4_600_000_000)


def test_wall_stamps_what_is_sent_when_it_is_sent() -> None:
    made = timeline("wall", 57.0)
    assert made.stamp_us(1057.0) == START_US + 1_000_000
    assert made.due_s(1057.0) == pytest.approx(1.0)


def test_wall_needs_a_speed() -> None:
    with pytest.raises(ValueError, match="need a speed"):
        timeline("wall", math.inf)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        timeline("yesterday", 1.0)
