"""How the state of an accelerator is told."""

from typing import Any

import numpy as np
import pytest

from dashboard.picture import READINGS
from dashboard.states import HEALTHY, State, classify
from telemetry.records import ReaderStatus

WELL = {"utilization_gpu_percent": 90.0, "reader_status_code": 0.0, "remap_pending_flag": 0.0}


def state_of(
    *, seen: bool = True, stale: bool = False, present: bool = True, **values: float
) -> State:
    readings = {name: np.full(1, np.nan, np.float32) for name in READINGS}
    for name, value in {**WELL, **values}.items():
        readings[name][0] = value
    flags = (np.array([flag]) for flag in (seen, stale, present))
    codes = classify(readings, **dict(zip(("seen", "stale", "present"), flags, strict=True)))
    return State(int(codes[0]))


def test_load_tells_busy_from_idle() -> None:
    assert state_of() is State.BUSY
    assert state_of(utilization_gpu_percent=0) is State.IDLE


def test_an_accelerator_that_tells_no_load_is_ok() -> None:
    assert state_of(utilization_gpu_percent=float("nan")) is State.OK


@pytest.mark.parametrize(
    ("reading", "value", "state"),
    [
        ("clock_event_reasons_bitmask", 0x40, State.DEGRADED),
        ("clock_event_reasons_bitmask", 0x80, State.DEGRADED),
        ("clock_event_reasons_bitmask", 0x4, State.BUSY),  # the wanted power cap
        ("temperature_margin_celsius", 0, State.DEGRADED),
        ("temperature_margin_celsius", 12, State.BUSY),
        ("ecc_uncorrected_volatile_count", 1, State.DEGRADED),
        ("remap_pending_flag", 1, State.PREDICTED_FAILURE),
        ("remap_failed_flag", 1, State.FAILED),
        ("recovery_action_code", 1, State.FAILED),
        ("recovery_action_code", 3, State.DEGRADED),
        ("reader_status_code", ReaderStatus.PARTIAL, State.BUSY),
        ("reader_status_code", ReaderStatus.LOST, State.LOST),
        ("reader_status_code", ReaderStatus.TIMEOUT, State.UNKNOWN),
        ("reader_status_code", ReaderStatus.DRIVER_MISMATCH, State.UNKNOWN),
    ],
)
def test_what_a_reading_says_about_the_state(reading: str, value: float, state: State) -> None:
    readings: Any = {reading: value}
    assert state_of(**readings) is state


def test_no_data_is_never_healthy() -> None:
    assert state_of(stale=True) is State.STALE
    assert state_of(seen=False) is State.UNKNOWN
    assert state_of(present=False) is State.ABSENT
    assert state_of(seen=False, stale=True) not in HEALTHY


def test_a_lost_accelerator_on_a_silent_host_is_stale() -> None:
    # Nobody knows whether it came back.
    assert state_of(stale=True, reader_status_code=ReaderStatus.LOST) is State.STALE
