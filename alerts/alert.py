"""The records of alerts and incidents, as the evaluator holds them and the tables store them.

Owns the mapping between records and rows, and the names of a place. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from alerts.incidents import Told
from alerts.settings import Severity
from alerts.state import Life, State


@dataclass(frozen=True, slots=True)
class Alert:
    """One subject of one rule, over one episode. Fields as in table `alerts`."""

    alert_id: int
    rule: str
    key: str
    incident_id: int | None
    facility_id: int | None
    host_id: int | None
    gpu_id: int | None
    labels: dict[str, Any]
    severity: Severity
    summary: str
    action: str
    measured: dict[str, Any]
    started_at: datetime
    updated_at: datetime
    life: Life
    inhibited_by: int | None = None
    silenced_by: int | None = None
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None

    @property
    def muted(self) -> bool:
        """Whether it wakes nobody although it fires."""
        return self.inhibited_by is not None or self.silenced_by is not None


@dataclass(frozen=True, slots=True)
class Incident:
    """Alerts of one rule and group that are open together. Fields as in table `incidents`."""

    incident_id: int
    rule: str
    group_key: str
    facility_id: int | None
    title: str
    severity: Severity
    state: State
    summary: str
    opened_at: datetime
    updated_at: datetime
    firing_count: int = 0
    alerts_count: int = 0
    muted_count: int = 0
    flapping: bool = False
    resolved_at: datetime | None = None
    notices: int = 0
    told: Told = field(default_factory=Told)

    @property
    def dedup_key(self) -> str:
        """What receivers recognise the conversation by; it stays the same until the end."""
        return f"fleetgauge/{self.rule}/{self.incident_id}"


_LIFE = tuple(each.name for each in fields(Life))
_TOLD = tuple(each.name for each in fields(Told))
_ALERT = tuple(each.name for each in fields(Alert) if each.name != "life")
_INCIDENT = tuple(each.name for each in fields(Incident) if each.name != "told")


def alert_from_row(row: Mapping[str, Any]) -> Alert:
    """Make the record of a row of `alerts`."""
    life = Life(**{
        **{name: row[name] for name in _LIFE},
        "state": State(row["state"]),
        "firings": tuple(row["firings"]),
    })  # fmt: skip
    return Alert(**{name: row[name] for name in _ALERT}, life=life)


def alert_to_row(alert: Alert) -> dict[str, Any]:
    """Make the row of a record, with its life beside it."""
    row = {name: getattr(alert, name) for name in _ALERT}
    return row | {name: getattr(alert.life, name) for name in _LIFE}


def incident_from_row(row: Mapping[str, Any]) -> Incident:
    """Make the record of a row of `incidents`."""
    told = Told(**{name: row[_told_column(name)] for name in _TOLD})
    incident = Incident(**{name: row[name] for name in _INCIDENT}, told=told)
    return replace(incident, state=State(row["state"]))


def incident_to_row(incident: Incident) -> dict[str, Any]:
    """Make the row of a record, with what was told beside it."""
    row = {name: getattr(incident, name) for name in _INCIDENT}
    return row | {_told_column(name): getattr(incident.told, name) for name in _TOLD}


def name_place(labels: Mapping[str, Any]) -> str:
    """Return a place in words, from the largest part to the smallest; empty parts are left out."""
    parts = [labels.get(name) for name in ("facility", "hall", "row", "rack", "tray", "host")]
    place = " / ".join(str(part) for part in parts if part)
    if labels.get("gpu_index") is not None:
        place += f" GPU {labels['gpu_index']}"
    return place or "the pipeline"


def _told_column(name: str) -> str:
    return name if name == "paged_at" else f"told_{name}"
