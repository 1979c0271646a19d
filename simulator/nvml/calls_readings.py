"""NVML calls for what changes by the second: use, memory, heat, power, clocks, throttling."""

from collections.abc import Callable
from typing import Any

from simulator.nvml.calling import (
    ARGUMENT_VERSION_MISMATCH,
    INVALID_ARGUMENT,
    NOT_SUPPORTED,
    SUCCESS,
    DeviceCall,
    get_field,
    has_version,
    number,
    put,
    set_field,
    target,
)
from simulator.nvml.device import SimulatedGpu
from simulator.nvml.physics import (
    REASON_HW_THERMAL,
    REASON_IDLE,
    REASON_POWER_CAP,
    REASON_SW_THERMAL,
)

MEMORY_V2 = 0x02000028
TEMPERATURE_V1 = 0x100000C
MARGIN_V1 = 0x1000008
CLOCK_SM, CLOCK_MEMORY, CLOCK_VIDEO = 1, 2, 3
POLICY_POWER, POLICY_THERMAL = 0, 1
POLICIES_OTHER = (2, 3, 4, 5, 10, 11)
SAMPLING_PERIOD_US = 167_000
MEBIBYTE = 1 << 20


def _utilization(gpu: SimulatedGpu, rates: Any) -> int:
    if gpu.mig_enabled:
        return NOT_SUPPORTED
    result, load = target(rates), gpu.physics.load
    set_field(result, "gpu", round(load.activity * 100))
    set_field(result, "memory", round(load.memory_activity * 100))
    return SUCCESS


def _engine_utilization(gpu: SimulatedGpu, percent: Any, period_us: Any) -> int:
    """Encoder, decoder, JPEG, optical flow: training and serving use none of them."""
    if gpu.mig_enabled:
        return NOT_SUPPORTED
    return put(percent, 0) or put(period_us, SAMPLING_PERIOD_US)


def _memory(gpu: SimulatedGpu, info: Any) -> int:
    """Version 1 counts what the driver reserves as used."""
    result, profile = target(info), gpu.profile
    used = gpu.memory_used_mebibytes + profile.memory_reserved_mebibytes
    result.total, result.used = profile.memory_total_mebibytes * MEBIBYTE, used * MEBIBYTE
    result.free = result.total - result.used
    return SUCCESS


def _memory_v2(gpu: SimulatedGpu, info: Any) -> int:
    result, profile = target(info), gpu.profile
    if not has_version(result, MEMORY_V2):
        return ARGUMENT_VERSION_MISMATCH
    total = profile.memory_total_mebibytes * MEBIBYTE
    reserved = profile.memory_reserved_mebibytes * MEBIBYTE
    used = gpu.memory_used_mebibytes * MEBIBYTE
    set_field(result, "total", total)
    set_field(result, "reserved", reserved)
    set_field(result, "used", used)
    set_field(result, "free", total - reserved - used)
    return SUCCESS


def _bar1(gpu: SimulatedGpu, info: Any) -> int:
    result = target(info)
    result.bar1Total = gpu.profile.bar1_total_mebibytes * MEBIBYTE
    result.bar1Used = (gpu.memory_used_mebibytes + 1) * MEBIBYTE
    result.bar1Free = result.bar1Total - result.bar1Used
    return SUCCESS


def _temperature(gpu: SimulatedGpu, sensor: Any, result: Any) -> int:
    return INVALID_ARGUMENT if number(sensor) else put(result, round(gpu.physics.core_celsius))


def _temperature_v(gpu: SimulatedGpu, reading: Any) -> int:
    result = target(reading)
    if not has_version(result, TEMPERATURE_V1):
        return ARGUMENT_VERSION_MISMATCH
    if get_field(result, "sensorType"):
        return INVALID_ARGUMENT
    set_field(result, "temperature", round(gpu.physics.core_celsius))
    return SUCCESS


def _margin(gpu: SimulatedGpu, reading: Any) -> int:
    result = target(reading)
    if not has_version(result, MARGIN_V1):
        return ARGUMENT_VERSION_MISMATCH
    set_field(result, "marginTemperature", round(gpu.physics.margin_celsius))
    return SUCCESS


def _threshold(gpu: SimulatedGpu, kind: Any, result: Any) -> int:
    if number(kind) in gpu.profile.absent_thresholds:
        return NOT_SUPPORTED
    limits = gpu.profile.limits
    thresholds = (
        limits.core_max_operating_celsius - limits.shutdown_offset_celsius,
        limits.core_max_operating_celsius - limits.slowdown_offset_celsius,
        limits.memory_max_operating_celsius,
        limits.core_max_operating_celsius,
    )
    if not 0 <= number(kind) < len(thresholds):
        return INVALID_ARGUMENT
    return put(result, thresholds[number(kind)])


def power_milliwatts(gpu: SimulatedGpu) -> int:
    """Return board power as the driver averages it."""
    return round(gpu.physics.power_average_watts * 1000)


def energy_millijoules(gpu: SimulatedGpu) -> int:
    """Return the energy counter."""
    return round(gpu.physics.energy_joules * 1000)


def power_limit_milliwatts(gpu: SimulatedGpu) -> int:
    """Return the limit in force."""
    return round(gpu.physics.power_limit_watts * 1000)


def _power_constraints(gpu: SimulatedGpu, minimum: Any, maximum: Any) -> int:
    power = gpu.profile.power
    return put(minimum, power.min_limit_milliwatts) or put(maximum, power.max_limit_milliwatts)


def _clock(gpu: SimulatedGpu, kind: Any, result: Any) -> int:
    clocks = gpu.profile.clocks
    idle = bool(gpu.physics.reasons & REASON_IDLE)
    sm = round(gpu.physics.clock_mhz / 15) * 15  # The PLL moves in steps of 15 MHz.
    memory = clocks.idle_memory_mhz if idle else clocks.max_memory_mhz
    video = clocks.idle_video_mhz if idle else clocks.max_video_mhz
    return _put_one_of(kind, result, (sm, sm, memory, video))


def _max_clock(gpu: SimulatedGpu, kind: Any, result: Any) -> int:
    clocks = gpu.profile.clocks
    maxima = (clocks.max_sm_mhz, clocks.max_sm_mhz, clocks.max_memory_mhz, clocks.max_video_mhz)
    return _put_one_of(kind, result, maxima)


def _put_one_of(kind: Any, result: Any, choices: tuple[int, ...]) -> int:
    if not 0 <= number(kind) < len(choices):
        return INVALID_ARGUMENT
    return put(result, choices[number(kind)])


def throttled_nanoseconds(gpu: SimulatedGpu, *reasons: int) -> int:
    """Return time spent throttled for these reasons since the driver loaded."""
    return round(sum(gpu.physics.throttled_s[reason] for reason in reasons) * 1e9)


def _violation(gpu: SimulatedGpu, policy: Any, reading: Any) -> int:
    """Time throttled in nanoseconds, and the reference time in microseconds."""
    result = target(reading)
    if number(policy) == POLICY_POWER:
        result.violationTime = throttled_nanoseconds(gpu, REASON_POWER_CAP)
    elif number(policy) == POLICY_THERMAL:
        result.violationTime = throttled_nanoseconds(gpu, REASON_SW_THERMAL, REASON_HW_THERMAL)
    elif number(policy) in POLICIES_OTHER:
        result.violationTime = 0
    else:
        return INVALID_ARGUMENT
    result.referenceTime = round(gpu.physics.totals.elapsed_s * 1e6)
    return SUCCESS


def _single(value: Callable[[SimulatedGpu], int]) -> DeviceCall:
    """Return a call that writes one number."""
    return lambda gpu, result: put(result, value(gpu))


CALLS: dict[str, DeviceCall] = {
    "nvmlDeviceGetUtilizationRates": _utilization,
    "nvmlDeviceGetEncoderUtilization": _engine_utilization,
    "nvmlDeviceGetDecoderUtilization": _engine_utilization,
    "nvmlDeviceGetJpgUtilization": _engine_utilization,
    "nvmlDeviceGetOfaUtilization": _engine_utilization,
    "nvmlDeviceGetMemoryInfo": _memory,
    "nvmlDeviceGetMemoryInfo_v2": _memory_v2,
    "nvmlDeviceGetBAR1MemoryInfo": _bar1,
    "nvmlDeviceGetTemperature": _temperature,
    "nvmlDeviceGetTemperatureV": _temperature_v,
    "nvmlDeviceGetTemperatureThreshold": _threshold,
    "nvmlDeviceGetMarginTemperature": _margin,
    "nvmlDeviceGetFanSpeed": lambda _gpu, result: put(result, 30),
    "nvmlDeviceGetPowerUsage": _single(power_milliwatts),
    "nvmlDeviceGetEnforcedPowerLimit": _single(power_limit_milliwatts),
    "nvmlDeviceGetPowerManagementLimit": _single(power_limit_milliwatts),
    "nvmlDeviceGetPowerManagementLimitConstraints": _power_constraints,
    "nvmlDeviceGetPowerManagementDefaultLimit": _single(
        lambda gpu: gpu.profile.power.default_limit_milliwatts
    ),
    "nvmlDeviceGetTotalEnergyConsumption": _single(energy_millijoules),
    "nvmlDeviceGetClockInfo": _clock,
    "nvmlDeviceGetMaxClockInfo": _max_clock,
    "nvmlDeviceGetApplicationsClock": _max_clock,
    "nvmlDeviceGetDefaultApplicationsClock": _max_clock,
    "nvmlDeviceGetCurrentClocksEventReasons": _single(lambda gpu: gpu.physics.reasons),
    "nvmlDeviceGetSupportedClocksEventReasons": _single(
        lambda gpu: gpu.profile.clock_event_reasons_supported
    ),
    "nvmlDeviceGetViolationStatus": _violation,
    "nvmlDeviceGetPerformanceState": _single(lambda _gpu: 0),
}
