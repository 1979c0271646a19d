"""The evaluator's books: what it reads before it judges and writes afterwards.

Owns the statements' parameters, nothing else. Whoever calls owns the transaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from alerts.alert import (
    Alert,
    Incident,
    alert_from_row,
    alert_to_row,
    incident_from_row,
    incident_to_row,
    name_place,
)
from alerts.database import Connection
from alerts.mutes import Silence
from alerts.offences import Offence
from sql import queries


@dataclass(frozen=True, slots=True)
class Books:
    """What was on record before a pass."""

    alerts: dict[tuple[str, str], Alert]
    incidents: dict[int, Incident]
    silences: list[Silence]


def read_books(connection: Connection, now: datetime, ended_after: datetime) -> Books:
    """Return everything open, and what ended after `ended_after`."""
    ended = {"ended_after": ended_after}
    alerts = map(alert_from_row, connection.execute(queries("alerts")["read_alerts"], ended))
    incidents = map(
        incident_from_row, connection.execute(queries("alerts")["read_incidents"], ended)
    )
    silences = connection.execute(queries("alerts")["read_silences"], {"now": now})
    return Books(
        # Rows come oldest first, so an open episode wins over the one before it.
        alerts={(alert.rule, alert.key): alert for alert in alerts},
        incidents={incident.incident_id: incident for incident in incidents},
        silences=[Silence(**row) for row in silences],
    )


def new_ids(connection: Connection, what: str, count: int) -> list[int]:
    """Return `count` unused ids: `what` is alert or incident."""
    if not count:
        return []
    rows = connection.execute(queries("alerts")[f"new_{what}_ids"], {"count": count})
    return [row["id"] for row in rows]


def read_labels(connection: Connection, offences: Sequence[Offence]) -> list[dict[str, Any]]:
    """Return the names of each offence's place."""
    if not offences:
        return []
    rows = connection.execute(
        queries("alerts")["read_labels"],
        {
            "facility_ids": [offence.facility_id for offence in offences],
            "host_ids": [offence.host_id for offence in offences],
            "gpu_ids": [offence.gpu_id for offence in offences],
        },
    )
    return [row["labels"] | {"place": name_place(row["labels"])} for row in rows]


def write_alerts(
    connection: Connection,
    written: Iterable[Alert],
    forgotten: Sequence[int],
    transitions: Sequence[dict[str, Any]],
) -> None:
    """Write what changed about alerts."""
    _write(connection, "alerts", "write_alerts", [alert_to_row(alert) for alert in written])
    _write(connection, "alerts", "write_transitions", transitions)
    if forgotten:
        connection.execute(queries("alerts")["delete_alerts"], {"alert_ids": list(forgotten)})


def write_incidents(connection: Connection, incidents: Iterable[Incident]) -> None:
    """Write what changed about incidents."""
    rows = [incident_to_row(incident) for incident in incidents]
    _write(connection, "alerts", "write_incidents", rows)


def write_rules(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write what became of rules."""
    _write(connection, "alerts", "write_rules", rows)


def write_xid_policy(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Replace the database's copy of the Xid policy."""
    _write(connection, "alerts", "write_xid_policy", rows)


def put_messages(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Put notices into the outbox."""
    _write(connection, "alerts_outbox", "put", rows)


def _write(connection: Connection, file: str, query: str, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        parameters = {"rows": msgspec.json.encode(rows).decode()}
        connection.execute(queries(file)[query], parameters)
