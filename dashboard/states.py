"""The states of an accelerator: how they are told from the newest readings.

Owns the codes that go to the browser, their words, and the rules. Pure: arrays in, codes out.
No data is never `ok`: what was not read is stale, lost, absent or unknown.
"""

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from telemetry.records import ReaderStatus

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]

# Below this share of time with a kernel running, an accelerator is called idle.
BUSY_PERCENT_MIN = 5
# NVML's clock event reasons that mean heat or the building, not a wanted limit: hardware slowdown,
# software thermal, hardware thermal, power brake. https://docs.nvidia.com/deploy/nvml-api
THROTTLE_BITS = 0x8 | 0x20 | 0x40 | 0x80
# Recovery actions after which the accelerator does no more work until somebody acts.
RESET_ACTIONS = (1, 2, 4, 6, 7)


class State(IntEnum):
    """What an accelerator is doing, or why nobody knows. `ok` is told apart by its load."""

    BUSY = 0
    IDLE = 1
    OK = 2
    DEGRADED = 3
    PREDICTED_FAILURE = 4
    FAILED = 5
    LOST = 6
    STALE = 7
    UNKNOWN = 8
    ABSENT = 9
    MAINTENANCE = 10


LABELS = {
    State.BUSY: "busy",
    State.IDLE: "idle",
    State.OK: "ok, load unknown",
    State.DEGRADED: "degraded",
    State.PREDICTED_FAILURE: "failure predicted",
    State.FAILED: "failed",
    State.LOST: "lost",
    State.STALE: "stale",
    State.UNKNOWN: "unknown",
    State.ABSENT: "absent",
    State.MAINTENANCE: "maintenance",
}
SENTENCES = {
    State.BUSY: f"a kernel ran in {BUSY_PERCENT_MIN} % of the last period or more",
    State.IDLE: "healthy and not used",
    State.OK: "healthy; the driver does not tell its load",
    State.DEGRADED: "slowed by heat or power, or had a memory error",
    State.PREDICTED_FAILURE: "a memory row waits to be remapped: reset it soon",
    State.FAILED: "the driver asks for a reset, or row remapping failed",
    State.LOST: "the host answers, this accelerator does not",
    State.STALE: "no reading for more than three intervals",
    State.UNKNOWN: "known, but never read, or the driver does not answer",
    State.ABSENT: "contracted or listed before, not there now",
    State.MAINTENANCE: "taken out on purpose",
}
HEALTHY = (State.BUSY, State.IDLE, State.OK)
TROUBLED = (State.DEGRADED, State.PREDICTED_FAILURE, State.FAILED, State.LOST)
# States without a value of now; a map that is coloured by a signal shows them instead of one.
SIGHTLESS = (State.LOST, State.STALE, State.UNKNOWN, State.ABSENT)


def classify(
    readings: Mapping[str, Floats],
    *,
    seen: NDArray[np.bool_],
    stale: NDArray[np.bool_],
    present: NDArray[np.bool_],
) -> Codes:
    """Give each accelerator its state.

    Args:
        readings: newest value by catalogue name, NaN where missing.
        seen: whether it was ever read.
        stale: whether its newest reading is too old.
        present: whether the newest inventory lists it.
    """
    load = readings["utilization_gpu_percent"]
    status = readings["reader_status_code"]
    action = readings["recovery_action_code"]
    # Few accelerators meet any of the rules, so that places are cheaper than masks.
    at = np.flatnonzero
    with np.errstate(invalid="ignore"):
        codes = _by_load(load)
        acting = at(action > 0)
        # Later lines win.
        rules = (
            (_slowed(readings["clock_event_reasons_bitmask"]), State.DEGRADED),
            (at(readings["temperature_margin_celsius"] <= 0), State.DEGRADED),
            (at(readings["ecc_uncorrected_volatile_count"] > 0), State.DEGRADED),
            (acting, State.DEGRADED),
            (at(readings["remap_pending_flag"] > 0), State.PREDICTED_FAILURE),
            (acting[np.isin(action[acting], RESET_ACTIONS)], State.FAILED),
            (at(readings["remap_failed_flag"] > 0), State.FAILED),
            (at(status >= ReaderStatus.TIMEOUT), State.UNKNOWN),
            (at(status == ReaderStatus.LOST), State.LOST),
            (at(stale), State.STALE),
            (at(~seen), State.UNKNOWN),
            (at(~present), State.ABSENT),
        )
    for places, state in rules:
        codes[places] = state
    return codes


def count(codes: Codes) -> dict[State, int]:
    """Return how many accelerators are in each state; all states are in it."""
    # One pass a state costs half of what np.bincount does, which widens every code first.
    return {state: int(np.count_nonzero(codes == state)) for state in State}


def _by_load(load: Floats) -> Codes:
    """Return `OK` where there is no load, `IDLE` and `BUSY` by where there is: counted down to."""
    codes = np.full(len(load), State.OK, np.uint8)
    busy = (load >= BUSY_PERCENT_MIN).view(np.uint8)
    codes -= (load < BUSY_PERCENT_MIN).view(np.uint8)
    codes -= busy
    codes -= busy
    return codes


def _slowed(reasons: Floats) -> NDArray[np.int64]:
    told = np.flatnonzero(reasons > 0)
    return told[(reasons[told].astype(np.int64) & THROTTLE_BITS) > 0]
