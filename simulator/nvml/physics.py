"""The physics of one GPU: power follows load, heat follows power, clocks follow both.

Owns the state that changes from second to second and one step of it. It is pure: time and load
come in, and noise from a seeded generator. It knows no NVML; `device` turns it into readings.

Two first-order stages make the core temperature, the die (seconds) and its cooling (a minute);
the memory is one stage. The clock governor holds power at the limit, lets clocks sink while the
core is above its operating maximum, halves them above the slowdown point, and cuts the board off
at the shutdown point, as the driver does.
"""

import math
import random

from simulator.nvml.load import Load
from simulator.nvml.profile import Profile

STEP_S_MAX = 5.0
STEPS_MAX = 12
# Dynamic power goes with f·V², and V with f over the upper range: between square and cube.
POWER_PER_CLOCK_EXPONENT = 2.4
THERMAL_FACTOR_MIN = 0.3
THERMAL_FACTOR_PER_S = 0.03
CORRECTED_ERRORS_PER_S = 1 / 86_400

REASON_IDLE = 0x1
REASON_POWER_CAP = 0x4
REASON_HW_SLOWDOWN = 0x8
REASON_SW_THERMAL = 0x20
REASON_HW_THERMAL = 0x40
REASON_POWER_BRAKE = 0x80


class Physics:
    """State of one GPU. Temperatures in °C, power in watts, counters since the driver loaded."""

    __slots__ = (
        "_above_inlet_fast",
        "_above_inlet_slow",
        "_mounting",
        "_random",
        "_thermal_factor",
        "clock_mhz",
        "cooling",
        "corrected_errors",
        "energy_joules",
        "inlet_celsius",
        "load",
        "margin_celsius",
        "memory_celsius",
        "memory_power_watts",
        "noise",
        "power_average_watts",
        "power_brake",
        "power_limit_watts",
        "power_watts",
        "profile",
        "reasons",
        "shut_down",
        "throttled_s",
        "totals",
    )

    def __init__(self, profile: Profile, seed: int, *, noise: float = 1.0) -> None:
        self.profile = profile
        self._random = random.Random(seed)
        self.noise = noise
        self.load = Load(0.0, 0.0, 0.0, 0.0)
        self.power_limit_watts = profile.power.default_limit_milliwatts / 1000
        self.inlet_celsius = profile.thermal.inlet_celsius + noise * self._random.gauss(0, 2.5)
        # No two heat sinks are mounted alike.
        self._mounting = 1 + noise * self._random.gauss(0, 0.05)
        self.cooling = 1.0
        """Share of the cooling that works: 1 is healthy, towards (never at) 0 is a runaway."""
        self.power_brake = False
        self.shut_down = False
        self.energy_joules = noise * self._random.uniform(0, 5e9)
        self.corrected_errors = 0
        self.throttled_s = dict.fromkeys(
            (REASON_POWER_CAP, REASON_SW_THERMAL, REASON_HW_THERMAL, REASON_POWER_BRAKE), 0.0
        )
        self.totals = Totals()
        self.reasons = REASON_IDLE
        self.clock_mhz = float(profile.clocks.idle_sm_mhz)
        self._thermal_factor = 1.0
        self.power_watts = self.power_average_watts = profile.power.idle_milliwatts / 1000
        self.memory_power_watts = profile.power.memory_idle_milliwatts / 1000
        self._above_inlet_fast, self._above_inlet_slow = self._core_targets()
        self.memory_celsius = self._memory_target()
        self.margin_celsius = self._margin()
        """How far the hotter of core and memory is below its operating maximum (T.Limit)."""

    @property
    def core_celsius(self) -> float:
        """Temperature of the core."""
        return self.inlet_celsius + self._above_inlet_fast + self._above_inlet_slow

    def advance(self, seconds: float, load: Load) -> None:
        """Let that time pass under that load."""
        self.load = load
        steps = min(STEPS_MAX, max(1, math.ceil(seconds / STEP_S_MAX)))
        for _ in range(steps):
            self._step(seconds / steps)

    def _step(self, seconds: float) -> None:
        self._govern(seconds)
        self._heat(seconds)
        self.totals.add(seconds, self.load, self.clock_mhz / self.profile.clocks.max_sm_mhz)
        self.energy_joules += self.power_watts * seconds
        if self.noise and self._random.random() < CORRECTED_ERRORS_PER_S * seconds * self.noise:
            self.corrected_errors += 1
        for reason in self.throttled_s:
            if self.reasons & reason:
                self.throttled_s[reason] += seconds

    def _govern(self, seconds: float) -> None:
        """Set clocks, the reasons for them, and power."""
        profile, load = self.profile, self.load
        idle_watts = profile.power.idle_milliwatts / 1000
        if load.activity <= 0 and load.intensity <= 0:
            self.reasons, self.clock_mhz = REASON_IDLE, float(profile.clocks.idle_sm_mhz)
            self._thermal_factor = min(1.0, self._thermal_factor + THERMAL_FACTOR_PER_S * seconds)
            watts = idle_watts
        else:
            factor, self.reasons = self._thermal_throttle(seconds), 0
            full_range_watts = profile.power.default_limit_milliwatts / 1000 - idle_watts
            asked_watts = load.intensity * full_range_watts * factor**POWER_PER_CLOCK_EXPONENT
            allowed_watts = self.power_limit_watts - idle_watts
            if asked_watts > allowed_watts:
                factor *= (allowed_watts / asked_watts) ** (1 / POWER_PER_CLOCK_EXPONENT)
                asked_watts = allowed_watts
                self.reasons |= REASON_POWER_CAP
            self.reasons |= self._thermal_reasons()
            self.clock_mhz = profile.clocks.max_sm_mhz * factor
            watts = idle_watts + asked_watts
        self.power_watts = watts * (1 + self.noise * self._random.gauss(0, 0.004))
        self.power_average_watts += (self.power_watts - self.power_average_watts) * (
            1 - math.exp(-seconds)
        )
        used = min(1.0, max(load.memory_activity, 0.9 * load.intensity))
        power = profile.power
        self.memory_power_watts = (
            power.memory_idle_milliwatts
            + (power.memory_busy_milliwatts - power.memory_idle_milliwatts) * used
        ) / 1000

    def _thermal_throttle(self, seconds: float) -> float:
        """Return the share of the full clock that temperature and the power brake allow."""
        margin = self.margin_celsius
        change = -THERMAL_FACTOR_PER_S if margin <= 0 else THERMAL_FACTOR_PER_S * (margin > 1)
        factor = self._thermal_factor + change * seconds
        self._thermal_factor = min(1.0, max(THERMAL_FACTOR_MIN, factor))
        if margin <= self.profile.limits.slowdown_offset_celsius or self.power_brake:
            return min(self._thermal_factor, 0.5)
        return self._thermal_factor

    def _thermal_reasons(self) -> int:
        reasons = 0
        if self.margin_celsius <= self.profile.limits.slowdown_offset_celsius:
            reasons |= REASON_HW_SLOWDOWN | REASON_HW_THERMAL
        if self._thermal_factor < 1:
            reasons |= REASON_SW_THERMAL
        if self.power_brake:
            reasons |= REASON_HW_SLOWDOWN | REASON_POWER_BRAKE
        return reasons

    def _heat(self, seconds: float) -> None:
        """Move temperatures towards where power drives them; exact for any length of step.

        Less cooling is more resistance at the same heat capacity, so it slows the rise as much as
        it raises the end.
        """
        thermal = self.profile.thermal
        fast, slow = self._core_targets()
        self._above_inlet_fast += (fast - self._above_inlet_fast) * (
            1 - math.exp(-seconds / thermal.core_fast_s)
        )
        self._above_inlet_slow += (slow - self._above_inlet_slow) * (
            1 - math.exp(-seconds * self.cooling / thermal.core_slow_s)
        )
        self.memory_celsius += (self._memory_target() - self.memory_celsius) * (
            1 - math.exp(-seconds * self.cooling / thermal.memory_s)
        )
        self.margin_celsius = self._margin()
        cut_off = self.profile.limits.shutdown_offset_celsius
        self.shut_down = self.shut_down or self.margin_celsius <= cut_off

    def _margin(self) -> float:
        limits = self.profile.limits
        return min(
            limits.core_max_operating_celsius - self.core_celsius,
            limits.memory_max_operating_celsius - self.memory_celsius,
        )

    def _core_targets(self) -> tuple[float, float]:
        """Where the two stages of the core settle at this power."""
        thermal, watts = self.profile.thermal, self.power_watts * self._mounting
        return (
            thermal.core_fast_celsius_per_watt * watts,
            thermal.core_slow_celsius_per_watt * watts / self.cooling,
        )

    def _memory_target(self) -> float:
        thermal = self.profile.thermal
        rise = thermal.memory_celsius_per_watt * self.power_watts * self._mounting / self.cooling
        return self.inlet_celsius + thermal.memory_offset_celsius + rise


class Totals:
    """Sums since the driver loaded, in seconds of full use: what rates are differences of."""

    __slots__ = ("elapsed_s", "link_s", "memory_s", "pcie_s", "sm_s", "tensor_s")

    def __init__(self) -> None:
        self.elapsed_s = self.sm_s = self.tensor_s = self.memory_s = 0.0
        self.link_s = self.pcie_s = 0.0

    def add(self, seconds: float, load: Load, clock_share: float) -> None:
        """Add that time under that load."""
        self.elapsed_s += seconds
        self.sm_s += seconds * min(1.0, load.activity * (0.35 + 0.6 * min(1.0, load.intensity)))
        self.tensor_s += seconds * min(1.0, load.activity * load.intensity) * 0.6
        self.memory_s += seconds * load.memory_activity
        self.link_s += seconds * load.link * clock_share
        self.pcie_s += seconds * load.pcie

    def copy(self) -> "Totals":
        """Return the sums as they are now."""
        copied = Totals()
        copied.elapsed_s, copied.sm_s, copied.tensor_s = self.elapsed_s, self.sm_s, self.tensor_s
        copied.memory_s, copied.link_s, copied.pcie_s = self.memory_s, self.link_s, self.pcie_s
        return copied
