"""The vectorised boards: the same physics as one simulated board, and a real cluster's spread."""

from dataclasses import fields

import numpy as np
import pytest

from simulator.fleet.boards import Boards
from simulator.fleet.demand import Demand, demand_at
from simulator.nvml import profile
from simulator.nvml.load import Load
from simulator.nvml.physics import (
    REASON_HW_THERMAL,
    REASON_IDLE,
    REASON_POWER_BRAKE,
    REASON_POWER_CAP,
    REASON_SW_THERMAL,
    Physics,
)

H100 = profile.load("h100")


class NoNoise:
    """A generator without surprises: the middle of every distribution."""

    def normal(self, mean: float, _sd: float, count: object) -> np.ndarray:
        return np.full(count, float(mean))  # type: ignore[call-overload, no-any-return]

    def uniform(self, low: float, _high: float, count: int) -> np.ndarray:
        return np.full(count, float(low))

    def poisson(self, _mean: float, count: int) -> np.ndarray:
        return np.zeros(count, np.int64)

    def random(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.ones(shape)


def still_boards(count: int = 1) -> Boards:
    return Boards(H100, count, NoNoise())  # type: ignore[arg-type]


def demand(count: int = 1, **figures: float) -> Demand:
    values = {field.name: np.full(count, figures.get(field.name, 0.0)) for field in fields(Demand)}
    return Demand(**values)


@pytest.mark.parametrize(
    ("intensity", "cooling", "brake"),
    [(0.0, 1.0, False), (0.6, 1.0, False), (1.2, 1.0, False), (1.0, 0.4, False), (0.9, 1.0, True)],
)
def test_boards_follow_the_physics_of_one_board(
    intensity: float, cooling: float, *, brake: bool
) -> None:
    one, many = Physics(H100, 0, noise=0.0), still_boards()
    one.cooling, one.power_brake = cooling, brake
    many.cooling[:], many.power_brake[:] = cooling, brake
    busy = 1.0 if intensity else 0.0
    load = Load(busy, intensity, 0.3 * busy, 0.5 * busy)
    wanted = demand(activity=busy, intensity=intensity, memory_activity=0.3 * busy)
    for _ in range(120):
        one.advance(1.0, load)
        many.advance(1.0, wanted)
        assert many.core_celsius[0] == pytest.approx(one.core_celsius, abs=0.01)
        assert many.memory_celsius[0] == pytest.approx(one.memory_celsius, abs=0.01)
        assert many.power_average_watts[0] == pytest.approx(one.power_average_watts, abs=0.1)
        assert many.clock_mhz[0] == pytest.approx(one.clock_mhz, abs=0.5)
        assert many.reasons[0] == one.reasons


def test_an_idle_board_says_so() -> None:
    boards = still_boards()
    boards.advance(1.0, demand())
    assert boards.reasons[0] == REASON_IDLE
    assert boards.power_watts[0] == pytest.approx(69.85)


def test_too_much_work_is_capped_at_the_power_limit() -> None:
    boards = still_boards()
    for _ in range(5):
        boards.advance(1.0, demand(activity=1.0, intensity=1.3))
    assert boards.power_watts[0] == pytest.approx(700.0)
    assert boards.reasons[0] & REASON_POWER_CAP
    assert boards.clock_mhz[0] < H100.clocks.max_sm_mhz


def test_temperature_follows_power_late() -> None:
    boards = still_boards()
    before = boards.core_celsius[0]
    boards.advance(1.0, demand(activity=1.0, intensity=0.9))
    after_a_second = boards.core_celsius[0] - before
    for _ in range(200):
        boards.advance(1.0, demand(activity=1.0, intensity=0.9))
    assert 0 < after_a_second < 0.4 * (boards.core_celsius[0] - before)


def test_hot_air_slows_a_busy_board_down() -> None:
    boards = still_boards(2)
    boards.inlet_shift[1] = 35.0
    for _ in range(60):
        boards.advance(1.0, demand(2, activity=1.0, intensity=0.9))
    assert not boards.reasons[0] & (REASON_SW_THERMAL | REASON_HW_THERMAL)
    assert boards.reasons[1] & REASON_SW_THERMAL
    assert boards.clock_mhz[1] < boards.clock_mhz[0]
    assert boards.throttled_thermal_s[1] > 0


def test_a_power_brake_halves_the_clock() -> None:
    boards = still_boards()
    boards.power_brake[:] = True
    boards.advance(1.0, demand(activity=1.0, intensity=0.5))
    assert boards.clock_mhz[0] == pytest.approx(H100.clocks.max_sm_mhz / 2)
    assert boards.reasons[0] & REASON_POWER_BRAKE


def test_demand_spreads_as_in_a_real_cluster() -> None:
    # Kalos of AcmeTrace at its 40th, 60th, 80th and 95th percentile, as a share of 400 W.
    random = np.random.default_rng(3)
    ranks = random.random(20_000)
    boards = Boards(profile.load("a100"), len(ranks), random)
    for now_s in range(10):
        drawn = demand_at(ranks, np.full(len(ranks), 0.1), float(now_s), random)
        boards.advance(1.0, drawn)
    watts = np.quantile(boards.power_watts, [0.4, 0.6, 0.8, 0.95])
    assert watts == pytest.approx([94, 149, 389, 400], rel=0.25)
    used = np.quantile(drawn.activity, [0.3, 0.4, 0.5, 0.8])
    assert used == pytest.approx([0.0, 0.82, 0.97, 1.0], abs=0.2)
