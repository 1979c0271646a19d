"""The way of a sample from host to screen: a station each, with the figure that tells its flow.

A part of the Pipeline page; see `pipeline.py`.
"""

from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboard import elements
from dashboard.sources import Sources
from dashboard.wording import DASH, brief, number, octets, plural, roughly, with_unit

COLLECTOR_SILENT_S = 30.0
LAG_HIGH = 5000

Rows = dict[str, list[Any]]


def stations(rows: Rows, sources: Sources) -> list[Component]:
    """The way of a sample, each station with the one figure that says whether it flows."""
    agents = rows["agents"]
    known = sum(row.known for row in agents)
    heard = sum(row.heard for row in agents)
    spooled = sum(row.spool_messages or 0 for row in agents)
    oldest = [row.spool_oldest_s for row in agents if row.spool_oldest_s is not None]
    behind = sum(row.behind or 0 for row in rows["streams"])
    left_behind = sum(row.left_behind for row in rows["streams"])
    alive = [c for c in rows["collectors"] if is_alive(c, sources.now_s)]
    waiting = [c for c in rows["collectors"] if c.waiting_for]
    rate = sum(c.rows_per_second for c in alive)
    commit = max((c.commit_seconds for c in alive), default=None)
    [database] = rows["database"]
    newest = [s for s in sources.picture.time_s.tolist() if s == s]  # noqa: PLR0124 - not NaN
    return [
        _station(
            "Agents",
            [number(heard), html.Small(f" of {number(known)} heard")],
            "no agent has reported yet"
            if not known
            else "all heard within a minute"
            if heard == known
            else f"{number(known - heard)} silent",
            "" if heard == known else "warn",
        ),
        _station(
            "Spools",
            elements.counted(spooled, "messages"),
            ["oldest ", elements.since(min(oldest))] if oldest else "nothing waits on hosts",
            "warn" if oldest and sources.now_s - min(oldest) > 60 else "",
        ),
        _station(
            "Broker",
            [brief(behind), html.Small(" behind")],
            catching_up(left_behind, sum(c.backlog_per_second for c in alive))
            if left_behind
            else plural(len(rows["streams"]), "topic"),
            "warn" if behind > LAG_HIGH or left_behind else "",
        ),
        _station(
            "Collectors",
            [brief(rate), html.Small(" rows/s")],
            f"waits for {waiting[0].waiting_for}" if waiting else f"{len(alive)} at work",
            "bad" if not alive else "warn" if waiting else "",
        ),
        _station(
            f"Database · {_tier(database)}",
            octets(database.bytes),
            f"commit {duration_ms(commit)}",
            "warn" if database.connections > 0.9 * database.connections_max else "",
        ),
        _station(
            "This page",
            elements.age(max(newest), 30) if newest else DASH,
            f"newest sample · {plural(sources.counters['viewers'], 'viewer')}",
        ),
    ]


def _station(name: str, value: Any, note: Any, tone: str = "") -> Component:
    return elements.tile(name, value, note, f"station {tone}")


def catching_up(messages: float, per_second: float) -> str:
    """Say how many older messages wait beside live ones, and for how long they still will.

    After an outage live messages are stored first (`docs/decisions/0009-two-lanes.md`).
    """
    text = f"{brief(messages)} older {'waits' if messages == 1 else 'wait'}"
    return f"{text}, {roughly(messages / per_second)} left" if per_second > 0 else text


def duration_ms(seconds: float | None) -> str:
    """Return a short time in milliseconds."""
    return DASH if seconds is None else with_unit(seconds * 1000, "ms")


def _tier(database: Any) -> str:
    if database.timescale:
        return f"TimescaleDB {database.timescale}"
    return f"PostgreSQL {database.version.split()[0]}"


def is_alive(collector: Any, now_s: float) -> bool:
    """Return whether a collector has reported lately."""
    return bool(now_s - collector.reported_s < COLLECTOR_SILENT_S)
