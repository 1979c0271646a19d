"""Demand on every board of a facility, as arrays: what `simulator.nvml.load` is for one board.

Owns the step from a job's rank in a real cluster's distribution to utilisation, power, memory
and traffic. Which rank a board has, and whether it has a job at all, is `jobs`' business.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.nvml.load import (
    CLUSTER_IDLE_WATTS,
    CLUSTER_LIMIT_WATTS,
    CLUSTER_POWER_WATTS,
    CLUSTER_UTILIZATION_PERCENT,
)

Floats = NDArray[np.float64]

# The lower third and more of the cluster's samples are boards without work: idle power, no kernel.
RANK_OF_WORK = 0.37
WOBBLE = 0.01
# Steps of a training job: everyone computes, then everyone waits for the network.
STEP_S = 17.0
STALL_DEPTH = 0.25

_RANKS = np.linspace(0.0, 1.0, len(CLUSTER_POWER_WATTS))


@dataclass(frozen=True, slots=True)
class Demand:
    """Fractions from 0 to 1, one a board, as in `simulator.nvml.load.Load`."""

    activity: Floats
    intensity: Floats
    memory_activity: Floats
    memory_used: Floats
    link: Floats
    pcie: Floats


def demand_at(ranks: Floats, phases: Floats, now_s: float, random: np.random.Generator) -> Demand:
    """Return the demand of boards whose jobs have these ranks; 0 is a board without a job.

    Args:
        ranks: one a board; the same for all boards of a job.
        phases: one a board, 0 to 1, the same for all boards of a job: where in its step it is.
        now_s: time, for the steps.
        random: for the wobble of each board around its job's rank.
    """
    busy = ranks > 0
    shifted = np.where(busy, ranks + random.normal(0.0, WOBBLE, ranks.shape), 0.0)
    shifted = np.clip(np.abs(shifted), 0.0, 1.0)
    activity = np.interp(shifted, _RANKS, CLUSTER_UTILIZATION_PERCENT) / 100
    watts = np.interp(shifted, _RANKS, CLUSTER_POWER_WATTS)
    intensity = (watts - CLUSTER_IDLE_WATTS) / (CLUSTER_LIMIT_WATTS - CLUSTER_IDLE_WATTS)
    position = np.mod(now_s / STEP_S + phases, 1.0)
    stall = 1.0 - STALL_DEPTH * (position > 0.85)
    activity = np.where(busy, activity * stall, 0.0)
    intensity = np.where(busy, np.maximum(intensity, 0.0) * stall, 0.0)
    working = np.minimum(1.0, intensity)
    return Demand(
        activity=activity,
        intensity=intensity,
        memory_activity=0.55 * working,
        memory_used=np.where(busy, 0.35 + 0.6 * np.minimum(1.0, shifted), 0.0),
        link=0.4 * activity * working,
        pcie=0.05 * activity,
    )
