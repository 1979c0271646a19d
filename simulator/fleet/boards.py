"""The physics of all boards of a facility at once.

Owns the same model as `simulator.nvml.physics` (power follows load, heat follows power in two
first-order stages, clocks follow both), as arrays with one element a board. A test holds the two
together.
"""

import math

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.demand import Demand, Floats
from simulator.nvml.physics import (
    POWER_PER_CLOCK_EXPONENT,
    REASON_HW_SLOWDOWN,
    REASON_HW_THERMAL,
    REASON_IDLE,
    REASON_POWER_BRAKE,
    REASON_POWER_CAP,
    REASON_SW_THERMAL,
    THERMAL_FACTOR_MIN,
    THERMAL_FACTOR_PER_S,
)
from simulator.nvml.profile import Profile

CORRECTED_ERRORS_PER_S = 1 / 86_400


class Boards:
    """State of all boards. Temperatures in °C, power in watts.

    Attributes:
        cooling: share of each board's cooling that works; 1 is healthy.
        inlet_shift: degrees by which each board's inlet air is warmer than the plan.
        power_brake: where an outside signal has cut power.
    """

    def __init__(self, profile: Profile, count: int, random: np.random.Generator) -> None:
        self.profile = profile
        self._random = random
        self.inlet_celsius = profile.thermal.inlet_celsius + random.normal(0, 2.5, count)
        self._mounting = 1 + random.normal(0, 0.05, count)
        self.cooling = np.ones(count)
        self.inlet_shift = np.zeros(count)
        self.power_brake = np.zeros(count, np.bool_)
        self.energy_joules = random.uniform(0, 5e9, count)
        self.corrected_errors = random.poisson(0.02, count)
        self.throttled_power_s = np.zeros(count)
        self.throttled_thermal_s = np.zeros(count)
        self.reasons: NDArray[np.int64] = np.full(count, REASON_IDLE)
        self.clock_mhz = np.full(count, float(profile.clocks.idle_sm_mhz))
        self.power_watts = np.full(count, profile.power.idle_milliwatts / 1000)
        self.power_average_watts = self.power_watts.copy()
        self._thermal_factor = np.ones(count)
        self._fast, self._slow = self._core_targets()
        self.memory_celsius = self._memory_target()

    @property
    def core_celsius(self) -> Floats:
        """Temperature of the cores."""
        return self.inlet_celsius + self.inlet_shift + self._fast + self._slow

    @property
    def margin_celsius(self) -> Floats:
        """How far the hotter of core and memory is below its operating maximum."""
        limits = self.profile.limits
        return np.minimum(
            limits.core_max_operating_celsius - self.core_celsius,
            limits.memory_max_operating_celsius - self.memory_celsius,
        )

    def advance(self, seconds: float, demand: Demand) -> None:
        """Let that time pass under that demand; steps of up to 5 s are near exact."""
        self._govern(seconds, demand)
        self._heat(seconds)
        self.energy_joules += self.power_watts * seconds
        shape = self.power_watts.shape
        self.corrected_errors += self._random.random(shape) < CORRECTED_ERRORS_PER_S * seconds
        self.throttled_power_s += seconds * ((self.reasons & REASON_POWER_CAP) != 0)
        heat = REASON_SW_THERMAL | REASON_HW_THERMAL
        self.throttled_thermal_s += seconds * ((self.reasons & heat) != 0)

    def _govern(self, seconds: float, demand: Demand) -> None:
        """Set clocks, the reasons for them, and power."""
        power = self.profile.power
        idle_watts = power.idle_milliwatts / 1000
        range_watts = power.default_limit_milliwatts / 1000 - idle_watts
        busy = (demand.activity > 0) | (demand.intensity > 0)
        slowed = self.margin_celsius <= self.profile.limits.slowdown_offset_celsius
        factor = self._thermal_throttle(seconds, slowed | self.power_brake, busy)
        asked = demand.intensity * range_watts * factor**POWER_PER_CLOCK_EXPONENT
        capped = busy & (asked > range_watts)
        over = np.where(capped, range_watts / np.maximum(asked, 1e-9), 1.0)
        factor = factor * over ** (1 / POWER_PER_CLOCK_EXPONENT)
        asked = np.minimum(asked, range_watts)
        reasons = REASON_POWER_CAP * capped
        reasons |= (REASON_HW_SLOWDOWN | REASON_HW_THERMAL) * slowed
        reasons |= REASON_SW_THERMAL * (self._thermal_factor < 1)
        reasons |= (REASON_HW_SLOWDOWN | REASON_POWER_BRAKE) * self.power_brake
        clocks = self.profile.clocks
        self.reasons = np.where(busy, reasons, REASON_IDLE)
        self.clock_mhz = np.where(busy, clocks.max_sm_mhz * factor, clocks.idle_sm_mhz)
        noise = 1 + self._random.normal(0, 0.004, busy.shape)
        self.power_watts = np.where(busy, idle_watts + asked, idle_watts) * noise
        change = (self.power_watts - self.power_average_watts) * (1 - math.exp(-seconds))
        self.power_average_watts += change

    def _thermal_throttle(
        self, seconds: float, halved: NDArray[np.bool_], busy: NDArray[np.bool_]
    ) -> Floats:
        """Return the share of the full clock that temperature and the power brake allow."""
        margin = self.margin_celsius
        rises = (margin > 1) | ~busy
        change = THERMAL_FACTOR_PER_S * seconds * (rises.astype(np.int64) - (busy & (margin <= 0)))
        self._thermal_factor = np.clip(self._thermal_factor + change, THERMAL_FACTOR_MIN, 1.0)
        return np.where(halved, np.minimum(self._thermal_factor, 0.5), self._thermal_factor)

    def _heat(self, seconds: float) -> None:
        """Move temperatures towards where power drives them; less cooling makes them slower."""
        thermal = self.profile.thermal
        fast, slow = self._core_targets()
        self._fast += (fast - self._fast) * (1 - math.exp(-seconds / thermal.core_fast_s))
        cooled_s = seconds * self.cooling
        self._slow += (slow - self._slow) * -np.expm1(-cooled_s / thermal.core_slow_s)
        towards = self._memory_target() - self.memory_celsius
        self.memory_celsius += towards * -np.expm1(-cooled_s / thermal.memory_s)

    def _core_targets(self) -> tuple[Floats, Floats]:
        thermal, watts = self.profile.thermal, self.power_watts * self._mounting
        fast = thermal.core_fast_celsius_per_watt * watts
        return fast, thermal.core_slow_celsius_per_watt * watts / self.cooling

    def _memory_target(self) -> Floats:
        thermal = self.profile.thermal
        rise = thermal.memory_celsius_per_watt * self.power_watts * self._mounting / self.cooling
        return self.inlet_celsius + self.inlet_shift + thermal.memory_offset_celsius + rise
