"""The hosts that need somebody, worst first: the Hosts page with nothing chosen; see `host.py`."""

import math
from typing import Any

import numpy as np
from dash import dcc, html
from dash.development.base_component import Component

from dashboard import chosen, elements, seat, shell
from dashboard.picture import STALE_S_MIN
from dashboard.sources import Slots, Sources
from dashboard.states import LABELS, SENTENCES, TROUBLED, Codes, State
from dashboard.summary import short_place
from dashboard.view import View
from dashboard.wording import number, plural

HOSTS_SHOWN_MAX = 60
# Worst first: what the list of hosts is sorted by.
GRAVITY = (
    State.LOST, State.FAILED, State.PREDICTED_FAILURE, State.DEGRADED, State.UNKNOWN, State.STALE,
    State.ABSENT,
)  # fmt: skip


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    return [
        shell.heading(view, "Hosts", elements.slot("hosts-switch"), times=False),
        elements.slot("hosts-chosen"),
        elements.slot("hosts-tiles", "Figures", "tiles"),
        elements.section("Hosts that need somebody", elements.slot("hosts-list")),
    ]


def render(view: View, sources: Sources) -> Slots:
    """The hosts that have an accelerator in trouble or out of sight, worst first."""
    picture = sources.picture
    if sources.as_of_s is None:
        waiting = elements.empty("Waiting for the database", sources.trouble or "Connecting …")
        return {
            "hosts-list": {"children": waiting},
            "hosts-tiles": {"children": None},
            "hosts-switch": {"children": None},
            "hosts-chosen": {"children": None},
        }
    states = picture.states(sources.now_s)
    width = len(State)
    counted = np.bincount(
        picture.host_of * width + states, minlength=len(picture.hosts) * width
    ).reshape(-1, width)
    facility = picture.facility(view.get("facility"))
    inside = slice(0, len(picture.hosts)) if facility is None else facility.hosts
    positions = np.arange(len(picture.hosts))[inside]
    racks = chosen.racks(picture, view)
    if racks is not None:
        positions = np.intersect1d(positions, chosen.hosts(racks))
    order = np.lexsort([-counted[positions][:, state] for state in reversed(GRAVITY)])
    sick = counted[:, list(GRAVITY)].sum(axis=1)
    sick_first = [int(p) for p in positions[order] if sick[p]]
    rows = [_listed(view, sources, p, counted[p], states) for p in sick_first[:HOSTS_SHOWN_MAX]]
    columns = (
        ("Host", ""), ("Facility", ""), ("Rack", ""), ("Accelerators", "bar-said"),
        ("Complaint", "wide"), ("Age", "num"),
    )  # fmt: skip
    listed = elements.table(columns, rows) if rows else _all_well(len(positions))
    if len(sick_first) > HOSTS_SHOWN_MAX:
        more = f"and {number(len(sick_first) - HOSTS_SHOWN_MAX)} more; choose a facility"
        listed = html.Div([listed, html.Small(more)])
    return {
        "hosts-list": {"children": listed},
        "hosts-tiles": {"children": _list_tiles(len(positions), counted[positions])},
        "hosts-switch": {"children": seat.facility_switch(view, sources.picture)},
        "hosts-chosen": {"children": chosen.notice(view, racks)},
    }


def _all_well(hosts: int) -> Component:
    if not hosts:
        return elements.empty(
            "No host yet", "Start an agent on a GPU host, or a simulated facility here:",
            "fleetgauge simulate --facility first --hosts 4",
        )  # fmt: skip
    return elements.well(f"Nothing is wrong with any of {plural(hosts, 'host')}.")


def _listed(view: View, sources: Sources, position: int, counts: Any, states: Codes) -> list[Any]:
    picture = sources.picture
    host = picture.hosts[position]
    facility = seat.facility_of(picture, host.facility_id)
    name = seat.rack_name(host.place)
    time_s = float(picture.time_s[position])
    said = dict.fromkeys(
        word
        for n in range(host.first, host.last)
        for word in seat.complaints(picture, n, State(int(states[n])))
        if "power cap" not in word
    )
    parts = [(int(counts[s]), s) for s in State]
    faulty = ", ".join(f"{counts[s]} {LABELS[s]}" for s in GRAVITY if counts[s])
    href = view.elsewhere("/host", facility=facility.slug, host=host.name)
    rack_href = view.elsewhere("/host", facility=facility.slug, rack=name)
    return [
        dcc.Link(host.name, href=href, className="strong"),
        dcc.Link(facility.title, href=view.elsewhere("/facility", facility=facility.slug)),
        dcc.Link(short_place(host.place), href=rack_href) if name else "",
        [elements.bar(parts, int(counts.sum()), faulty), html.Small(faulty)],
        "; ".join(said) or _meaning(counts),
        elements.age(None if math.isnan(time_s) else time_s, STALE_S_MIN),
    ]


def _meaning(counts: Any) -> str:
    """Say what the worst state of a host means, where its driver gives no reason."""
    return next((SENTENCES[state] for state in GRAVITY if counts[state]), "")


def _list_tiles(hosts: int, counted: Any) -> list[Component]:
    def with_any(*states: State) -> int:
        return int((counted[:, list(states)].sum(axis=1) > 0).sum())

    faulty, silent = with_any(*TROUBLED), with_any(State.STALE, State.UNKNOWN)
    return [
        elements.tile("Hosts", number(hosts), "in this choice"),
        elements.tile("With a fault", number(faulty), "an accelerator is degraded, failed or lost",
                      "bad" if faulty else ""),
        elements.tile("Out of sight", number(silent), "stale, or never read",
                      "warn" if silent else ""),
        elements.tile("Accelerators lost", number(int(counted[:, State.LOST].sum())),
                      "no longer answer"),
        elements.tile("Accelerators absent", number(int(counted[:, State.ABSENT].sum())),
                      "listed before, not now"),
    ]  # fmt: skip
