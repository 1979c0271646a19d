"""The Alerts page's figures: incidents over time, and the lives of one incident's alerts.

Owns what a lane is there and how a state of an alert is drawn: pending is hollow, acknowledged is
pale, firing is full.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.charts.conditions import Look
from dashboard.charts.lanes import SEVERITY_LOOKS, Lane, Segment
from dashboard.view import Window

LANES_MAX = 14
STATE_LOOKS = {
    ("pending", severity): Look(f"pending, {severity}", look.colour, "/", 0.55)
    for severity, look in SEVERITY_LOOKS.items()
} | {
    ("acknowledged", severity): Look(f"acknowledged, {severity}", look.colour, "", 0.28)
    for severity, look in SEVERITY_LOOKS.items()
}


def incident_lanes(
    window: Window, incidents: Sequence[Any], places: Mapping[int, str]
) -> list[Lane]:
    """Return a lane an incident, in the order given: open ones reach to the end."""
    lanes = []
    for n, row in enumerate(incidents[:LANES_MAX]):
        is_open = row.state != "resolved" or row.resolved_s is None
        place = places.get(row.facility_id, "")
        segment = Segment(
            row.opened_s,
            window.end_s if is_open else row.resolved_s,
            _look(row.state, row.severity),
            open=is_open,
            text=f"{row.title} · {place}" if place else row.title,
        )
        lanes.append(Lane("\u200b" * n, [segment]))
    return lanes


def alert_lives(
    window: Window, alerts: Sequence[Any], transitions: Sequence[Any], names: Sequence[str]
) -> list[Lane]:
    """Return a lane an alert: each stretch between two transitions in the look of its state."""
    by_alert: dict[int, list[Any]] = {}
    for row in transitions:
        by_alert.setdefault(row.alert_id, []).append(row)
    lanes: list[Lane] = []
    for alert, name in list(zip(alerts, names, strict=True))[:LANES_MAX]:
        steps = by_alert.get(alert.alert_id, [])
        ends = [*(step.time_s for step in steps[1:]), window.end_s]
        segments = [
            Segment(
                step.time_s,
                end_s,
                _look(step.to_state, alert.severity),
                open=end_s == window.end_s,
                text=name if n == 0 else "",
            )
            for n, (step, end_s) in enumerate(zip(steps, ends, strict=True))
            if step.to_state != "resolved"
        ]
        lanes.append(Lane("\u200b" * len(lanes), segments))
    return lanes


def _look(state: str, severity: str) -> Look:
    usual = SEVERITY_LOOKS.get(severity, SEVERITY_LOOKS["info"])
    return STATE_LOOKS.get((state, severity), usual)
