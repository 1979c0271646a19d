"""The message that a receiver gets: version 1, JSON.

Owns its shape; fields are only ever added. It says what, where, since when, how many and what to
do, so that it can be read without opening anything, and it stays far below any receiver's limit.
Pure.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from alerts.alert import Alert, Incident
from alerts.incidents import SEVERITIES, Notice
from alerts.rules import Rule
from alerts.state import State

VERSION = 1
ALERTS_SHOWN = 20

_PLACE_LABELS = (
    "tenant", "facility", "hall", "row", "rack", "tray", "host", "gpu_index", "uuid", "serial",
    "model",
)  # fmt: skip


def build_message(
    incident: Incident, notice: Notice, rule: Rule, members: Sequence[Alert], dashboard_url: str
) -> str:
    """Return the message about an incident.

    Args:
        incident: as it is now.
        notice: why the message is sent.
        rule: for its title, runbook and general action.
        members: its alerts, open and just resolved.
        dashboard_url: where the links lead; without one there are none.
    """
    shown = sorted(members, key=_importance)
    states = [alert.life.state for alert in members]
    message = {
        "version": VERSION,
        "kind": notice.kind,
        "page": notice.page,
        "status": "resolved" if incident.state is State.RESOLVED else "firing",
        "dedup_key": incident.dedup_key,
        "incident_id": incident.incident_id,
        "rule": incident.rule,
        "title": incident.title,
        "severity": incident.severity,
        "summary": incident.summary,
        "flapping": incident.flapping,
        "facility": shown[0].labels.get("facility") if shown else None,
        "started_at": min((alert.started_at for alert in members), default=incident.opened_at),
        "resolved_at": incident.resolved_at,
        "counts": {
            "firing": states.count(State.FIRING),
            "acknowledged": states.count(State.ACKNOWLEDGED),
            "resolved": states.count(State.RESOLVED),
            "inhibited": sum(alert.inhibited_by is not None for alert in members),
            "silenced": sum(alert.silenced_by is not None for alert in members),
        },
        "action": shown[0].action if shown else rule.action,
        "runbook": rule.runbook,
        "link": _link(dashboard_url, incident=incident.incident_id),
        "alerts": [_describe(alert, dashboard_url) for alert in shown[:ALERTS_SHOWN]],
        "alerts_omitted": max(0, len(shown) - ALERTS_SHOWN),
    }
    return msgspec.json.encode(message).decode()


def summarise(title: str, firing: Sequence[Alert], facility: str | None) -> str:
    """Return one sentence for any number of alerts that fire."""
    if len(firing) == 1:
        return firing[0].summary
    where = f" in {facility}" if facility else ""
    first = min(firing, key=_importance)
    return f"{len(firing):,} {title}{where}, first {first.summary}"


def _importance(alert: Alert) -> tuple[bool, bool, int, Any, int]:
    """Firing before resolved, loud before muted, grave before light, old before new."""
    return (
        not alert.life.state.active,
        alert.muted,
        -SEVERITIES.index(alert.severity),
        alert.started_at,
        alert.alert_id,
    )


def _describe(alert: Alert, dashboard_url: str) -> dict[str, Any]:
    place = {name: alert.labels[name] for name in _PLACE_LABELS if alert.labels.get(name)}
    if alert.labels.get("gpu_index") is not None:
        place["gpu_index"] = alert.labels["gpu_index"]
    return {
        "alert_id": alert.alert_id,
        "key": alert.key,
        "state": alert.life.state,
        "severity": alert.severity,
        "summary": alert.summary,
        "action": alert.action,
        "started_at": alert.started_at,
        "resolved_at": alert.life.resolved_at,
        "flapping": alert.life.flapping,
        "muted": alert.muted,
        "place": place,
        "measured": alert.measured,
        "link": _link(dashboard_url, alert=alert.alert_id),
    }


def _link(dashboard_url: str, **what: int) -> str | None:
    return f"{dashboard_url.rstrip('/')}/alerts?{urlencode(what)}" if dashboard_url else None
