"""One seat of the fleet: finding it from an address, the way up from it, and its newest readings.

Owns what the views of a rack, a host and an accelerator share. Values of a seat that cannot be
seen now are not told: a dash, never the last number.
"""

import math
from collections.abc import Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements, incidents, maps
from dashboard.charts.conditions import Look, reason_words
from dashboard.charts.facility import HEADROOM_LOW, HEADROOM_SPENT, event_tone, event_words
from dashboard.charts.health import RECOVERY_ACTIONS
from dashboard.picture import Picture
from dashboard.places import Facility, Host, Rack
from dashboard.sources import Sources
from dashboard.states import SIGHTLESS, State
from dashboard.view import View
from dashboard.wording import DASH, with_unit


def find_host(picture: Picture, view: View) -> Host | None:
    """Return the host of an address: of its facility where one is given."""
    facility = picture.facility(view.get("facility"))
    hosts = picture.hosts if facility is None else picture.hosts[facility.hosts]
    return next((host for host in hosts if host.name == view.get("host")), None)


def find_gpu(picture: Picture, host: Host, index: str) -> int | None:
    """Return the seat of an index; of two that claim it, the one that is there."""
    claims = [n for n in range(host.first, host.last) if str(picture.index_of[n]) == index]
    return min(claims, key=lambda n: not picture.present[n], default=None)


def find_rack(picture: Picture, view: View) -> Rack | None:
    """Return the rack of an address, by its own name or by its whole place."""
    facility = picture.facility(view.get("facility"))
    racks = picture.racks if facility is None else picture.racks[facility.racks]
    wanted = view.get("rack")
    return next((rack for rack in racks if wanted in (rack.place[2], rack.title)), None)


def facility_of(picture: Picture, facility_id: int) -> Facility:
    """Return the facility that a host or a rack belongs to."""
    return next(f for f in picture.facilities if f.facility_id == facility_id)


def rack_name(place: tuple[str, str, str]) -> str:
    """Return the name by which an address finds a rack."""
    return place[2] or " / ".join(part for part in place if part)


def crumbs(view: View, picture: Picture, owner: Host | Rack, *rest: Any) -> Component:
    """Return the way up: facility, rack, and what comes below."""
    facility = facility_of(picture, owner.facility_id)
    parts: list[Any] = [
        dcc.Link(facility.title, href=view.elsewhere("/facility", facility=facility.slug))
    ]
    if any(owner.place):
        name = rack_name(owner.place)
        href = view.elsewhere("/host", facility=facility.slug, rack=name)
        parts.append(dcc.Link(name, href=href))
    if isinstance(owner, Host):
        href = view.elsewhere("/host", facility=facility.slug, host=owner.name)
        parts.append(dcc.Link(owner.name, href=href))
    parts += rest
    shown: list[Any] = []
    for part in parts:
        shown += [html.I(className="crumb"), part] if shown else [part]
    return html.Span(shown, className="crumbs")


def reading(picture: Picture, seat: int, signal: str, now_s: float) -> float:
    """Return the shown value of a signal at a seat; NaN where it is not told."""
    if signal == "headroom":
        margin = float(picture.readings["temperature_margin_celsius"][seat])
        heat = float(picture.readings["temperature_gpu_celsius"][seat])
        return float(picture.slowdown_celsius[seat]) - heat if math.isnan(margin) else margin
    if signal == "age":
        return now_s - float(picture.time_s[int(picture.host_of[seat])])
    shape = maps.SIGNALS[signal]
    return float(picture.readings[shape.reading][seat]) * shape.scale


def told(picture: Picture, seat: int, signal: str, state: State, now_s: float) -> str:
    """Return a reading with its unit; a dash where the seat cannot be seen now."""
    if state in SIGHTLESS:
        return DASH
    return with_unit(reading(picture, seat, signal, now_s), maps.SIGNALS[signal].unit)


def headroom(picture: Picture, seat: int, state: State, now_s: float) -> Component:
    """Return the degrees left to slowdown, in a warning colour where they are few."""
    left = math.nan if state in SIGHTLESS else reading(picture, seat, "headroom", now_s)
    tone = "bad" if left <= HEADROOM_SPENT else "warned" if left <= HEADROOM_LOW else ""
    return html.Span(with_unit(left, "°C"), className=tone)


def complaints(picture: Picture, seat: int, state: State) -> list[str]:
    """Say what a seat's newest reading complains of, in words."""
    if state in SIGHTLESS:
        return []
    read = {name: float(column[seat]) for name, column in picture.readings.items()}
    words = []
    if read["recovery_action_code"] > 0:
        action = RECOVERY_ACTIONS.get(int(read["recovery_action_code"]), "act")
        words.append(f"driver asks: {action}")
    if read["remap_failed_flag"] > 0:
        words.append("row remap failed")
    if read["remap_pending_flag"] > 0:
        words.append("row remap waits for a reset")
    if (errors := read["ecc_uncorrected_volatile_count"]) > 0:
        words.append(f"{errors:.0f} uncorrectable ECC since load")
    if read["reader_status_code"] == 1:
        words.append("read in part")
    if reasons := reason_words(read["clock_event_reasons_bitmask"]):
        words.append(f"clocks: {reasons}")
    return words


def event_table(view: View, rows: Sequence[Any], *, with_place: bool) -> Component:
    """Return events, newest first, each with what it means and what to do where that is known."""
    if not rows:
        return elements.empty("No events", "Nothing happened in this range.")
    shown = [
        [
            elements.since(row.time_s),
            elements.tag(event_words(row), event_tone(row)),
            *([_seat_link(view, row)] if with_place else []),
            _meaning(row),
        ]
        for row in rows
    ]
    places = (("Where", ""),) if with_place else ()
    columns = (("Ago", "num"), ("Event", ""), *places, ("What it means", "wide"))
    return elements.table(columns, shown, "tight")


def _seat_link(view: View, row: Any) -> Any:
    if row.index is None:
        return html.Span("host", className="quiet")
    return dcc.Link(f"GPU {row.index}", href=view.href(gpu=str(row.index)))


def _meaning(row: Any) -> list[Any]:
    first = row.meaning or row.message
    detail = " · ".join(f"{key} {value}" for key, value in (row.detail or {}).items())
    second = " · ".join(
        part for part in (row.message if row.meaning else "", detail, row.action or "") if part
    )
    return [html.Span(first), *([html.Small(second, className="below")] if second else [])]


def looks_legend(looks: Sequence[Look]) -> Component:
    """Return the legend of a state timeline: only what occurs in it."""
    swatches = [
        html.Span([html.I(className=f"swatch look look-{_class(look)}"), look.label])
        for look in looks
    ]
    return html.Div(swatches, className="legend")


def _class(look: Look) -> str:
    return look.label.replace(",", "").replace(" ", "-")


def state_of(sources: Sources, seat: int) -> State:
    """Return the state of one seat now."""
    return State(int(sources.picture.states(sources.now_s)[seat]))


def open_alerts(
    view: View, picture: Picture, host: Host, alerts: Sequence[Any]
) -> Component | None:
    """Return the alerts that are open, as sentences with what to do; nothing where none is."""
    rows = [row for row in alerts if row.state != "resolved"]
    if not rows:
        return None
    facility = facility_of(picture, host.facility_id)
    return html.Div(
        [_alert(view, row, facility) for row in rows[:4]], className="incidents detail-alerts"
    )


def _alert(view: View, row: Any, facility: Facility) -> Component:
    href = view.elsewhere("/alerts", incident=str(row.incident_id))
    text = incidents.from_host(str(row.summary), facility)
    muted = "silenced" if row.silenced_by else "explained by another" if row.inhibited_by else ""
    return html.Div(
        [
            html.I(className=f"mark {row.severity}", title=row.severity),
            html.Div([html.B(dcc.Link(text, href=href)), html.Small(row.action)], className="what"),
            html.Div(elements.since(row.started_s), className="when"),
            html.Div([html.Span(row.state), html.Small(muted or row.severity)], className="who"),
        ],
        className="incident",
    )


def fact_list(facts: Sequence[tuple[str, Any]], class_name: str = "") -> Component:
    """Return names and values; what is not told is a dash."""
    items: list[Component] = []
    for name, value in facts:
        items += [html.Dt(name), html.Dd(value or DASH)]
    return html.Dl(items, className=f"facts {class_name}")


def facility_switch(view: View, picture: Picture) -> Component:
    """Return the choice of facilities that have accelerators, or of all of them."""
    items = [("all", view.href(facility=None), not view.get("facility"))]
    items += [
        (f.title, view.href(facility=f.slug), f.slug == view.get("facility"))
        for f in picture.facilities
        if f.seats.stop > f.seats.start
    ][:12]
    return elements.choices(items, "Facility")
