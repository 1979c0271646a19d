"""Incidents: when people are told, and whether it should wake them.

Owns the decision for one group of alerts, usually those of a rule in a facility. However many
alerts there are, one group has one conversation: it opens, it is updated now and then, it rings
again at most every page interval, it ends. Pure: what was told before and what is so now go in, a
notice or none comes out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from alerts.settings import Severity

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")

# A group that grew so much since the last notice is news at once, but not every second.
GROWTH_FACTOR = 10
GROWTH_PAUSE = timedelta(seconds=10)


class Kind(StrEnum):
    """What a notice is about."""

    OPENED = "opened"
    UPDATED = "updated"
    REMINDER = "reminder"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often one group may speak."""

    wait: timedelta
    page: timedelta
    update: timedelta
    reminder: timedelta


@dataclass(frozen=True, slots=True)
class Now:
    """What is so now.

    Attributes:
        firing: alerts that fire and are neither inhibited nor silenced.
        muted: alerts that fire and are.
        unacknowledged: how many of `firing` nobody has acknowledged.
        severity: the worst of `firing`, or of `muted` where there is none.
        newest_firing: when the newest of `firing` began.
        calm: whether all of `firing` are flapping: nothing new under the sun.
    """

    firing: int
    muted: int
    unacknowledged: int
    severity: Severity
    newest_firing: datetime | None
    calm: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What was said so far.

    Attributes:
        at: when something was last said.
        count: how many alerts the last notice spoke of, and `peak` the most since it opened.
        severity: the worst since it opened.
        fired_at: the newest firing that a page has covered.
        resolved: whether the last word was that it is over.
        paged_at: when it last rang.
    """

    at: datetime | None = None
    count: int = 0
    peak: int = 0
    severity: Severity | None = None
    fired_at: datetime | None = None
    resolved: bool = False
    paged_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to say; `page` asks to wake somebody."""

    kind: Kind
    page: bool


def decide(
    opened_at: datetime, now_is: Now, told: Told, now: datetime, pace: Pace
) -> tuple[Notice | None, Told]:
    """Return what to say now, if anything, and what will have been told then."""
    silent = told.at is None or told.resolved
    if now_is.firing == 0:
        if silent or now_is.muted:
            # Nothing was said, or what was said is still so, under somebody's mute.
            return None, told
        return Notice(Kind.RESOLVED, page=False), replace(told, at=now, count=0, resolved=True)
    if silent:
        notice = _opening(opened_at, now_is, told, now, pace)
        told = replace(told, peak=0, severity=None) if notice else told
    else:
        notice = _news(now_is, told, now, pace)
    if notice is None:
        return None, told
    return notice, Told(
        at=now,
        count=now_is.firing,
        peak=max(told.peak, now_is.firing),
        severity=worst([now_is.severity, told.severity or "info"]),
        fired_at=now_is.newest_firing if notice.page else told.fired_at,
        resolved=False,
        paged_at=now if notice.page else told.paged_at,
    )


def _opening(
    opened_at: datetime, now_is: Now, told: Told, now: datetime, pace: Pace
) -> Notice | None:
    """The first word of an incident, or of one that came back."""
    if now - opened_at < pace.wait:
        return None
    rested = told.paged_at is None or now - told.paged_at >= pace.page
    return Notice(Kind.OPENED, page=rested or not now_is.calm)


def _news(now_is: Now, told: Told, now: datetime, pace: Pace) -> Notice | None:
    """A further word on an open incident."""
    said_at = told.at or now
    rested = told.paged_at is None or now - told.paged_at >= pace.page
    # Both compare with the worst so far, so what goes up and down rings once.
    worse = SEVERITIES.index(now_is.severity) > SEVERITIES.index(told.severity or "info")
    grown = now_is.firing >= GROWTH_FACTOR * max(1, told.peak) and now - said_at >= GROWTH_PAUSE
    newer = now_is.newest_firing is not None and (
        told.fired_at is None or now_is.newest_firing > told.fired_at
    )
    if worse or grown:
        return Notice(Kind.UPDATED, page=worse or not now_is.calm)
    if newer and rested and now_is.unacknowledged:
        return Notice(Kind.UPDATED, page=True)
    if now_is.firing != told.count and now - said_at >= pace.update:
        return Notice(Kind.UPDATED, page=False)
    waited = told.paged_at is None or now - told.paged_at >= pace.reminder
    if now_is.unacknowledged and waited and now - said_at >= pace.reminder:
        return Notice(Kind.REMINDER, page=True)
    return None


def worst(severities: Sequence[Severity]) -> Severity:
    """Return the gravest of one or more severities."""
    return max(severities, key=SEVERITIES.index)
