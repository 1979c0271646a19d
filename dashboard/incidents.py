"""Open incidents, as several pages show them: read once, counted, and told as sentences.

Owns the reading and the markup. The alerts program owns what an incident is. Its tables may be
empty or, before its first migration, absent: then nothing is claimed.
"""

from collections import Counter
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements
from dashboard.sources import Sources
from dashboard.view import View
from dashboard.wording import plural

GOOD_FOR_S = 2.0
SHOWN_MAX = 8


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
    names = {f.facility_id: (f.title, f.slug) for f in sources.picture.facilities}
    shown = [_sentence(view, row, names) for row in rows[:SHOWN_MAX]]
    if len(rows) > SHOWN_MAX:
        words = f"and {plural(len(rows) - SHOWN_MAX, 'more incident')}"
        shown.append(dcc.Link(words, href=view.elsewhere("/alerts"), className="more"))
    return html.Div(shown, className="incidents")


def _sentence(view: View, row: Any, names: dict[int, tuple[str, str]]) -> Component:
    title, slug = names.get(row.facility_id, ("whole fleet", ""))
    where = dcc.Link(title, href=view.elsewhere("/facility", facility=slug)) if slug else title
    return html.Div(
        [
            html.I(className=f"mark {row.severity}", title=row.severity),
            html.Div(
                [html.B(row.title), html.Small([where, " · ", row.summary])], className="what"
            ),
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
