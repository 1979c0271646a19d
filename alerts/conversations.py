"""Conversations: which incident an alert belongs to, and what its people are told.

Owns opening, joining and closing incidents, and the messages for receivers. When to speak is
decided in `alerts.incidents`, what to say in `alerts.message`. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from alerts.alert import Alert, Incident
from alerts.incidents import SEVERITIES, Notice, Now, Pace, decide, worst
from alerts.judge import AlertKey
from alerts.message import build_message, summarise
from alerts.rules import Rule
from alerts.settings import AlertSettings, Receiver
from alerts.state import State

GroupKey = tuple[str, str]


@dataclass(slots=True)
class Talk:
    """What came of all conversations in a pass.

    Attributes:
        changed: incidents to be written.
        messages: rows for the outbox.
        wake_at: when an incident will have waited long enough to be told.
    """

    changed: list[Incident] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    wake_at: datetime | None = None


def needed_groups(
    alerts: Mapping[AlertKey, Alert],
    incidents: Mapping[int, Incident],
    group_keys: Mapping[AlertKey, str],
) -> dict[AlertKey, GroupKey]:
    """Return the group of each active alert that is in no open incident."""
    open_ids = {each.incident_id for each in incidents.values() if each.state is not State.RESOLVED}
    return {
        key: (alert.rule, group_keys[key])
        for key, alert in alerts.items()
        if alert.life.state.active and alert.incident_id not in open_ids and key in group_keys
    }


def assign(
    needed: Mapping[AlertKey, GroupKey],
    alerts: dict[AlertKey, Alert],
    incidents: dict[int, Incident],
    fresh_ids: Sequence[int],
    rules: Mapping[str, Rule],
    now: datetime,
) -> set[int]:
    """Put alerts into their group's open incident, the one they were in, or a new one.

    Returns ids of incidents that alerts joined; `alerts` and `incidents` are changed in place.
    """
    ids = iter(fresh_ids)
    open_by_group = {
        (each.rule, each.group_key): each.incident_id
        for each in incidents.values()
        if each.state is not State.RESOLVED
    }
    joined = set()
    for key, group in needed.items():
        alert = alerts[key]
        incident_id = open_by_group.get(group)
        if incident_id is None and alert.incident_id in incidents:
            incident_id = alert.incident_id
        if incident_id is None:
            incident_id = next(ids)
            incidents[incident_id] = _open(incident_id, group, alert, rules, now)
        open_by_group[group] = incident_id
        incident = incidents[incident_id]
        incidents[incident_id] = replace(
            incident,
            state=State.FIRING,
            resolved_at=None,
            alerts_count=incident.alerts_count + (alert.incident_id != incident_id),
        )
        alerts[key] = replace(alert, incident_id=incident_id)
        joined.add(incident_id)
    return joined


def converse(
    alerts: Iterable[Alert],
    incidents: Mapping[int, Incident],
    joined: set[int],
    rules: Mapping[str, Rule],
    settings: AlertSettings,
    now: datetime,
) -> Talk:
    """Decide for every open incident what is said now."""
    members: dict[int, list[Alert]] = defaultdict(list)
    for alert in alerts:
        if alert.incident_id is not None:
            members[alert.incident_id].append(alert)
    talk = Talk()
    for incident in incidents.values():
        if incident.state is State.RESOLVED and incident.incident_id not in joined:
            continue
        rule = rules.get(incident.rule)
        mine = members[incident.incident_id]
        after, notice = _advance(incident, mine, rule, settings, now)
        if notice is not None and rule is not None:
            talk.messages += _address(after, notice, rule, mine, settings, now)
        if after.told.at is None and after.state is not State.RESOLVED and rule is not None:
            due = after.opened_at + timedelta(seconds=rule.wait_s)
            # One that is past due and still untold is muted: nothing to wake for.
            if due > now:
                talk.wake_at = due if talk.wake_at is None else min(talk.wake_at, due)
        if after != incident or incident.incident_id in joined:
            talk.changed.append(replace(after, updated_at=now))
    return talk


def _open(
    incident_id: int, group: GroupKey, alert: Alert, rules: Mapping[str, Rule], now: datetime
) -> Incident:
    rule = rules[group[0]]
    return Incident(
        incident_id=incident_id,
        rule=rule.name,
        group_key=group[1],
        # The place of a group is what its alerts have in common.
        facility_id=alert.facility_id if "facility_id" in rule.group_by else None,
        title=rule.title,
        severity=alert.severity,
        state=State.FIRING,
        summary=alert.summary,
        opened_at=now,
        updated_at=now,
    )


def _advance(
    incident: Incident,
    members: Sequence[Alert],
    rule: Rule | None,
    settings: AlertSettings,
    now: datetime,
) -> tuple[Incident, Notice | None]:
    active = [alert for alert in members if alert.life.state.active]
    loud = [alert for alert in active if not alert.muted]
    speaking = loud or active
    if speaking:
        facility = speaking[0].labels.get("facility")
        waiting = any(alert.life.state is State.FIRING for alert in active)
        incident = replace(
            incident,
            severity=worst([alert.severity for alert in speaking]),
            state=State.FIRING if waiting else State.ACKNOWLEDGED,
            summary=summarise(incident.title, speaking, facility),
            flapping=any(alert.life.flapping for alert in active),
        )
    else:
        incident = replace(incident, state=State.RESOLVED, resolved_at=now)
    pace = Pace(
        wait=timedelta(seconds=rule.wait_s if rule else 0),
        page=timedelta(seconds=settings.page_interval_s),
        update=timedelta(seconds=settings.update_interval_s),
        reminder=timedelta(seconds=settings.reminder_interval_s),
    )
    now_is = _look(incident, active, loud)
    notice, told = decide(incident.opened_at, now_is, incident.told, now, pace)
    return replace(
        incident,
        firing_count=len(active),
        muted_count=len(active) - len(loud),
        told=told,
        notices=incident.notices + (notice is not None),
    ), notice


def _look(incident: Incident, active: Sequence[Alert], loud: Sequence[Alert]) -> Now:
    firings = [alert.life.fired_at for alert in loud if alert.life.fired_at is not None]
    return Now(
        firing=len(loud),
        muted=len(active) - len(loud),
        unacknowledged=sum(alert.life.state is State.FIRING for alert in loud),
        severity=incident.severity,
        newest_firing=max(firings, default=None),
        calm=bool(loud) and all(alert.life.flapping for alert in loud),
    )


def _address(
    incident: Incident,
    notice: Notice,
    rule: Rule,
    members: Sequence[Alert],
    settings: AlertSettings,
    now: datetime,
) -> list[dict[str, Any]]:
    """Return one outbox row for each receiver that wants to know."""
    body = build_message(incident, notice, rule, members, settings.dashboard_url)
    return [
        {
            "receiver": name,
            "incident_id": incident.incident_id,
            "dedup_key": incident.dedup_key,
            "body": body,
            "created_at": now,
        }
        for name, receiver in settings.all_receivers().items()
        if _wants(receiver, incident, notice)
    ]


def _wants(receiver: Receiver, incident: Incident, notice: Notice) -> bool:
    """Whoever heard of the beginning also hears of the end: the worst so far decides."""
    severity = incident.told.severity or incident.severity
    if SEVERITIES.index(severity) < SEVERITIES.index(receiver.severity_min):
        return False
    ended = incident.state is State.RESOLVED and incident.told.paged_at is not None
    return notice.page or ended or not receiver.pages_only
