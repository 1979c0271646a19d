"""Map: every accelerator of the fleet, or of one facility, a cell in the order of its place."""

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements, maps, shell
from dashboard.broadcast import Slots, Sources
from dashboard.states import LABELS, State
from dashboard.view import View
from dashboard.wording import number

NAME = "Map"

HEIGHT_PX = 620


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    signals = [
        (signal.label, view.href(signal=name), _signal(view) == name)
        for name, signal in maps.SIGNALS.items()
    ]
    return [
        shell.heading(
            view, "Map", elements.choices(signals, "Colour by"), elements.slot("map-switch"),
            times=False,
        ),
        elements.slot("map-legend"),
        elements.slot("map-cells", "Map", "map-whole"),
        elements.slot("map-counts"),
    ]  # fmt: skip


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    picture = sources.picture
    slug = view.get("facility")
    if not len(picture.gpu_ids) or (slug and picture.facility(slug) is None):
        words = sources.trouble if sources.as_of_s is None else "Nothing of that name has reported."
        told = elements.empty("No accelerator to show", words)
        blank = ("map-switch", "map-legend", "map-counts")
        return {"map-cells": {"children": told}, **{name: {"children": None} for name in blank}}
    signal = _signal(view)
    states = picture.states(sources.now_s)
    mosaic = sources.maps.of(picture, slug)
    codes = maps.levels(picture, states, signal, sources.now_s)
    spec = {
        "layout": sources.blobs(mosaic.layout),
        "values": sources.blobs(maps.cells(mosaic, codes)),
        "ramp": maps.SIGNALS[signal].ramp,
        "mode": "racks" if slug else "band",
        "height": HEIGHT_PX,
        "facility": slug,
    }
    label = f"Map of accelerators, coloured by {maps.SIGNALS[signal].label}"
    shown = picture.facility(slug)
    own = states if shown is None else states[shown.seats]
    return {
        "map-switch": {"children": _switch(view, sources)},
        "map-legend": {"children": shell.signal_legend(signal)},
        "map-cells": {"children": elements.canvas("mosaic", spec, label, "mosaic tall")},
        "map-counts": {
            "children": html.Div(
                [
                    html.Span([html.B(number(int((own == state).sum()))), f" {LABELS[state]}"])
                    for state in State
                    if (own == state).any()
                ],
                className="legend counts",
            )
        },
    }


def _signal(view: View) -> str:
    return view.get("signal") if view.get("signal") in maps.SIGNALS else "state"


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
