"""Conditions of an accelerator over time: their words, their textures, and how they are told.

Owns how readings of a step, and state intervals that the collector stored, become one condition a
step. What is alike in hue is told apart by texture. Pure: arrays in, arrays out.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.charts.series import Series
from dashboard.states import BUSY_PERCENT_MIN
from dashboard.view import Window
from telemetry.records import ReaderStatus

# NVML's clock event reasons. https://docs.nvidia.com/deploy/nvml-api
POWER_CAP_BIT = 0x4
HARDWARE_BIT = 0x8
HEAT_BITS = 0x20 | 0x40
BRAKE_BIT = 0x80
REASONS = {
    0x1: "idle",
    0x2: "application clocks",
    POWER_CAP_BIT: "power cap",
    HARDWARE_BIT: "hardware slowdown",
    0x10: "sync boost",
    0x20: "heat, by software",
    0x40: "heat, by hardware",
    BRAKE_BIT: "power brake",
    0x100: "display clocks",
}


class Condition(IntEnum):
    """What an accelerator went through in a step; where several hold, the highest."""

    IDLE = 0
    BUSY = 1
    POWER_CAP = 2
    PARTIAL = 3
    DEGRADED = 4
    PREDICTED = 5
    HARDWARE = 6
    BRAKE = 7
    HEAT = 8
    FAILED = 9
    NO_DATA = 10
    SILENT = 11
    MISMATCH = 12
    LOST = 13


@dataclass(frozen=True, slots=True)
class Look:
    """How a condition is called and drawn: a colour of the style sheet and a texture.

    Attributes:
        edged: whether neighbours are kept apart by a line, since they look alike.
    """

    label: str
    colour: str
    pattern: str = ""
    opacity: float = 1.0
    edged: bool = False


LOOKS = {
    Condition.IDLE: Look("idle", "cell-idle"),
    Condition.BUSY: Look("busy", "cell-busy"),
    Condition.POWER_CAP: Look("busy, at the power cap", "load"),
    Condition.PARTIAL: Look("read in part", "cell-predicted", "."),
    Condition.DEGRADED: Look("degraded", "cell-degraded", "-"),
    Condition.PREDICTED: Look("failure predicted", "cell-predicted", "/"),
    Condition.HARDWARE: Look("slowed by hardware", "cell-degraded", "+"),
    Condition.BRAKE: Look("power brake", "cell-degraded", "|"),
    Condition.HEAT: Look("slowed by heat", "cell-degraded"),
    Condition.FAILED: Look("failed", "cell-failed"),
    Condition.NO_DATA: Look("no data", "cell-stale", "/", 0.55),
    Condition.SILENT: Look("driver does not answer", "cell-unknown", "x"),
    Condition.MISMATCH: Look("driver and library differ", "cell-unknown", "."),
    Condition.LOST: Look("lost", "cell-lost", "x"),
}
# What the collector calls a state interval.
TOLD = {
    ("reader", "partial"): Condition.PARTIAL,
    ("reader", "lost"): Condition.LOST,
    ("reader", "timeout"): Condition.SILENT,
    ("reader", "driver_mismatch"): Condition.MISMATCH,
    ("slowdown", "hardware"): Condition.HARDWARE,
    ("slowdown", "power_brake"): Condition.BRAKE,
    ("slowdown", "heat"): Condition.HEAT,
    ("health", "degraded"): Condition.DEGRADED,
    ("health", "predicted_failure"): Condition.PREDICTED,
    ("health", "failed"): Condition.FAILED,
}


@dataclass(frozen=True, slots=True)
class Interval:
    """State intervals of one accelerator and condition that began in the same step.

    Attributes:
        end_s: of the last of them; infinite while it is open.
        times: how many they are.
        lasted_s: how long they were in all, within what was asked for.
    """

    gpu_id: int
    condition: Condition
    start_s: float
    end_s: float
    times: int
    lasted_s: float


def intervals(rows: Iterable[Any]) -> list[Interval]:
    """Return what rows of the query `states` tell; a word that is newer than this is left out."""
    return [
        Interval(
            row.gpu_id,
            TOLD[row.subject, row.state],
            row.started_s,
            math.inf if row.is_open else row.ended_s,
            row.times,
            row.lasted_s,
        )
        for row in rows
        if (row.subject, row.state) in TOLD
    ]


def with_intervals(
    codes: NDArray[np.int64], told: Sequence[Interval], window: Window
) -> NDArray[np.int64]:
    """Return the conditions of steps with stored intervals put in, however short they were.

    An interval says nothing of a step in which nobody was heard: it is the last word from before.
    """
    found = codes.copy()
    known = codes != Condition.NO_DATA
    for interval in told:
        left = max(0, int((interval.start_s - window.start_s) // window.step_s))
        end_s = min(interval.end_s, window.end_s + window.step_s)
        right = max(left + 1, math.ceil((end_s - window.start_s) / window.step_s))
        part = found[left:right]
        np.maximum(part, interval.condition, out=part, where=known[left:right])
    return found


def heard(status: Series, load: Series) -> NDArray[np.bool_]:
    """Return in which steps anything was read."""
    return ~(np.isnan(status) & np.isnan(load))


def conditions(
    status: Series, reasons: Series, load: Series, headroom: Series
) -> NDArray[np.int64]:
    """Return the condition of each step; a step without any reading is `NO_DATA`."""
    bits = np.nan_to_num(reasons).astype(np.int64)
    with np.errstate(invalid="ignore"):
        busy = load >= BUSY_PERCENT_MIN
        # Later lines win.
        rules = (
            (busy, Condition.BUSY),
            (busy & ((bits & POWER_CAP_BIT) > 0), Condition.POWER_CAP),
            (status == ReaderStatus.PARTIAL, Condition.PARTIAL),
            ((bits & HARDWARE_BIT) > 0, Condition.HARDWARE),
            ((bits & BRAKE_BIT) > 0, Condition.BRAKE),
            (((bits & HEAT_BITS) > 0) | (headroom <= 0), Condition.HEAT),
            (status == ReaderStatus.TIMEOUT, Condition.SILENT),
            (status == ReaderStatus.DRIVER_MISMATCH, Condition.MISMATCH),
            (status == ReaderStatus.LOST, Condition.LOST),
            (~heard(status, load), Condition.NO_DATA),
        )
    codes = np.full(len(status), Condition.IDLE, np.int64)
    for condition, code in rules:
        codes[condition] = code
    return codes


def reason_words(bits: float | None) -> str:
    """Name the clock event reasons in a mask, the unknown ones by their number."""
    if bits is None or np.isnan(bits):
        return ""
    mask = int(bits)
    words = [word for bit, word in REASONS.items() if mask & bit and bit != 0x1]
    rest = mask & ~sum(REASONS)
    return ", ".join([*words, *([f"0x{rest:x}"] if rest else [])])
