import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.nvml import profile
from simulator.nvml.load import IDLE, Load
from simulator.nvml.physics import (
    REASON_HW_SLOWDOWN,
    REASON_HW_THERMAL,
    REASON_IDLE,
    REASON_POWER_BRAKE,
    REASON_POWER_CAP,
    REASON_SW_THERMAL,
    Physics,
)

BUSY = Load(activity=1.0, intensity=0.8, memory_activity=0.4, memory_used=0.5)


def make(name: str = "h100") -> Physics:
    return Physics(profile.load(name), seed=1, noise=0)


def settle(physics: Physics, load: Load, seconds: int = 600) -> Physics:
    for _ in range(seconds):
        physics.advance(1, load)
    return physics


@pytest.mark.parametrize("name", profile.names())
def test_idle_board_rests_at_the_idle_figures_of_its_profile(name: str) -> None:
    physics = settle(make(name), IDLE, 300)
    assert physics.power_watts * 1000 == pytest.approx(physics.profile.power.idle_milliwatts)
    assert physics.clock_mhz == physics.profile.clocks.idle_sm_mhz
    assert physics.reasons == REASON_IDLE


def test_core_follows_power_with_a_delay_and_memory_more_slowly() -> None:
    physics = make()
    core, memory = physics.core_celsius, physics.memory_celsius
    settled = settle(make(), BUSY)
    core_rise = settled.core_celsius - core
    memory_rise = settled.memory_celsius - memory
    physics.advance(1, BUSY)
    assert 0.05 < (physics.core_celsius - core) / core_rise < 0.4
    settle(physics, BUSY, 20)
    core_share = (physics.core_celsius - core) / core_rise
    memory_share = (physics.memory_celsius - memory) / memory_rise
    assert 0.7 < core_share < 0.95
    assert 0.3 < memory_share < core_share


def test_one_long_step_ends_where_many_short_ones_do() -> None:
    short, long = settle(make(), BUSY, 120), make()
    long.advance(120, BUSY)
    assert long.core_celsius == pytest.approx(short.core_celsius, abs=0.1)
    assert long.memory_celsius == pytest.approx(short.memory_celsius, abs=0.1)
    assert long.energy_joules == pytest.approx(short.energy_joules, rel=1e-6)


def test_energy_is_the_integral_of_power() -> None:
    physics = settle(make(), BUSY, 5)
    before = physics.energy_joules
    settle(physics, BUSY, 100)
    assert physics.energy_joules - before == pytest.approx(100 * physics.power_watts)


def test_power_cap_holds_the_limit_by_lower_clocks_and_says_so() -> None:
    physics = settle(make(), BUSY._replace(intensity=1.3), 10)
    assert physics.power_watts == pytest.approx(700)
    assert physics.clock_mhz < physics.profile.clocks.max_sm_mhz
    assert physics.reasons == REASON_POWER_CAP
    assert physics.throttled_s[REASON_POWER_CAP] == pytest.approx(10)


def test_lower_limit_throttles_a_load_that_was_allowed_before() -> None:
    physics = settle(make(), BUSY, 10)
    assert not physics.reasons
    physics.power_limit_watts = 300
    settle(physics, BUSY, 2)
    assert physics.power_watts == pytest.approx(300)
    assert physics.reasons & REASON_POWER_CAP


def test_weak_cooling_is_met_by_software_slowdown_without_a_cut_off() -> None:
    physics = make()
    physics.cooling = 0.25
    settle(physics, BUSY, 900)
    assert physics.reasons & REASON_SW_THERMAL
    assert not physics.shut_down
    assert physics.margin_celsius > physics.profile.limits.slowdown_offset_celsius
    assert physics.throttled_s[REASON_SW_THERMAL] > 0


def test_no_cooling_slows_down_in_hardware_and_then_cuts_off() -> None:
    physics = make()
    physics.cooling = 0.02
    seen = 0
    for _ in range(300):
        physics.advance(1, BUSY)
        seen |= physics.reasons
        if physics.shut_down:
            break
    assert physics.shut_down
    assert seen & REASON_HW_THERMAL
    assert seen & REASON_HW_SLOWDOWN


def test_clocks_come_back_when_the_cooling_does() -> None:
    physics = make()
    physics.cooling = 0.25
    settle(physics, BUSY, 300)
    physics.cooling = 1.0
    settle(physics, BUSY, 600)
    assert physics.reasons == 0
    assert physics.clock_mhz == physics.profile.clocks.max_sm_mhz


def test_power_brake_halves_the_clock() -> None:
    physics = make()
    physics.power_brake = True
    settle(physics, BUSY, 3)
    assert physics.clock_mhz == physics.profile.clocks.max_sm_mhz / 2
    assert physics.reasons == REASON_POWER_BRAKE | REASON_HW_SLOWDOWN


def test_the_same_seed_gives_the_same_board_and_another_seed_another() -> None:
    h100 = profile.load("h100")
    first, again, other = Physics(h100, 7), Physics(h100, 7), Physics(h100, 8)
    for physics in (first, again, other):
        settle(physics, BUSY, 30)
    assert first.core_celsius == again.core_celsius
    assert first.power_watts == again.power_watts
    assert first.core_celsius != other.core_celsius


shares = st.floats(0, 1, allow_nan=False)
loads = st.builds(Load, shares, st.floats(0, 2), shares, shares, shares, shares)


@settings(max_examples=60)
@given(
    steps=st.lists(st.tuples(st.floats(0, 3600), loads), min_size=1, max_size=15),
    cooling=st.floats(0.01, 1),
    seed=st.integers(0, 2**32),
)
def test_no_history_of_load_and_time_leads_out_of_the_physical_range(
    steps: list[tuple[float, Load]], cooling: float, seed: int
) -> None:
    physics = Physics(profile.load("h200"), seed)
    physics.cooling = cooling
    energy = physics.energy_joules
    for seconds, load in steps:
        physics.advance(seconds, load)
        assert physics.energy_joules >= energy
        energy = physics.energy_joules
        assert 0 < physics.power_watts < 730
        assert 150 < physics.clock_mhz <= 1980
        assert 0 < physics.core_celsius < 1500
        assert -1500 < physics.margin_celsius < 90
