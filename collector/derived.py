"""Rollups that are made of finer ones, once a step is over and again when it changes.

Owns which steps there are and when one is over. Each batch says in its own transaction which steps
it touched; whoever makes a step takes those words in the transaction that makes it. So a row is
either seen by the making, or its word is still there for the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import sql
from collector.database import Connection, translated
from collector.registry import timestamp
from collector.sample_columns import SampleColumns

US_PER_S = 1_000_000
# A step is left alone for so long after its end: most of what belongs to it is here by then.
GRACE_S = 90
BUCKETS_AT_ONCE = 24

_ROLLUPS = sql.queries("collector_rollups")
_DERIVED = sql.queries("collector_derived")


@dataclass(frozen=True, slots=True)
class Step:
    """What is made when a step is over: tables, and spreads by their own steps."""

    step_s: int
    tables: tuple[str, ...]
    spreads_s: tuple[int, ...]


STEPS = (
    Step(300, ("facility_1m",), (60, 300)),
    Step(3600, ("facility_1h", "rack_1h"), (3600,)),
)


def touched(parts: Sequence[SampleColumns]) -> dict[str, list[Any]]:
    """Return which steps of which facilities samples belong to, as parameters of `touch`."""
    rows: set[tuple[int, int, int]] = set()
    for step in STEPS:
        for part in parts:
            starts = part.times_us // (step.step_s * US_PER_S)
            # Both fit into one number: a start has 23 bits.
            keys = np.unique((starts << 32) | part.senders.facility_ids[:, None])
            rows |= {(step.step_s, int(key) >> 32, int(key) & 0xFFFF_FFFF) for key in keys}
    listed = sorted(rows)
    return {
        "steps": [step_s for step_s, _, _ in listed],
        "buckets": [timestamp(start * step_s * US_PER_S) for step_s, start, _ in listed],
        "facility_ids": [facility for _, _, facility in listed],
    }


def make_due(connection: Connection, now_us: int) -> int:
    """Make every step that is over and has changed; return how many facilities' steps that were."""
    made = 0
    for step in STEPS:
        period_us = step.step_s * US_PER_S
        before = timestamp((now_us - GRACE_S * US_PER_S) // period_us * period_us)
        while due := _make(connection, step, {"step_s": step.step_s, "before": before}):
            made += due
        with translated("closing a rollup"):
            connection.execute(_ROLLUPS["close"], {"step_s": step.step_s, "before": before})
    return made


def _make(connection: Connection, step: Step, due: dict[str, Any]) -> int:
    """Make the oldest of the steps that are due, and return how many; 0 once there are none."""
    with translated("making a rollup"), connection.transaction():
        limit = {"buckets_max": BUCKETS_AT_ONCE}
        taken = connection.execute(_ROLLUPS["take_touched"], due | limit).fetchall()
        if not taken:
            return 0
        chosen = {
            "facility_ids": [row[0] for row in taken],
            "buckets": [row[1] for row in taken],
        }
        for table in step.tables:
            connection.execute(_DERIVED[f"clear_{table}"], chosen)
            connection.execute(_DERIVED[f"make_{table}"], chosen)
        for spread_s in step.spreads_s:
            spread = chosen | {"step_s": spread_s, "period_s": step.step_s}
            connection.execute(_DERIVED["clear_spread"], spread)
            connection.execute(_DERIVED["make_spread"], spread)
    return len(taken)
