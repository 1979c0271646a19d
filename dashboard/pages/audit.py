"""Audit: who did what about incidents, with what was before and after. For administrators.

Owns the list. Entries are made by the functions that do what operators ask for; nothing here or
elsewhere changes one.
"""

from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements, past, shell
from dashboard.sources import Slots, Sources
from dashboard.view import View
from dashboard.wording import DASH

NAME = "Audit"

GOOD_FOR_S = 1.0


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    return [
        shell.heading(view, "Audit"),
        elements.slot("audit-note"),
        elements.section("Who did what", elements.slot("audit-entries")),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    window = past.steady(view.window(sources.now_s))
    values = {"start_s": window.start_s, "end_s": window.end_s}
    found = await past.ask(
        sources, "audit", ("entries",), values, question=past.times(view), good_for_s=GOOD_FOR_S
    )
    places = {f.facility_id: f.title for f in sources.picture.facilities}
    return {
        "audit-note": {"children": past.notes(window.note, found.trouble)},
        "audit-entries": {"children": _entries(view, found.of("entries"), places)},
    }


def _entries(view: View, rows: list[Any], places: dict[int, str]) -> Component:
    if not rows:
        return elements.empty("Nothing was done", "Nobody acted on an incident in this range.")
    shown = [
        [
            elements.moment(row.time_s),
            [html.B(row.author), html.Small(row.role, className="below")],
            row.act,
            [_subject(view, row), html.Small(places.get(row.facility_id, ""), className="below")],
            [row.comment, html.Small(f"{row.before} → {row.after}", className="below")],
        ]
        for row in rows
    ]
    columns = (
        ("Time", ""),
        ("Who", ""),
        ("What", ""),
        ("Of", ""),
        ("Said, before → after", "wide"),
    )
    return elements.table(columns, shown, "tight")


def _subject(view: View, row: Any) -> Any:
    if row.incident_id is None:
        return f"silence {row.silence_id}" if row.silence_id else DASH
    href = view.elsewhere("/alerts", incident=str(row.incident_id))
    return dcc.Link(row.title or f"incident {row.incident_id}", href=href)
