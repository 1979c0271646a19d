"""Doing something at even distances of time, and saying so when that fails.

Owns the loop of a simulated facility. What it does at each tick is passed in.
"""

import logging
from collections.abc import Callable

from telemetry.clock import Clock
from telemetry.stop import StopSignal

log = logging.getLogger(__name__)

BEHIND_TICKS_MAX = 5


def run_ticks(
    tick: Callable[[], None], interval_s: float, seconds: float, clock: Clock, stop: StopSignal
) -> int:
    """Call `tick` every `interval_s` until told to stop, and return how many were left out.

    After a long stall the ticks that were missed are not made up for: a facility that was away
    was away. `seconds` of 0 is for ever.
    """
    started = clock.monotonic_s()
    number = missed = 0
    while not stop.is_set():
        due_s = started + number * interval_s
        if seconds and due_s - started >= seconds:
            break
        if stop.wait(due_s - clock.monotonic_s()):
            break
        behind = int((clock.monotonic_s() - due_s) / interval_s)
        if behind > BEHIND_TICKS_MAX:
            log.warning("%d ticks behind: left out; the machine or the broker is slow", behind)
            missed += behind
            number += behind
        tick()
        number += 1
    return missed
