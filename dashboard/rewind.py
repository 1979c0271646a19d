"""The map at a time past: what each rack's accelerators came to in one minute of the rollups.

Owns how a minute of racks becomes one byte a seat. No reading of one accelerator is kept by the
minute: all of a rack have the rack's value, its worst where that is what one looks for.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from fastapi import FastAPI, Request, Response

from dashboard import maps, past
from dashboard.access.audiences import Audiences
from dashboard.picture import Picture
from dashboard.sources import Sources
from dashboard.states import Codes
from dashboard.view import View, epoch

STEP_S = 60
# A minute never changes once its late data has come.
GOOD_FOR_S = 30.0
# Signal -> the column of `racks_at`, and what it is of a rack.
TOLD = {
    "utilisation": ("load", "mean of each rack"),
    "sm": ("sm", "mean of each rack"),
    "headroom": ("headroom_least", "least of each rack"),
    "temperature": ("heat_most", "hottest of each rack"),
    "hbm": ("hbm_most", "hottest of each rack"),
    "power": ("power", "mean of each rack"),
    "memory": ("memory", "mean of each rack"),
}
SIGNAL_DEFAULT = "utilisation"


def add_routes(server: FastAPI, audiences: Audiences) -> None:
    """Add the route that the slider asks while it moves."""

    @server.get("/map/at")
    async def map_at(request: Request) -> Response:
        """Return what to paint on the map of a time past: asked while its slider moves."""
        broadcaster = await audiences.ready(request.scope["visit"].identity.audience)
        view = View.parse("/map", request.url.query)
        sources = broadcaster.sources()
        at_s = time_of(view, sources.now_s)
        slug = view.get("facility")
        if at_s is None or (slug and sources.picture.facility(slug) is None):
            return Response(status_code=404)
        signal = signal_of(view.get("signal"))
        codes, _ = await codes_at(sources, signal, at_s)
        body = msgspec.json.encode(spec(view, sources, signal, codes, at_s))
        return Response(body, media_type="application/json")


def time_of(view: View, now_s: float) -> float | None:
    """Return the minute that an address goes back to; None where it shows now."""
    at_s = epoch(view.get("at"))
    if at_s is None or at_s > now_s - STEP_S:
        return None
    return at_s // STEP_S * STEP_S


def signal_of(name: str) -> str:
    """Return the signal to show of the past: states and ages are not kept by the minute."""
    return name if name in TOLD else SIGNAL_DEFAULT


async def codes_at(sources: Sources, signal: str, at_s: float) -> tuple[Codes, str]:
    """Return one byte a seat, and why none is known; the answer covers the whole fleet."""
    found = await past.ask(
        sources, "map", ("racks_at",), {"at_s": at_s}, question=at_s, good_for_s=GOOD_FOR_S
    )
    column, _ = TOLD[signal]
    values = {row.rack_id: getattr(row, column) for row in found.of("racks_at")}
    return _levels(sources.picture, signal, values), found.trouble


def _levels(picture: Picture, signal: str, values: Mapping[int, Any]) -> Codes:
    shape = maps.SIGNALS[signal]
    codes = np.full(len(picture.gpu_ids), maps.NOT_TOLD, np.uint8)
    for rack in picture.racks:
        value = values.get(rack.rack_id)
        if value is not None:
            part = (value - shape.low) / (shape.high - shape.low)
            codes[rack.seats] = round(min(1.0, max(0.0, part)) * maps.LEVELS)
    return codes


def spec(
    view: View, sources: Sources, signal: str, codes: Codes, at_s: float | None
) -> dict[str, Any]:
    """Return what the browser paints; of the past also what it says under the pointer."""
    slug = view.get("facility")
    mosaic = sources.maps.of(sources.picture, slug)
    shape = maps.SIGNALS[signal]
    painted: dict[str, Any] = {
        "layout": sources.blobs(mosaic.layout),
        "values": sources.blobs(maps.cells(mosaic, codes)),
        "ramp": shape.ramp,
        "mode": "racks" if slug else "band",
        "facility": slug,
        "racks": view.get("racks"),
    }
    if at_s is not None:
        told = f"{shape.label}, {TOLD[signal][1]}"
        painted |= {"at": at_s, "low": shape.low, "high": shape.high, "unit": shape.unit,
                    "told": told}  # fmt: skip
    return painted
