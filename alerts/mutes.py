"""Mutes: which alerts wake nobody, because another one explains them or a person said so.

Owns matching. An alert explains another when the other's rule names it and it stands over the same
accelerator, host, facility, or, having no place, over everything. A muted alert stays open, shown
and counted. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alerts.alert import Alert
from alerts.rules import Rule

# Who silences this would hide that something is silenced.
NEVER_SILENCED = frozenset({"mass_silence"})


@dataclass(frozen=True, slots=True)
class Silence:
    """What a person asked to be quiet about; None matches everything."""

    silence_id: int
    rule: str | None = None
    facility_id: int | None = None
    host_id: int | None = None
    gpu_id: int | None = None

    def covers(self, alert: Alert) -> bool:
        """Whether the alert matches in every column that is given."""
        wanted = (
            (self.rule, alert.rule),
            (self.facility_id, alert.facility_id),
            (self.host_id, alert.host_id),
            (self.gpu_id, alert.gpu_id),
        )
        return all(mine is None or mine == theirs for mine, theirs in wanted)


class Inhibitors:
    """The active alerts that may explain others, by what they stand over."""

    def __init__(self, alerts: Iterable[Alert], rules: Mapping[str, Rule]) -> None:
        named = {name for rule in rules.values() for name in rule.inhibited_by}
        self._rules = rules
        self._alerts: dict[tuple[str, str, int | None], int] = {
            (alert.rule, *_scope(alert)): alert.alert_id
            for alert in alerts
            if alert.rule in named and alert.life.state.active
        }

    def find(self, alert: Alert) -> int | None:
        """Return the alert that explains this one."""
        rule = self._rules.get(alert.rule)
        if rule is None or not self._alerts:
            return None
        places = (
            ("gpu", alert.gpu_id),
            ("host", alert.host_id),
            ("facility", alert.facility_id),
            ("everything", 0),
        )
        for name in rule.inhibited_by:
            for place in places:
                found = self._alerts.get((name, *place))
                if found is not None and found != alert.alert_id:
                    return found
        return None


def find_silence(alert: Alert, silences: Iterable[Silence]) -> int | None:
    """Return the first silence that covers an alert."""
    if alert.rule in NEVER_SILENCED:
        return None
    return next((silence.silence_id for silence in silences if silence.covers(alert)), None)


def _scope(alert: Alert) -> tuple[str, int]:
    if alert.gpu_id is not None:
        return "gpu", alert.gpu_id
    if alert.host_id is not None:
        return "host", alert.host_id
    if alert.facility_id is not None:
        return "facility", alert.facility_id
    return "everything", 0
