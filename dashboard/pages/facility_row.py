"""One row of the Fleet page: a facility's capacity, load, heat, backlog, incidents, data age."""

import math
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements
from dashboard.charts import series
from dashboard.states import TROUBLED, State
from dashboard.summary import Summary, age_limit_s
from dashboard.view import View, Window
from dashboard.wording import DASH, brief, drain_words, number, unit_of, with_unit

HEADROOM_LOW_CELSIUS = 10
HEADROOM_SPENT_CELSIUS = 3


def head() -> Component:
    """Return the names of the columns."""
    load: Any = ["Utilisation", html.I(className="dashed-key"), "SM activity"]
    names = ("Facility", "Capacity", load, "Thermal", "Backlog", "Incidents", "Data age")
    return html.Div([html.Span(name) for name in names], className="fleet-head")


def row(
    now_s: float,
    view: View,
    window: Window,
    summary: Summary,
    load: dict[int, Any],
    queues: dict[int, series.Series],
    counts: dict[str, int] | None,
) -> Component:
    """Return the row of one facility; `counts` of its incidents is None where nobody judges."""
    facility = summary.facility
    about_it = facility.row
    models = ", ".join(dict.fromkeys(short_model(model) for model in facility.models))
    about = " · ".join(part for part in (about_it.provider, about_it.region, models) if part)
    name = html.Div(
        [
            dcc.Link(
                facility.title,
                href=view.elsewhere("/facility", facility=facility.slug),
                className="row-link",
            ),
            html.Small(about or about_it.note or "queues only"),
        ],
        className="cell-name",
    )
    cells = [
        name,
        _capacity(summary),
        _load(window, summary, load.get(facility.facility_id)),
        _thermal(summary),
        _backlog(now_s, window, summary, queues.get(facility.facility_id)),
        html.Div(_incidents(counts), className="cell-incidents"),
        html.Div(_age(summary), className="cell-age"),
    ]
    return html.Div(cells, className="fleet-row is-stale" if summary.is_stale else "fleet-row")


def short_model(model: str) -> str:
    """Return a model's name without what all of them share."""
    words = model.removeprefix("NVIDIA ").replace("-", " ").split()
    return words[0] if words else model


def _incidents(counts: dict[str, int] | None) -> Component:
    """Nobody judges: then `none` would be a claim."""
    return html.Span(DASH, className="quiet") if counts is None else elements.pills(counts)


def _capacity(summary: Summary) -> Component:
    if summary.queues_only:
        return html.Div(html.Small("no accelerators reported"), className="cell-capacity quiet")
    parts = [
        (summary.count(state), state)
        for state in (
            State.BUSY, State.IDLE, State.OK, *TROUBLED, State.STALE, State.UNKNOWN,
        )
    ]  # fmt: skip
    label = f"{summary.healthy} healthy of {summary.contracted}"
    faulty, stale = summary.count(*TROUBLED), summary.count(State.STALE, State.UNKNOWN)
    # What is wrong needs the room that the word takes.
    healthy = "" if faulty and stale else " healthy"
    words: list[Any] = [
        html.B(DASH if summary.is_stale else number(summary.healthy)),
        f" of {number(summary.contracted)}{healthy}",
    ]
    if faulty:
        words += [" · ", html.Span(f"{number(faulty)} faulty", className="bad")]
    if stale:
        words += [" · ", html.Span(f"{number(stale)} stale", className="warned")]
    return html.Div(
        [elements.bar(parts, summary.contracted, label), html.Small(words)],
        className="cell-capacity",
    )


def _load(window: Window, summary: Summary, past: Any) -> Component:
    if summary.queues_only:
        return html.Div(html.Small("not visible from here"), className="cell-load quiet")
    grid = past or {}
    chart = elements.spark(
        series.rounded(grid["load_percent"]) if grid else [],
        f"Utilisation of {summary.facility.title}",
        second=series.rounded(grid["sm_percent"]) if grid else [],
        start_s=window.start_s,
        step_s=window.step_s,
        high=100,
        names=("GPU", "SM"),
    )
    mean = math.nan if summary.is_stale else summary.load[0]
    sm = math.nan if summary.is_stale else summary.sm
    words = [html.B(with_unit(mean, "%")), html.Small(["SM ", with_unit(sm, "%")])]
    return html.Div([chart, html.Div(words)], className="cell-load")


def _thermal(summary: Summary) -> Component:
    if math.isnan(summary.hottest_celsius) and math.isnan(summary.headroom_min):
        word = DASH if summary.is_stale else "not visible from inside"
        return html.Div(html.Small(word), className="cell-thermal quiet")
    least = summary.headroom_min
    tone = ""
    if least <= HEADROOM_LOW_CELSIUS:
        tone = "bad" if least <= HEADROOM_SPENT_CELSIUS else "warned"
    number_shown = html.B(with_unit(least, "°C"), className=tone)
    first = [number_shown, " headroom" if math.isnan(least) else " headroom, least"]
    place = f" · {summary.hottest_rack.split(' / ')[-1]}" if summary.hottest_rack else ""
    return html.Div(
        [
            html.Div(first),
            html.Small(
                f"hottest {with_unit(summary.hottest_celsius, '°C')}{place}",
                title=summary.hottest_rack,
            ),
        ],
        className="cell-thermal",
    )


def _backlog(
    now_s: float, window: Window, summary: Summary, past: series.Series | None
) -> Component:
    backlog = summary.backlog
    if backlog.size is None:
        return html.Div(html.Small("no queue source"), className="cell-backlog quiet")
    values = [] if past is None else series.rounded(past)
    chart = elements.spark(
        values,
        f"Backlog of {summary.facility.title}",
        start_s=window.start_s,
        step_s=window.step_s,
        tone="backlog",
        unit=backlog.size_unit,
    )
    size = brief(backlog.size)
    head: list[Any] = [html.B(size), f" {unit_of(size, backlog.size_unit)}"]
    grown = ""
    if backlog.gpu_hours is not None and backlog.size:
        grown = backlog.size_unit
        head = [html.B(brief(backlog.gpu_hours)), " GPU-h"]
    trend = None if past is None else series.drain(past, window.step_s)
    words = drain_words(backlog.size, trend, grown)
    if backlog.is_stale(now_s):
        head, words = [html.Span(head, className="quiet")], "as it was; not told now"
    return html.Div(
        [chart, html.Div([html.Div(head), html.Small(words)])],
        className="cell-backlog",
    )


def _age(summary: Summary) -> Any:
    if summary.queues_only:
        return elements.age(summary.backlog.time_s, age_limit_s(summary))
    return elements.age(summary.time_s, age_limit_s(summary))
