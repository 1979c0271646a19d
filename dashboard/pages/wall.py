"""Wall: the fleet for a screen that hangs: big type, no controls, one view or several in turn.

Shown without the header. The address says which view (`show`) and, where they take turns, how many
seconds each stays (`cycle`); `assets/60-wall.js` turns them. Reads what the Fleet page reads.
"""

import contextlib
import math
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements, incidents, maps, shell
from dashboard.charts import series
from dashboard.pages import facility_row, fleet
from dashboard.places import Facility
from dashboard.sources import Slots, Sources
from dashboard.states import TROUBLED, State
from dashboard.summary import Summary, age_limit_s, summarise
from dashboard.view import View
from dashboard.wording import (
    DASH,
    brief,
    drain_words,
    number,
    plural,
    share,
    unit_of,
    watts,
    with_unit,
)
from telemetry.errors import RetryableError

NAME = "Wall"
SHOWS = {"fleet": "Fleet", "map": "Map", "incidents": "Incidents"}
CYCLE_S = 20
INCIDENTS_BELOW = 3
INCIDENTS_SHOWN = 9


def layout(view: View) -> list[Component]:
    """Return the fixed parts of the chosen view."""
    show = _show(view)
    links: list[Component] = [
        dcc.Link(name, href=view.href(show=word), className="choice" + " chosen" * (word == show))
        for word, name in SHOWS.items()
    ]
    turning = bool(view.get("cycle"))
    href = view.href(cycle=None if turning else str(CYCLE_S))
    links += [
        dcc.Link("Stop turning" if turning else f"Turn every {CYCLE_S} s", href=href),
        dcc.Link("Leave", href="/"),
    ]
    bodies = {
        "fleet": [elements.slot("wall-rows", "Facilities"), elements.slot("wall-incidents")],
        "map": [elements.slot("wall-map", "Every accelerator"), elements.slot("wall-legend")],
        "incidents": [elements.slot("wall-incidents", "Open incidents")],
    }
    named = elements.attributes({"aria-label": "Wall"})
    return [
        html.Div(
            [
                html.H1(f"Fleet: {SHOWS[show]}", className="unseen"),
                elements.slot("wall-head", "Totals"),
                *bodies[show],
                html.Nav(links, className="wall-controls", **named),
            ],
            className=f"wall wall-{show}",
            **elements.attributes({"data-cycle": view.get("cycle")} if turning else {}),
        )
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts of the chosen view."""
    show = _show(view)
    summaries, states = summarise(sources.picture, sources.now_s)
    if not summaries:
        words = sources.trouble or "Nobody has sent anything."
        told = elements.empty("Nothing to show yet", words)
        names = {"fleet": ("rows", "incidents"), "map": ("map", "legend")}.get(show, ("incidents",))
        blank = {f"wall-{name}": {"children": None} for name in names}
        return {**blank, "wall-head": {"children": told}}
    opened: list[Any] | None = None
    queues: dict[int, series.Series] = {}
    window = view.window(sources.now_s, fleet.POINTS_MAX)
    with contextlib.suppress(RetryableError):  # the wall goes on with what is in memory
        opened = await incidents.opened(sources)
        if show == "fleet":
            _, queues = await fleet.history(view, window, sources)
    slots: dict[str, dict[str, Any]] = {"wall-head": {"children": _head(summaries, opened)}}
    if show == "map":
        mosaic = sources.maps.of(sources.picture)
        codes = maps.levels(sources.picture, states, "state", sources.now_s)
        spec = {
            "layout": sources.blobs(mosaic.layout),
            "values": sources.blobs(maps.cells(mosaic, codes)),
            "ramp": "state",
            "mode": "band",
        }
        label = "Every accelerator of the fleet, coloured by State"
        slots["wall-map"] = {"children": elements.canvas("mosaic", spec, label, "mosaic")}
        slots["wall-legend"] = {"children": shell.state_legend()}
        return slots
    shown = INCIDENTS_BELOW if show == "fleet" else INCIDENTS_SHOWN
    slots["wall-incidents"] = {"children": _incidents(view, sources, opened, shown)}
    if show == "fleet":
        counts = incidents.count_by_facility(opened)
        rows = [
            _row(
                sources.now_s, s, queues.get(s.facility.facility_id), window.step_s,
                None if opened is None else counts.get(s.facility.facility_id, {}),
            )
            for s in summaries
        ]  # fmt: skip
        slots["wall-rows"] = {"children": rows}
    return slots


def _show(view: View) -> str:
    return view.get("show") if view.get("show") in SHOWS else "fleet"


def _head(summaries: list[Summary], opened: list[Any] | None) -> list[Component]:
    contracted = sum(s.contracted for s in summaries)
    healthy = sum(s.healthy for s in summaries)
    busy = sum(s.count(State.BUSY) for s in summaries)
    faulty = sum(s.count(*TROUBLED) for s in summaries)
    power = [s.power_mw for s in summaries if not math.isnan(s.power_mw)]
    hours = [s.backlog.gpu_hours for s in summaries if s.backlog.gpu_hours is not None]
    counts = None if opened is None else incidents.count_by_severity(opened)
    return [
        _figure("healthy", number(healthy), f"of {number(contracted)}"),
        _figure("busy", share(busy, healthy, 0), plural(busy, "GPU")),
        _figure("faulty", number(faulty), "", "bad" if faulty else ""),
        _figure("waiting", brief(sum(hours)) if hours else DASH, "GPU-h" if hours else ""),
        _figure("power", watts(sum(power)) if power else DASH, ""),
        html.Div(
            [
                html.Small("incidents"),
                elements.pills(counts) if counts is not None else html.B(DASH),
            ],
            className="wall-figure",
        ),
    ]


def _figure(name: str, value: str, note: str, tone: str = "") -> Component:
    said = [html.Small(name), html.B(value, className=tone), html.Small(note)]
    return html.Div(said, className="wall-figure")


def _row(
    now_s: float,
    summary: Summary,
    past: series.Series | None,
    step_s: int,
    counts: dict[str, int] | None,
) -> Component:
    stale = summary.is_stale
    time_s = summary.backlog.time_s if summary.queues_only else summary.time_s
    cells = [
        html.Div(html.B(summary.facility.title), className="wall-name"),
        _capacity(summary),
        _pair(
            with_unit(math.nan if stale else summary.load[0], "%"), "load",
            "SM " + with_unit(math.nan if stale else summary.sm, "%"),
        ),
        _heat(summary),
        _backlog(now_s, summary, past, step_s),
        html.Div(html.Span(DASH) if counts is None else elements.pills(counts)),
        html.Div(elements.age(time_s, age_limit_s(summary)), className="wall-age"),
    ]  # fmt: skip
    return html.Div(cells, className="wall-row is-stale" if stale else "wall-row")


def _pair(value: str, name: str, note: str, tone: str = "") -> Component:
    """Return a figure with its name beside it, and what belongs to it below."""
    line = html.Div([html.B(value, className=tone), html.Small(name)], className="wall-line")
    return html.Div([line, html.Small(note)])


def _capacity(summary: Summary) -> Component:
    if summary.queues_only:
        return html.Div(html.Small("queues only"), className="wall-capacity")
    healthy = html.B(DASH if summary.is_stale else number(summary.healthy))
    whole = html.Small(f"healthy of {number(summary.contracted)}")
    label = f"{summary.healthy} healthy of {summary.contracted}"
    states = (State.BUSY, State.IDLE, State.OK, *TROUBLED, State.STALE, State.UNKNOWN)
    parts = [(summary.count(state), state) for state in states]
    bar = elements.bar(parts, summary.contracted, label)
    return html.Div(
        [
            html.Div([healthy, whole], className="wall-line"),
            html.Div([bar, _amiss(summary)], className="wall-bar"),
        ],
        className="wall-capacity",
    )


def _amiss(summary: Summary) -> Component | None:
    """Return how many are in trouble or, where none is, out of sight."""
    faulty, stale = summary.count(*TROUBLED), summary.count(State.STALE, State.UNKNOWN)
    if faulty:
        return html.Small(f"{number(faulty)} faulty", className="bad")
    return html.Small(f"{number(stale)} stale", className="warned") if stale else None


def _heat(summary: Summary) -> Component:
    least = summary.headroom_min
    if math.isnan(least):
        return html.Div(html.Small("heat not visible"))
    tone = "bad" if least <= facility_row.HEADROOM_SPENT_CELSIUS else ""
    tone = tone or ("warned" if least <= facility_row.HEADROOM_LOW_CELSIUS else "")
    return _pair(with_unit(least, "°C"), "headroom", summary.hottest_rack.split(" / ")[-1], tone)


def _backlog(now_s: float, summary: Summary, past: series.Series | None, step_s: int) -> Component:
    waiting = summary.backlog
    if waiting.size is None:
        return html.Div(html.Small("no queue source"))
    if waiting.is_stale(now_s):
        return _pair(DASH, "", "queue not told now")
    size, unit = waiting.size, waiting.size_unit
    if waiting.gpu_hours is not None and waiting.size:
        size, unit = waiting.gpu_hours, "GPU-h"
    trend = None if past is None else series.drain(past, step_s)
    shown = brief(size)
    words = drain_words(waiting.size, trend, "" if unit == waiting.size_unit else waiting.size_unit)
    return _pair(shown, unit_of(shown, unit), words)


def _incidents(
    view: View, sources: Sources, opened: list[Any] | None, shown_max: int
) -> list[Component]:
    if not opened:
        return [incidents.listing(view, opened, sources)]
    facilities = sources.picture.facility_by_id
    shown = [_incident(row, facilities.get(row.facility_id)) for row in opened[:shown_max]]
    if len(opened) > shown_max:
        more = plural(len(opened) - shown_max, "more incident")
        shown.append(html.Div(f"and {more}", className="wall-more"))
    return shown


def _incident(row: Any, facility: Facility | None) -> Component:
    title, text = incidents.said(row, facility)
    where = "whole fleet" if facility is None else facility.title
    return html.Div(
        [
            html.I(className=f"mark {row.severity}", title=row.severity),
            html.B(title),
            html.Small(f"{where} · {text}"),
            html.Span(row.state, className=f"incident-{row.state}"),
            elements.since(row.opened_s),
        ],
        className="wall-incident",
    )
