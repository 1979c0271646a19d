"""A rack tray by tray.

A part of the Hosts page, shown where its address names a rack; see `host.py`. A rack is drawn as
it stands: the highest tray above, each accelerator a cell with its value in it.
"""

import math
from typing import Any

import numpy as np
from dash import dcc, html
from dash.development.base_component import Component

from dashboard import annotations, elements, maps, past, seat, shell
from dashboard.charts import rack as charts
from dashboard.charts.facility import HEADROOM_LOW, HEADROOM_SPENT
from dashboard.pages import worst
from dashboard.picture import STALE_S_MIN
from dashboard.places import Host, Rack
from dashboard.sources import Slots, Sources
from dashboard.states import HEALTHY, LABELS, SIGHTLESS, Codes, State
from dashboard.view import View
from dashboard.wording import DASH, number, plural, watts, with_unit

SIGNALS = ("state", "utilisation", "sm", "headroom", "temperature", "hbm", "power", "memory")
GOOD_FOR_S = 10.0


def layout(view: View) -> list[Component]:
    """Return the fixed parts: of a rack, or of the list."""
    if not view.get("rack"):
        return worst.layout(view)
    signals = [
        (maps.SIGNALS[name].label, view.href(signal=name), _signal(view) == name)
        for name in SIGNALS
    ]
    return [
        shell.heading(view, elements.slot("rack-title"), elements.slot("rack-switch")),
        elements.slot("rack-note"),
        elements.slot("rack-tiles", "Figures", "tiles"),
        elements.section(
            "Trays, as they stand",
            elements.slot("rack-trays"),
            elements.choices(signals, "Show in each cell"),
        ),
        elements.slot("rack-legend"),
        elements.section("All of it over time", elements.graph("rack-chart")),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    if not view.get("rack"):
        return worst.render(view, sources)
    picture = sources.picture
    rack = seat.find_rack(picture, view)
    if rack is None:
        return _nothing(view, sources)
    states = picture.states(sources.now_s)
    window = past.steady(view.window(sources.now_s), interval_s=charts.STEP_S)
    values = {
        "rack_id": rack.rack_id,
        "start_s": window.start_s,
        "end_s": window.end_s,
        "step_s": window.step_s,
        "rollup_s": max(charts.STEP_S, window.rollup_s),
    }
    found = await past.ask(
        sources, "host", ("rack",), values,
        question=(rack.rack_id, past.times(view)), good_for_s=GOOD_FOR_S,
    )  # fmt: skip
    marks = await annotations.incident_marks(view, sources, window, rack.facility_id)
    return {
        "rack-note": {"children": past.notes(window.note, found.trouble)},
        "rack-chart": {"figure": charts.figure(window, found.of("rack"), marks)},
        "rack-title": {"children": seat.crumbs(view, picture, rack)},
        "rack-switch": {"children": _neighbours(view, sources, rack)},
        "rack-tiles": {"children": _tiles(sources, rack, states)},
        "rack-trays": {"children": _trays(view, sources, rack, states)},
        "rack-legend": {"children": shell.signal_legend(_signal(view))},
    }


def _signal(view: View) -> str:
    return view.get("signal") if view.get("signal") in SIGNALS else "state"


def _nothing(view: View, sources: Sources) -> Slots:
    if sources.as_of_s is None:
        told = elements.empty("Waiting for the database", sources.trouble or "Connecting …")
    else:
        told = elements.empty("No such rack", f"Nothing is known of {view.get('rack')!r}.")
    return {
        "rack-title": {"children": view.get("rack")},
        "rack-trays": {"children": told},
        **{f"rack-{name}": {"children": None} for name in ("switch", "note", "tiles", "legend")},
    }


def _neighbours(view: View, sources: Sources, rack: Rack) -> Component:
    """Return the racks of the same hall and row, to step through."""
    picture = sources.picture
    inside = [
        r for r in picture.racks
        if r.facility_id == rack.facility_id and r.place[:2] == rack.place[:2]
    ][:60]  # fmt: skip
    links = [
        dcc.Link(
            html.Span(seat.rack_name(r.place)),
            href=view.href(rack=seat.rack_name(r.place)),
            className="menu-item chosen" if r is rack else "menu-item",
        )
        for r in inside
    ]
    return html.Details([html.Summary("Racks of this row"), html.Div(links)], className="menu")


def _tiles(sources: Sources, rack: Rack, states: Codes) -> list[Component]:
    picture, now_s = sources.picture, sources.now_s
    own = states[rack.seats]
    live = ~np.isin(own, SIGHTLESS)
    healthy = int(np.isin(own, HEALTHY).sum())
    sick = {s: int((own == s).sum()) for s in worst.GRAVITY}
    words = ", ".join(f"{count} {LABELS[s]}" for s, count in sick.items() if count)

    def values(name: str) -> "np.ndarray[Any, np.dtype[np.float32]]":
        told = maps.signal_values(picture, name, now_s)[rack.seats][live]
        return told[~np.isnan(told)]

    load, left, power = values("utilisation"), values("headroom"), values("power")
    least = float(left.min()) if len(left) else math.nan
    tone = "bad" if least <= HEADROOM_SPENT else "warn" if least <= HEADROOM_LOW else ""
    times = picture.time_s[rack.hosts]
    newest = None if np.isnan(times).all() else float(np.nanmin(times))
    return [
        elements.tile(
            "Healthy",
            [str(healthy), html.Small(f" of {len(own)}")],
            words or "nothing wrong",
            "bad" if words else "",
        ),
        elements.tile(
            "Utilisation",
            with_unit(float(load.mean()), "%") if len(load) else DASH,
            f"{plural(rack.hosts.stop - rack.hosts.start, 'host')}",
        ),
        elements.tile("Least headroom", with_unit(least, "°C"), "to slowdown", tone),
        elements.tile(
            "Power", watts(float(power.sum()) * 1000) if len(power) else DASH, "accelerators only"
        ),
        elements.tile("Oldest data", elements.age(newest, STALE_S_MIN), "of any host here"),
    ]


def _trays(view: View, sources: Sources, rack: Rack, states: Codes) -> Component:
    picture = sources.picture
    hosts = picture.hosts[rack.hosts]
    head = [html.Div(word) for word in ("Tray", "Host", "Accelerators")]
    head += [html.Div(word, className="tray-figure") for word in ("Headroom", "Power", "Age")]
    trays = [_tray(view, sources, host, states) for host in reversed(hosts)]
    return html.Div([html.Div(head, className="tray tray-head"), *trays], className="trays")


def _tray(view: View, sources: Sources, host: Host, states: Codes) -> Component:
    picture = sources.picture
    time_s = float(picture.time_s[host.position])
    cells = [
        _cell(view, sources, host, n, State(int(states[n]))) for n in range(host.first, host.last)
    ]
    name = dcc.Link(host.name, href=view.href(host=host.name, rack=None, signal=None))
    seen = [n for n in range(host.first, host.last) if states[n] not in SIGHTLESS]
    left = [seat.reading(picture, n, "headroom", sources.now_s) for n in seen]
    power = [seat.reading(picture, n, "power", sources.now_s) for n in seen]
    told = [watt for watt in power if not math.isnan(watt)]
    least = min((value for value in left if not math.isnan(value)), default=math.nan)
    return html.Div(
        [
            html.Div(host.tray or DASH, className="tray-number"),
            html.Div([name], className="tray-name"),
            html.Div(cells or html.Small("no accelerators listed"), className="tray-cells"),
            html.Div(with_unit(least, "°C"), className="tray-figure on-wide"),
            html.Div(watts(sum(told) * 1000) if told else DASH, className="tray-figure on-wide"),
            html.Div(
                elements.age(None if math.isnan(time_s) else time_s, STALE_S_MIN),
                className="tray-figure",
            ),
        ],
        className="tray",
    )


def _cell(view: View, sources: Sources, host: Host, n: int, state: State) -> Component:
    """One accelerator: its value on the colour of its level; without sight, its state."""
    picture, signal = sources.picture, _signal(view)
    index = int(picture.index_of[n])
    href = view.href(host=host.name, gpu=str(index), rack=None, signal=None)
    value = math.nan
    if signal != "state" and state not in SIGHTLESS:
        value = seat.reading(picture, n, signal, sources.now_s)
    said = " · ".join(seat.complaints(picture, n, state)) or LABELS[state]
    title = f"{host.name} GPU {index}: {said}"
    if math.isnan(value):
        text = str(index) if signal == "state" else DASH
        tone = elements.TONES[state] if signal == "state" or state in SIGHTLESS else "untold"
        return dcc.Link(text, href=href, title=title, className=f"cell {tone}")
    shape = maps.SIGNALS[signal]
    level = min(1.0, max(0.0, (value - shape.low) / (shape.high - shape.low)))
    ink = "dark" if level > 0.6 else ""
    if shape.ramp == "headroom":  # bright at its lower end, dark at its upper one
        ink = "hot" if level < 0.1 else "warm" if level < 0.45 else ""
    return dcc.Link(
        number(value),
        href=href,
        title=f"{title} · {shape.label} {with_unit(value, shape.unit)}",
        className=f"cell on-ramp ramp-{shape.ramp} {ink}",
        style={"backgroundPosition": f"{100 * level:.0f}% 0"},
    )
