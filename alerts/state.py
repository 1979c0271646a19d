"""The life of one alert: pending, firing, acknowledged, resolved.

Owns the machine and nothing else: a verdict and a time go in, the next life comes out. Flapping
is damped: an alert that starts to fire again within the flap window has to look good for that
whole window before it is over. A clock that steps back shortens no wait. Pure.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from alerts.offences import Verdict

FIRINGS_KEPT = 20


class State(StrEnum):
    """Where an alert is in its life."""

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"

    @property
    def active(self) -> bool:
        """Whether something is wrong now."""
        return self in (State.FIRING, State.ACKNOWLEDGED)


@dataclass(frozen=True, slots=True)
class Timing:
    """The waits of one rule, in time.

    Attributes:
        pending: how long an offender is pending before it fires.
        clear: how long it must look good before it is resolved.
        flap_window: how close together two starts are flapping.
    """

    pending: timedelta
    clear: timedelta
    flap_window: timedelta


@dataclass(frozen=True, slots=True)
class Life:
    """What is remembered of an alert.

    Attributes:
        pending_since: first seen bad in this episode, or since it was last resolved.
        fired_at: when it last began to fire.
        calm_since: since when it looks good; None while it does not.
        resolved_at: when it last ended; kept while it is pending again.
        firings: recent starts, oldest first.
    """

    state: State
    pending_since: datetime
    fired_at: datetime | None = None
    calm_since: datetime | None = None
    resolved_at: datetime | None = None
    firings: tuple[datetime, ...] = ()
    flapping: bool = False


def advance(life: Life | None, verdict: Verdict, now: datetime, timing: Timing) -> Life | None:
    """Return the life after a verdict; None where there is nothing to remember."""
    if life is None or life.state is State.RESOLVED:
        if verdict is not Verdict.BAD:
            return life
        life = _begin(life, now, timing)
    if life.state is State.PENDING:
        return _advance_pending(life, verdict, now, timing)
    return _advance_active(life, verdict, now, timing)


def _begin(past: Life | None, now: datetime, timing: Timing) -> Life:
    """A pending life; it goes on from one that ended within the flap window."""
    fresh = Life(State.PENDING, now)
    if past is None or past.resolved_at is None or now - past.resolved_at > timing.flap_window:
        return fresh
    return replace(past, state=State.PENDING, pending_since=now, calm_since=None)


def _advance_pending(life: Life, verdict: Verdict, now: datetime, timing: Timing) -> Life | None:
    if verdict is Verdict.GOOD:
        # One that had fired before stays on record as resolved; else it was nothing.
        return replace(life, state=State.RESOLVED) if life.resolved_at is not None else None
    life = replace(life, pending_since=min(life.pending_since, now))
    if verdict is Verdict.HOLD or now - life.pending_since < timing.pending:
        return life
    recent = [start for start in life.firings if now - start <= timing.flap_window]
    return replace(
        life,
        state=State.FIRING,
        fired_at=now,
        resolved_at=None,
        firings=(*life.firings, now)[-FIRINGS_KEPT:],
        flapping=bool(recent),
    )


def _advance_active(life: Life, verdict: Verdict, now: datetime, timing: Timing) -> Life:
    if verdict is not Verdict.GOOD:
        return life if life.calm_since is None else replace(life, calm_since=None)
    calm_since = min(life.calm_since or now, now)
    needed = max(timing.clear, timing.flap_window) if life.flapping else timing.clear
    if now - calm_since < needed:
        return replace(life, calm_since=calm_since)
    return replace(life, state=State.RESOLVED, calm_since=calm_since, resolved_at=now)
