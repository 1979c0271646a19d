"""The head of the Facility page: its title, the choice of another, and its figures of now."""

import math
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements
from dashboard.charts import facility as charts
from dashboard.charts import series
from dashboard.places import Facility
from dashboard.states import TROUBLED, State
from dashboard.summary import Summary, age_limit_s
from dashboard.view import View
from dashboard.wording import DASH, drain_words, number, plural, share, watts, with_unit


def title(summary: Summary) -> list[Any]:
    """Return its name, and whose and what it is."""
    row = summary.facility.row
    about = [row.provider, row.region, *summary.facility.models]
    return [summary.facility.title, html.Small(" · ".join(part for part in about if part))]


def switch(view: View, summaries: list[Summary], facility: Facility) -> Component:
    """Return the choice of facilities, each with its one word."""
    links = [
        dcc.Link(
            [html.Span(s.facility.title), html.Small(_one_word(s))],
            href=view.href(facility=s.facility.slug),
            className="menu-item chosen" if s.facility is facility else "menu-item",
        )
        for s in summaries
    ]
    return html.Details([html.Summary("Facilities"), html.Div(links)], className="menu")


def _one_word(summary: Summary) -> str:
    if summary.queues_only:
        return "queues only"
    if summary.is_stale:
        return "stale"
    faulty = summary.count(*TROUBLED)
    return f"{faulty} faulty" if faulty else "ok"


def tiles(summary: Summary, trend: series.Drain | None) -> list[Component]:
    """Return its figures of now."""
    backlog = summary.backlog
    tiles = []
    if not summary.queues_only:
        mean, low, _, high = summary.load
        told = not math.isnan(low)
        spread = f"p10 {low:.0f} · p90 {with_unit(high, '%')}" if told else "not told"
        faulty = summary.count(*TROUBLED)
        stale = summary.count(State.STALE, State.UNKNOWN)
        tiles = [
            elements.tile(
                "Healthy",
                [
                    DASH if summary.is_stale else number(summary.healthy),
                    html.Small(f" of {number(summary.contracted)}"),
                ],
                " · ".join(
                    [f"{number(faulty)} faulty"] * bool(faulty)
                    + [f"{number(stale)} stale"] * bool(stale)
                )
                or share(summary.healthy, summary.contracted),
                "bad" if faulty else "warn" if stale else "",
            ),
            elements.tile("Utilisation", with_unit(mean, "%"), spread),
            elements.tile("SM activity", with_unit(summary.sm, "%"), "multiprocessors at work"),
            _headroom_tile(summary),
            elements.tile(
                "Power",
                watts(summary.power_mw),
                f"{share(summary.power_mw, summary.power_limit_mw, 0)} of the boards' limit"
                if not math.isnan(summary.power_limit_mw)
                else "accelerators only",
            ),
        ]
    if backlog.size is not None:
        hours = backlog.gpu_hours if backlog.gpus else None
        value = (
            elements.counted(hours, "GPU-h")
            if hours is not None
            else elements.counted(backlog.size, backlog.size_unit)
        )
        words = drain_words(backlog.size, trend, "" if hours is None else backlog.size_unit)
        tiles.append(elements.tile("Backlog", value, words))
    time_s = backlog.time_s if summary.queues_only else summary.time_s
    reporting = plural(summary.hosts, "host reports", "hosts report")
    note = f"{summary.hosts - summary.stale_hosts} of {reporting}"
    aged = elements.age(time_s, age_limit_s(summary))
    tiles.append(elements.tile("Data age", aged, "" if summary.queues_only else note))
    return tiles


def _headroom_tile(summary: Summary) -> Component:
    least = summary.headroom_min
    if math.isnan(least):
        return elements.tile("Thermal headroom", DASH, "not visible from inside")
    tone = (
        "bad" if least <= charts.HEADROOM_SPENT else "warn" if least <= charts.HEADROOM_LOW else ""
    )
    rack = summary.hottest_rack.split(" / ")[-1]  # the chart below has its hall and row
    note = f"p1 {with_unit(summary.headroom_p1, '°C')} · {rack}"
    return elements.tile("Thermal headroom", with_unit(least, "°C"), note, tone)
