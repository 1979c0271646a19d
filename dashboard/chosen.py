"""Racks that somebody has chosen by drawing on the map: part of the address, a filter of pages.

Owns how they are written in an address (`3-17,40`: numbers of racks, ranges included) and what
pages show of the choice.
"""

import numpy as np
from dash import dcc, html
from dash.development.base_component import Component
from numpy.typing import NDArray

from dashboard.picture import Picture
from dashboard.places import Rack
from dashboard.view import View
from dashboard.wording import plural

PARTS_MAX = 40


def racks(picture: Picture, view: View) -> list[Rack] | None:
    """Return the racks of an address that exist, in the order of their places; None for all."""
    spans = _spans(view.get("racks"))
    if not spans:
        return None
    return [r for r in picture.racks if any(low <= r.rack_id <= high for low, high in spans)]


def _spans(text: str) -> list[tuple[int, int]]:
    spans = []
    for part in text.split(",")[:PARTS_MAX]:
        low, _, high = part.partition("-")
        ends = (low, high or low)
        if all(end.isascii() and end.isdigit() and len(end) < 10 for end in ends):
            spans.append((int(ends[0]), int(ends[1])))
    return spans


def seats(found: list[Rack]) -> NDArray[np.int64]:
    """Return the seats of some racks."""
    spans = [np.arange(rack.seats.start, rack.seats.stop) for rack in found]
    return np.concatenate([np.zeros(0, np.int64), *spans])


def hosts(found: list[Rack]) -> NDArray[np.int64]:
    """Return the positions of the hosts of some racks."""
    spans = [np.arange(rack.hosts.start, rack.hosts.stop) for rack in found]
    return np.concatenate([np.zeros(0, np.int64), *spans])


def notice(view: View, found: list[Rack] | None) -> Component | None:
    """Say which racks a page is filtered to, with a way back to all of them."""
    if found is None:
        return None
    gpus = sum(rack.seats.stop - rack.seats.start for rack in found)
    words = f"{plural(len(found), 'rack')} chosen on the map, {plural(gpus, 'accelerator')}"
    back = dcc.Link("change", href=view.elsewhere("/map", racks=view.get("racks")))
    return html.Div(
        [html.B(words), back, dcc.Link("show all", href=view.href(racks=None))],
        className="chosen-racks",
    )
