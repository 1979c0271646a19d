"""Incidents, as several pages show them: open ones read once, counted, and told as sentences.

Owns the reading, the markup, and what of a sentence is shown beside its place. The alerts program
owns what an incident is. Its tables may be empty or, before its first migration, absent: then
nothing is claimed.
"""

import re
from collections import Counter
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements
from dashboard.places import Facility
from dashboard.sources import Sources
from dashboard.view import View
from dashboard.wording import number, plural

GOOD_FOR_S = 2.0
SHOWN_MAX = 8
# Hall, row, rack and tray may stand between a facility and a host.
BETWEEN_MAX = 4


async def opened(sources: Sources) -> list[Any] | None:
    """Return open incidents, gravest and newest first; None while no alerts program ever ran.

    Raises:
        RetryableError: the database is away.
    """

    async def ask() -> list[Any] | None:
        [ran] = await sources.queries.rows("incidents", "evaluators")
        rows = await sources.queries.rows("incidents", "open")
        return rows if rows or ran.count else None

    found: list[Any] | None = await sources.history.get("incidents", GOOD_FOR_S, ask)
    return found


def count_by_facility(rows: list[Any] | None) -> dict[int, dict[str, int]]:
    """Count by facility and severity."""
    found: dict[int, dict[str, int]] = {}
    for row in rows or []:
        if row.facility_id is not None:
            counts = found.setdefault(row.facility_id, {})
            counts[row.severity] = counts.get(row.severity, 0) + 1
    return found


def count_by_severity(rows: list[Any]) -> dict[str, int]:
    """Count by severity."""
    return dict(Counter(row.severity for row in rows))


def listing(view: View, rows: list[Any] | None, sources: Sources) -> Component:
    """Return incidents as sentences: what, where, for how long, and who has it."""
    if rows is None and sources.trouble:
        return elements.empty("Incidents are not known now", sources.trouble)
    if rows is None:
        return elements.empty(
            "No alerts program has run yet",
            "Nothing is judged, so nothing here means that all is well. Start it with:",
            "fleetgauge alerts",
        )
    if not rows:
        return elements.well("No open incident.")
    facilities = sources.picture.facility_by_id
    shown = [_sentence(view, row, facilities) for row in rows[:SHOWN_MAX]]
    if len(rows) > SHOWN_MAX:
        words = f"and {plural(len(rows) - SHOWN_MAX, 'more incident')}"
        shown.append(dcc.Link(words, href=view.elsewhere("/alerts"), className="more"))
    return html.Div(shown, className="incidents")


def said(row: Any, facility: Facility | None) -> tuple[str, str]:
    """Return an incident's title, counted, and its sentence, for where its place stands beside it.

    The alerts program writes sentences for a pager, so each says how many there are of what in
    which facility, and the whole way to the host. What is not written so is told as it is.
    """
    title, text = str(row.title), str(row.summary)
    name = "" if facility is None else str(facility.row.facility)
    where = f"(?: in {re.escape(name)})?" if name else ""
    if counted := re.match(rf"([\d,]+) {re.escape(title)}{where}, first ", text):
        title = f"{number(int(counted[1].replace(',', '')))} {title}"
        text = f"first: {text[counted.end() :]}"
    return title, from_host(text, facility)


def from_host(text: str, facility: Facility | None) -> str:
    """Return a sentence whose places begin with the host, not with what the host stands in."""
    if facility is None:
        return text
    name = re.escape(str(facility.row.facility))
    between = rf"(?:[^/:;,]{{1,60}}? / ){{0,{BETWEEN_MAX}}}"
    return re.sub(rf"(?<![^\s]){name} / {between}", "", text)


def of_place(row: Any, facility: Facility | None) -> str:
    """Return what an alert says of its place, which stands beside it."""
    told = from_host(str(row.summary), facility)
    gpu = "" if row.index is None else f" GPU {row.index}"
    place = f"{row.host}{gpu}" if row.host else ""
    rest = told.removeprefix(place).lstrip(": ")
    # A name may go on where the place ends: `host-1` in `host-12 is silent`.
    return rest if place and told.startswith((f"{place} ", f"{place}:")) and rest else told


def what(view: View, row: Any, facility: Facility | None) -> Component:
    """Return an incident's title, which leads to it, above its place and its sentence."""
    title, text = said(row, facility)
    href = view.elsewhere("/alerts", incident=str(row.incident_id))
    where: Any = "whole fleet"
    if facility is not None:
        at = view.elsewhere("/facility", facility=facility.slug)
        where = dcc.Link(facility.title, href=at)
    return html.Div(
        [
            html.B(dcc.Link(title, href=href)),
            html.Small([where, " · ", text], title=row.summary),
        ],
        className="what",
    )


def _sentence(view: View, row: Any, facilities: dict[int, Facility]) -> Component:
    return html.Div(
        [
            html.I(className=f"mark {row.severity}", title=row.severity),
            what(view, row, facilities.get(row.facility_id)),
            html.Div([elements.since(row.opened_s)], className="when"),
            html.Div(
                [
                    html.Span(row.state, className=f"incident-{row.state}"),
                    html.Small(_extent(row)),
                ],
                className="who",
            ),
        ],
        className="incident",
    )


def _extent(row: Any) -> str:
    parts = [plural(row.firing_count, "alert")]
    if row.muted_count:
        parts.append(f"{row.muted_count} muted")
    if row.flapping:
        parts.append("flapping")
    return " · ".join(parts)
