"""NVML's batch of field values: many numbers in one call, each with a verdict of its own."""

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from simulator.nvml.calling import GPU_IS_LOST, NOT_SUPPORTED, SUCCESS, HostCall, number, target
from simulator.nvml.calls_memory_health import AGGREGATE, UNCORRECTED, VOLATILE, ecc_errors
from simulator.nvml.calls_readings import (
    energy_millijoules,
    power_limit_milliwatts,
    power_milliwatts,
    throttled_nanoseconds,
)
from simulator.nvml.device import LATENCY_MAX_US, NO_BIT_ERRORS, SimulatedGpu
from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.physics import (
    REASON_HW_THERMAL,
    REASON_POWER_BRAKE,
    REASON_POWER_CAP,
    REASON_SW_THERMAL,
)

UNSIGNED, UNSIGNED_LONG_LONG, SIGNED = 1, 3, 5
SCOPE_MODULE, SCOPE_MEMORY = 1, 2
# `nvmlFieldValue_t`: field, scope, time, latency, type of the value, NVML's code, the value.
ENTRY_BYTES = struct.calcsize("=IIqqIIQ")
BATCHES_KEPT_MAX = 16
LOW_BITS, ALL_BITS = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF
FIELD_POWER_AVERAGE, FIELD_POWER_INSTANT = 185, 186

Getter = Callable[[SimulatedGpu], int]

# Field id: type of value, and how it is got.
FIELDS: dict[int, tuple[int, Getter]] = {
    1: (UNSIGNED, lambda _gpu: 1),
    2: (UNSIGNED, lambda _gpu: 1),
    3: (UNSIGNED_LONG_LONG, lambda gpu: ecc_errors(gpu, 0, VOLATILE)),
    4: (UNSIGNED_LONG_LONG, lambda gpu: ecc_errors(gpu, UNCORRECTED, VOLATILE)),
    5: (UNSIGNED_LONG_LONG, lambda gpu: ecc_errors(gpu, 0, AGGREGATE)),
    6: (UNSIGNED_LONG_LONG, lambda gpu: ecc_errors(gpu, UNCORRECTED, AGGREGATE)),
    29: (UNSIGNED_LONG_LONG, lambda _gpu: 0),
    30: (UNSIGNED_LONG_LONG, lambda _gpu: 0),
    31: (UNSIGNED, lambda _gpu: 0),
    74: (UNSIGNED_LONG_LONG, lambda gpu: throttled_nanoseconds(gpu, REASON_POWER_CAP)),
    75: (
        UNSIGNED_LONG_LONG,
        lambda gpu: throttled_nanoseconds(gpu, REASON_SW_THERMAL, REASON_HW_THERMAL),
    ),
    76: (UNSIGNED_LONG_LONG, lambda _gpu: 0),
    82: (UNSIGNED, lambda gpu: round(gpu.physics.memory_celsius)),
    83: (UNSIGNED_LONG_LONG, energy_millijoules),
    91: (UNSIGNED, lambda gpu: gpu.profile.links.nvlink_count),
    94: (UNSIGNED, lambda gpu: gpu.counters.pcie_replays),
    95: (UNSIGNED, lambda _gpu: 0),
    142: (UNSIGNED, lambda gpu: gpu.counters.rows_corrected),
    143: (UNSIGNED, lambda gpu: gpu.counters.rows_uncorrected),
    144: (UNSIGNED, lambda gpu: int(gpu.counters.remap_pending)),
    145: (UNSIGNED, lambda gpu: int(gpu.counters.remap_failed)),
    173: (UNSIGNED_LONG_LONG, lambda gpu: gpu.counters.pcie_correctable),
    174: (UNSIGNED_LONG_LONG, lambda gpu: gpu.counters.pcie_naks_received),
    175: (UNSIGNED_LONG_LONG, lambda gpu: gpu.counters.pcie_receiver),
    176: (UNSIGNED_LONG_LONG, lambda gpu: gpu.counters.pcie_bad_tlps),
    177: (UNSIGNED_LONG_LONG, lambda gpu: gpu.counters.pcie_naks_sent),
    178: (UNSIGNED_LONG_LONG, lambda gpu: gpu.counters.pcie_bad_dllps),
    179: (UNSIGNED_LONG_LONG, lambda gpu: gpu.counters.pcie_nonfatal),
    180: (UNSIGNED_LONG_LONG, lambda gpu: gpu.counters.pcie_fatal),
    181: (UNSIGNED_LONG_LONG, lambda gpu: gpu.counters.pcie_unsupported_requests),
    182: (UNSIGNED_LONG_LONG, lambda gpu: gpu.counters.pcie_lcrc),
    183: (UNSIGNED_LONG_LONG, lambda _gpu: 0),
    FIELD_POWER_AVERAGE: (UNSIGNED, power_milliwatts),
    FIELD_POWER_INSTANT: (UNSIGNED, lambda gpu: round(gpu.physics.power_watts * 1000)),
    187: (UNSIGNED, lambda gpu: gpu.profile.power.min_limit_milliwatts),
    188: (UNSIGNED, lambda gpu: gpu.profile.power.max_limit_milliwatts),
    189: (UNSIGNED, lambda gpu: gpu.profile.power.default_limit_milliwatts),
    190: (UNSIGNED, power_limit_milliwatts),
    191: (UNSIGNED_LONG_LONG, energy_millijoules),
    192: (UNSIGNED, power_limit_milliwatts),
    193: (SIGNED, lambda gpu: gpu.profile.limits.shutdown_offset_celsius),
    194: (SIGNED, lambda gpu: gpu.profile.limits.slowdown_offset_celsius),
    195: (SIGNED, lambda gpu: gpu.profile.limits.memory_max_offset_celsius),
    196: (SIGNED, lambda gpu: gpu.profile.limits.core_max_offset_celsius),
    230: (UNSIGNED, lambda gpu: gpu.counters.recovery_action),
    231: (UNSIGNED_LONG_LONG, lambda gpu: gpu.counters.c2c_errors),
    232: (UNSIGNED_LONG_LONG, lambda gpu: gpu.counters.c2c_replays),
    269: (UNSIGNED_LONG_LONG, lambda gpu: throttled_nanoseconds(gpu, REASON_SW_THERMAL)),
    270: (UNSIGNED_LONG_LONG, lambda gpu: throttled_nanoseconds(gpu, REASON_HW_THERMAL)),
    271: (UNSIGNED_LONG_LONG, lambda gpu: throttled_nanoseconds(gpu, REASON_POWER_BRAKE)),
    274: (UNSIGNED, lambda _gpu: 100),
}

# Fields whose scope is a link. All errors stand on link 0.
LINK_FIELDS: dict[int, Getter] = {
    161: lambda gpu: gpu.counters.nvlink_replay,
    162: lambda gpu: gpu.counters.nvlink_recovery,
    163: lambda gpu: gpu.counters.nvlink_crc,
    208: lambda gpu: gpu.counters.nvlink_receive,
    213: lambda _gpu: 0,
    214: lambda gpu: gpu.counters.nvlink_recovery_failures,
    215: lambda gpu: gpu.counters.nvlink_recovery_events,
    221: lambda gpu: gpu.counters.nvlink_symbol,
}
FIELD_LINK_STATE = 165
FIELDS_BIT_ERRORS = frozenset({218, 220, 222, 293})


_UNSOUGHT: Any = object()


def _of_link(gpu: SimulatedGpu, field: int, link: int) -> tuple[int, Getter] | None:
    """Return what one link says, or None for a link that the board does not have."""
    if not 0 <= link < gpu.profile.links.nvlink_count:
        return None
    if field == FIELD_LINK_STATE:
        return UNSIGNED, lambda gpu: int(link not in gpu.links_down)
    if field in FIELDS_BIT_ERRORS:
        return UNSIGNED_LONG_LONG, _no_bit_errors if link else _bit_errors
    return UNSIGNED_LONG_LONG, _nothing if link else LINK_FIELDS[field]


def _nothing(_gpu: SimulatedGpu) -> int:
    return 0


def _no_bit_errors(_gpu: SimulatedGpu) -> int:
    return NO_BIT_ERRORS


def _bit_errors(gpu: SimulatedGpu) -> int:
    return gpu.counters.nvlink_bit_error_rate


def _scoped_power(field: int, scope: int) -> tuple[int, Getter] | None:
    """Power of the memory is told as an average only, that of a module not at all."""
    if scope == SCOPE_MEMORY and field == FIELD_POWER_AVERAGE:
        return UNSIGNED, lambda gpu: round(gpu.physics.memory_power_watts * 1000)
    return None


def _find(gpu: SimulatedGpu, field: int, scope: int) -> tuple[int, Getter] | None:
    if field in gpu.profile.absent_fields:
        return None
    if field in (FIELD_POWER_AVERAGE, FIELD_POWER_INSTANT) and scope in (
        SCOPE_MODULE,
        SCOPE_MEMORY,
    ):
        return _scoped_power(field, scope)
    if field == FIELD_LINK_STATE or field in FIELDS_BIT_ERRORS or field in LINK_FIELDS:
        return _of_link(gpu, field, scope)
    return FIELDS.get(field)


def _found(gpu: SimulatedGpu, field: int, scope: int) -> tuple[int, Getter] | None:
    found = gpu.field_answers.get((field, scope), _UNSOUGHT)
    if found is _UNSOUGHT:
        found = gpu.field_answers[field, scope] = _find(gpu, field, scope)
    kept: tuple[int, Getter] | None = found
    return kept


def _fill(gpu: SimulatedGpu, field: int, scope: int) -> tuple[int, int, int]:
    """Return type, NVML's code and the value, as the union's eight bytes hold it."""
    found = _found(gpu, field, scope)
    if found is None or f"field {field}" in gpu.unsupported:
        return UNSIGNED, NOT_SUPPORTED, 0
    code = gpu.failing.get(f"field {field}", SUCCESS)
    if code:
        return UNSIGNED, code, 0
    kind, getter = found
    value = gpu.garbage.get(f"field {field}")
    if not isinstance(value, int):
        value = getter(gpu)
    return kind, SUCCESS, value & _bits(kind)


def _bits(kind: int) -> int:
    return ALL_BITS if kind == UNSIGNED_LONG_LONG else LOW_BITS


class _Batch:
    """Fields that are asked together of a board that nothing is wrong with."""

    def __init__(self, gpu: SimulatedGpu, asked: tuple[int, ...]) -> None:
        self._steps: list[tuple[int, int, int, int, int, Getter]] = []
        for field, scope in zip(asked[::2], asked[1::2], strict=True):
            found = _found(gpu, field, scope)
            code, (kind, getter) = (
                (NOT_SUPPORTED, (UNSIGNED, _nothing)) if found is None else (SUCCESS, found)
            )
            self._steps.append((field, scope, kind, code, _bits(kind), getter))

    def answers(self, gpu: SimulatedGpu, time_us: int) -> list[int]:
        """Return all entries' numbers, one after the other."""
        written: list[int] = []
        for field, scope, kind, code, bits, getter in self._steps:
            latency_us = 1 + (field * 7 + time_us) % LATENCY_MAX_US
            written += field, scope, time_us, latency_us, kind, code, getter(gpu) & bits
        return written


def _field_values(driver: SimulatedDriver, gpu: SimulatedGpu, count: Any, values: Any) -> int:
    time_us = driver.clock.now_us()
    # As bytes: the binding's own attributes cost more than the driver that is simulated.
    entries = memoryview(target(values)).cast("B")
    questions, answers = _layouts(min(number(count), len(entries) // ENTRY_BYTES))
    asked = questions.unpack_from(entries)
    if gpu.odd:
        answers.pack_into(entries, 0, *_odd_answers(gpu, asked, time_us))
        return SUCCESS
    batch = gpu.field_batches.get(asked)
    if batch is None:
        if len(gpu.field_batches) >= BATCHES_KEPT_MAX:
            gpu.field_batches.clear()
        batch = gpu.field_batches[asked] = _Batch(gpu, asked)
    answers.pack_into(entries, 0, *batch.answers(gpu, time_us))
    return SUCCESS


def _odd_answers(gpu: SimulatedGpu, asked: tuple[int, ...], time_us: int) -> list[int]:
    """A lost board answers with success: every other entry says "lost", the rest are stale."""
    written: list[int] = []
    for position, (field, scope) in enumerate(zip(asked[::2], asked[1::2], strict=True)):
        kind, code, value = _fill(gpu, field, scope)
        if gpu.lost and position % 2 == 0:
            code = GPU_IS_LOST
        latency_us = 1 + (field * 7 + time_us) % LATENCY_MAX_US
        written += field, scope, time_us, latency_us, kind, code, value
    return written


@lru_cache(maxsize=64)
def _layouts(count: int) -> tuple[struct.Struct, struct.Struct]:
    """Return where that many entries hold what is asked, and the whole of them."""
    return struct.Struct("=" + "II32x" * count), struct.Struct("=" + "IIqqIIQ" * count)


CALLS: dict[str, HostCall] = {"nvmlDeviceGetFieldValues": _field_values}
