"""Map: every accelerator of the fleet, or of one facility, a cell in the order of its place.

Live, or at a minute of the past (`at`), to which the scrubber below it goes. What is drawn on it
with the pointer chooses racks (`racks`), which other pages then show alone.
"""

from typing import Any

import numpy as np
from dash import dcc, html
from dash.development.base_component import Component

from dashboard import chosen, elements, maps, past, rewind, shell
from dashboard.charts import series
from dashboard.places import Facility, Rack
from dashboard.sources import Slots, Sources
from dashboard.states import HEALTHY, LABELS, SIGHTLESS, Codes, count
from dashboard.view import View, Window
from dashboard.wording import DASH, number, plural, share, watts, with_unit

NAME = "Map"

POINTS_MAX = 240
GOOD_FOR_S = 10.0


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    going_back = bool(view.get("at"))
    signals = [
        (signal.label, view.href(signal=name), _signal(view) == name)
        for name, signal in maps.SIGNALS.items()
        if not going_back or name in rewind.TOLD
    ]
    return [
        shell.heading(
            view, "Map", elements.choices(signals, "Colour by"), elements.slot("map-switch")
        ),
        elements.slot("map-note"),
        elements.section(
            "Every accelerator", elements.slot("map-cells", "Map", "map-whole"),
            elements.slot("map-legend"),
        ),
        elements.slot("map-scrub", "Course of the load"),
        html.Div(id="scrub-box", className="scrub-box"),
        html.Div([elements.slot("map-chosen"), elements.slot("map-counts")], className="map-foot"),
    ]  # fmt: skip


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    picture = sources.picture
    slug = view.get("facility")
    shown = picture.facility(slug)
    if not len(picture.gpu_ids) or (slug and shown is None):
        return _nothing(view, sources)
    signal, now_s = _signal(view), sources.now_s
    states = picture.states(now_s)
    at_s = rewind.time_of(view, now_s)
    trouble = ""
    if at_s is None:
        codes = maps.levels(picture, states, signal, now_s)
    else:
        signal = rewind.signal_of(signal)
        codes, trouble = await rewind.codes_at(sources, signal, at_s)
    found = chosen.racks(picture, view)
    label = f"Map of accelerators, coloured by {maps.SIGNALS[signal].label}"
    own = states if shown is None else states[shown.seats]
    window = past.steady(view.window(now_s, POINTS_MAX), interval_s=rewind.STEP_S)
    return {
        "map-switch": {"children": _switch(view, sources)},
        "map-note": {"children": _note(view, at_s, signal, trouble)},
        "map-legend": {"children": shell.signal_legend(signal)},
        "map-cells": {
            "children": elements.canvas(
                "mosaic", rewind.spec(view, sources, signal, codes, at_s), label, "mosaic tall"
            )
        },
        "map-scrub": {"children": await _scrub(view, sources, window, shown, at_s)},
        "map-chosen": {"children": _chosen(view, sources, found, states)},
        "map-counts": {"children": None if at_s else _counts(own)},
    }


def _signal(view: View) -> str:
    return view.get("signal") if view.get("signal") in maps.SIGNALS else "state"


def _nothing(view: View, sources: Sources) -> Slots:
    if sources.as_of_s is None:
        told = elements.empty("Waiting for the database", sources.trouble or "Connecting …")
    elif view.get("facility"):
        words = f"Nothing is known of {view.get('facility')!r}."
        told = elements.empty("No accelerator to show", words)
    else:
        told = elements.empty(
            "No accelerator yet", "Start an agent on a GPU host, or a simulated facility here:",
            "fleetgauge simulate --facility first --hosts 4",
        )  # fmt: skip
    blank = ("switch", "note", "legend", "scrub", "chosen", "counts")
    return {
        "map-cells": {"children": told},
        **{f"map-{name}": {"children": None} for name in blank},
    }


def _note(view: View, at_s: float | None, signal: str, trouble: str) -> Component | None:
    if at_s is None:
        return None
    said: list[Any] = [html.B(["As it was at ", elements.moment(at_s)])]
    said.append(f" {maps.SIGNALS[signal].label}, {rewind.TOLD[signal][1]}. ")
    if _signal(view) != signal:
        said.append("States are not kept by the minute. ")
    if trouble:
        said.append(html.Span(f"Not known: {trouble}. ", className="warned"))
    said.append(dcc.Link("Back to now", href=view.href(at=None)))
    return html.Div(said, className="rewound")


async def _scrub(
    view: View, sources: Sources, window: Window, shown: Facility | None, at_s: float | None
) -> Component:
    """Return the fleet's load over the window; `assets/50-map.js` puts the slider on it."""
    values = {
        "start_s": window.start_s,
        "end_s": window.end_s,
        "step_s": window.step_s,
        "rollup_s": window.rollup_s,
        "facility_id": None if shown is None else shown.facility_id,
    }
    found = await past.ask(
        sources, "map", ("course",), values,
        question=(values["facility_id"], past.times(view)), good_for_s=GOOD_FOR_S,
    )  # fmt: skip
    grid = series.on_grid(found.of("course"), window, ("load_percent", "sm_percent"))
    chart = elements.spark(
        series.rounded(grid["load_percent"]), "Utilisation over time; the slider goes back in it",
        second=series.rounded(grid["sm_percent"]), start_s=window.start_s, step_s=window.step_s,
        high=100, names=("GPU", "SM"),
    )  # fmt: skip
    marks = {"data-start": f"{window.start_s:.0f}", "data-until": f"{window.end_s:.0f}"}
    if at_s is not None:
        marks["data-at"] = f"{at_s:.0f}"
    return html.Div(chart, className="scrub-course", **elements.attributes(marks))


def _counts(own: Codes) -> Component:
    return html.Div(
        [
            html.Span([html.B(number(accelerators)), f" {LABELS[state]}"])
            for state, accelerators in count(own).items()
            if accelerators
        ],
        className="legend counts",
    )


def _chosen(
    view: View, sources: Sources, found: list[Rack] | None, states: Codes
) -> Component | None:
    """Return what the chosen racks come to now, and the pages that show them alone."""
    if found is None:
        return html.Small("Draw on the map to choose racks; other pages then show them alone.")
    picture = sources.picture
    seats = chosen.seats(found)
    live = seats[~np.isin(states[seats], SIGHTLESS)]

    def told(name: str) -> Any:
        values = maps.signal_values(picture, name, sources.now_s)[live]
        return values[~np.isnan(values)]

    load, sm, left, power = (told(name) for name in ("utilisation", "sm", "headroom", "power"))
    healthy = int(np.isin(states[seats], HEALTHY).sum())
    tiles = [
        elements.tile("Chosen", plural(len(found), "rack"), plural(len(seats), "accelerator")),
        elements.tile("Healthy", number(healthy), share(healthy, len(seats))),
        elements.tile(
            "Utilisation", with_unit(float(load.mean()), "%") if len(load) else DASH,
            f"SM activity {with_unit(float(sm.mean()), '%') if len(sm) else 'not told'}",
        ),
        elements.tile(
            "Least headroom", with_unit(float(left.min()), "°C") if len(left) else DASH,
            f"p10 {with_unit(float(np.percentile(left, 10)), '°C')}" if len(left) else "not told",
        ),
        elements.tile(
            "Power", watts(float(power.sum()) * 1000) if len(power) else DASH, "accelerators only"
        ),
    ]  # fmt: skip
    racks = view.get("racks")
    links = [
        dcc.Link(
            f"{name} of these racks", href=view.elsewhere(path, racks=racks), className="button"
        )
        for name, path in (("Hosts", "/host"), ("Health", "/health"))
    ]
    links.append(dcc.Link("Clear", href=view.href(racks=None), className="button"))
    return html.Div(
        [html.Div(tiles, className="tiles"), html.Div(links, className="buttons")],
        className="chosen-panel",
    )


def _switch(view: View, sources: Sources) -> Component:
    slug = view.get("facility")
    links = [dcc.Link("Whole fleet", href=view.href(facility=None), className="menu-item")]
    links += [
        dcc.Link(
            [html.Span(f.title), html.Small(number(f.seats.stop - f.seats.start))],
            href=view.href(facility=f.slug),
            className="menu-item chosen" if f.slug == slug else "menu-item",
        )
        for f in sources.picture.facilities
        if f.seats.stop > f.seats.start
    ]
    shown = sources.picture.facility(slug)
    title = "Whole fleet" if shown is None else shown.title
    return html.Details([html.Summary(title), html.Div(links)], className="menu")
