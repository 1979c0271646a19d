"""State timelines of a host or an accelerator, drawn and in words.

Owns what belongs together: the lanes, their legend, and for who cannot see them, and to copy from,
the table under them: what was not normal and what work ran, newest first, with the times that the
lanes are made of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboard import elements, seat
from dashboard.charts import lanes, work
from dashboard.charts.conditions import LOOKS, Condition
from dashboard.charts.lanes import Lane, Segment
from dashboard.charts.timeline import Figure
from dashboard.view import Window
from dashboard.wording import duration, plural

ROWS_MAX = 60
# What needs no words: the lanes are full of it.
CALM = tuple(LOOKS[c] for c in (Condition.IDLE, Condition.BUSY, Condition.POWER_CAP))


def timeline(
    window: Window,
    states: Sequence[Lane],
    works: Sequence[Any],
    alerts: Sequence[Any],
    numbers: Mapping[int, int],
    silences: Sequence[Segment],
) -> tuple[Figure, Component, Component]:
    """Return lanes of states, of work and of alerts, their legend, and all of it in words.

    Args:
        window: what is drawn.
        states: the lanes of states.
        works: rows of the query `work`.
        alerts: rows of open and ended alerts.
        numbers: the numbers of the accelerators, by id.
        silences: when nobody was heard.
    """
    work_lanes, hidden = work.lanes_of(window, work.works(works, window), numbers, silences)
    told = [*states, *work_lanes]
    drawn = [*told, *lanes.alert_lanes(window, alerts)]
    return (
        lanes.figure(window, drawn),
        seat.looks_legend(lanes.shown_looks(drawn)),
        table(told, hidden),
    )


def table(lanes: Sequence[Lane], hidden: int = 0) -> Component:
    """Return all that a legend explains as sentences of a table, folded away.

    Args:
        lanes: the lanes as drawn.
        hidden: how many pieces of work had no room in them.
    """
    found = _entries(lanes)
    rows = [
        [
            ", ".join(entry.lanes[:3]) if len(entry.lanes) <= 3 else f"{len(entry.lanes)} lanes",
            [entry.what, html.Small(entry.more, className="below") if entry.more else None],
            elements.moment(entry.start_s),
            "now" if entry.open else elements.moment(entry.end_s),
            duration(entry.end_s - entry.start_s),
        ]
        for entry in found[:ROWS_MAX]
    ]
    columns = (("Lane", ""), ("What", "wide"), ("From", ""), ("To", ""), ("Lasted", "num"))
    more = len(found) - len(rows)
    notes = [
        text
        for text in (
            f"{plural(hidden, 'piece')} of work had no room in the lanes." if hidden else "",
            f"{more} older ones are left out: choose a shorter range." if more else "",
        )
        if text
    ]
    body: Component = (
        elements.table(columns, rows, "tight")
        if rows
        else elements.well("Nothing but idle and busy in this range")
    )
    head = f"In words: {plural(len(found), 'entry', 'entries')}" if found else "In words"
    return html.Details(
        [html.Summary(head), body, *(html.Small(note, className="below") for note in notes)],
        className="in-words",
    )


@dataclass(slots=True)
class _Entry:
    what: str
    more: str
    start_s: float
    end_s: float
    open: bool
    lanes: list[str]


def _entries(lanes: Sequence[Lane]) -> list[_Entry]:
    """Return what is not calm, newest first; what was so of several lanes at once is one entry.

    A stretch that is drawn in pieces, since nobody was heard in between, is one too.
    """
    entries: dict[tuple[str, float], _Entry] = {}
    for lane in lanes:
        name = lane.name.replace("\u200b", "")
        for segment in lane.segments:
            if segment.look in CALM:
                continue
            start_s, end_s = segment.told_s or (segment.start_s, segment.end_s)
            what = segment.label or segment.text or segment.look.label
            entry = entries.setdefault(
                (what, start_s), _Entry(what, segment.more, start_s, end_s, segment.open, [])
            )
            entry.end_s, entry.open = max(entry.end_s, end_s), entry.open or segment.open
            if name not in entry.lanes:
                entry.lanes.append(name)
    return sorted(entries.values(), key=lambda entry: entry.start_s, reverse=True)
