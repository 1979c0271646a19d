"""Who one accelerator is, where it has been, and how it stands now: parts of its page."""

import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements, seat
from dashboard.charts.conditions import LOOKS, Interval
from dashboard.picture import STALE_S_MIN
from dashboard.places import Host
from dashboard.sources import Sources
from dashboard.states import SENTENCES, SIGHTLESS, TROUBLED, State
from dashboard.view import View, Window
from dashboard.wording import number, share, with_unit
from telemetry.metrics import Group


def siblings(view: View, sources: Sources, host: Host, chosen: int) -> Component:
    """Return the accelerators of the same host, to step through."""
    picture = sources.picture
    states = picture.states(sources.now_s)
    links = []
    for n in range(host.first, host.last):
        index = int(picture.index_of[n])
        tone = elements.TONES[State(int(states[n]))]
        links.append(
            dcc.Link(
                [html.I(className=f"swatch {tone}"), str(index)],
                href=view.href(gpu=str(index)),
                className="choice chosen" if n == chosen else "choice",
                title=f"GPU {index}",
            )
        )
    named = elements.attributes({"aria-label": "GPU of this host"})
    return html.Div(links, className="choices", role="group", **named)


def tiles(
    sources: Sources, host: Host, at: int, who: Any, told: Sequence[Interval]
) -> list[Component]:
    """Return how it stands now, and since when where a stored interval is open."""
    picture, now_s = sources.picture, sources.now_s
    state = seat.state_of(sources, at)
    said = seat.complaints(picture, at, state)
    tone = "" if state <= State.OK else "warn" if state is State.DEGRADED else "bad"
    time_s = float(picture.time_s[host.position])
    limit = float(picture.readings["power_limit_milliwatts"][at]) / 1000
    power = math.nan if state in SIGHTLESS else seat.reading(picture, at, "power", now_s)
    total = getattr(who, "memory_total_mebibytes", None)
    used = math.nan if state in SIGHTLESS else seat.reading(picture, at, "memory", now_s)
    full = None if total is None or math.isnan(used) else share(used, total / 1024, 0)
    hbm = seat.told(picture, at, "hbm", state, now_s)
    return [
        elements.tile(
            "State",
            elements.state_word(state),
            [*_since(told, state), " · ".join(said) or SENTENCES[state]],
            tone,
        ),
        elements.tile(
            "Utilisation",
            seat.told(picture, at, "utilisation", state, now_s),
            f"SM activity {seat.told(picture, at, 'sm', state, now_s)}",
        ),
        elements.tile(
            "Headroom",
            seat.headroom(picture, at, state, now_s),
            f"core {seat.told(picture, at, 'temperature', state, now_s)} · HBM {hbm}",
        ),
        elements.tile(
            "Power",
            with_unit(power, "W"),
            "limit not told" if math.isnan(limit) else f"of {limit:.0f} W",
        ),
        elements.tile("Memory", with_unit(used, "GiB", 1), f"{full} in use" if full else ""),
        elements.tile(
            "Data age",
            elements.age(None if math.isnan(time_s) else time_s, STALE_S_MIN),
            "newest reading of the host",
        ),
    ]


def _since(told: Sequence[Interval], state: State) -> list[Any]:
    """Return since when the worst of what is open has been; nothing where it is not of now."""
    now = [interval for interval in told if math.isinf(interval.end_s)]
    if not now or state not in TROUBLED:
        return []
    worst = max(now, key=lambda interval: interval.condition)
    return [f"{LOOKS[worst.condition].label} for ", elements.since(worst.start_s), " · "]


def identity(who: Any) -> Component:
    """Return what its newest inventory says of it."""
    if who is None:
        return elements.empty("Not known", "No inventory lists this accelerator.")
    link = None
    if who.pcie_generation_max and who.pcie_width_max_lanes:
        link = f"gen {who.pcie_generation_max} x{who.pcie_width_max_lanes}"
    modes = [
        name
        for name, on in (
            ("ECC", who.ecc_enabled), ("MIG", who.mig_enabled),
            ("persistence", who.persistence_enabled),
        )
        if on
    ]  # fmt: skip
    place = [
        f"{word} {value}"
        for word, value in (
            ("chassis", who.chassis_serial), ("slot", who.slot_number), ("tray", who.tray_index),
            ("module", who.module_id),
        )
        if value is not None
    ]  # fmt: skip
    facts = [
        ("Model", who.model),
        ("Serial", who.serial),
        ("UUID", html.Span(f"GPU-{who.uuid}", className="mono")),
        ("Part", who.board_part_number),
        ("VBIOS", who.vbios_version),
        ("PCI", html.Span(" · ".join(p for p in (who.pci_address, link) if p), className="mono")),
        ("Seat", " · ".join(place)),
        ("Modes", ", ".join(modes)),
        ("NVLinks", number(who.nvlinks_count)),
        ("Inventory", elements.moment(who.inventory_s)),
    ]
    return seat.fact_list(facts)


def seats(view: View, sources: Sources, gpu_id: int, rows: Sequence[Any]) -> Component:
    """Return where it has been, the newest seat first."""
    if not rows:
        return elements.empty("Not known", "No inventory lists this board.")
    slugs = {f.row.facility: f.slug for f in sources.picture.facilities}
    shown = []
    for row in rows:
        href = view.elsewhere(
            "/host", facility=slugs.get(row.facility, ""), host=row.host, gpu=str(row.index or 0)
        )
        name = [html.B(row.host) if row.gpu_id == gpu_id else row.host]
        until = "now" if row.present else elements.moment(row.inventory_s, "day")
        shown.append(
            [
                [dcc.Link(name, href=href), html.Small(row.place, className="below")],
                "" if row.index is None else f"GPU {row.index}",
                [elements.moment(row.first_seen_s, "day"), " to ", until],
                number(row.faults),
            ]
        )
    columns = (("Host", ""), ("Seat", ""), ("Listed", ""), ("Faults", "num"))
    note = f"followed by serial {rows[0].serial}" if rows[0].serial else "followed by UUID"
    return html.Div([elements.table(columns, shown, "tight"), html.Small(note)])


def exports(view: View, window: Window) -> Component:
    """Links to the whole range as CSV, every column."""
    links = []
    for group, word in ((Group.FAST, "every tick"), (Group.SLOW, "slow metrics")):
        query = {
            "facility": view.get("facility"),
            "host": view.get("host"),
            "gpu": view.get("gpu"),
            "group": group.value,
            "from": f"{window.start_s:.0f}",
            "to": f"{window.end_s:.0f}",
        }
        href = f"/export/samples.csv?{urlencode(query)}"
        links.append(html.A(f"CSV, {word}", href=href, className="button", download=""))
    return html.Div(links, className="buttons")
