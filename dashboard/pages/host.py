"""Hosts: one host as state timelines above the readings of its accelerators.

The same address shows a rack (`rack.py`), one accelerator (`gpu.py`), or, with nothing chosen, the
hosts that need somebody: these are modules of their own and share this page's SQL file.
"""

import math

import numpy as np
from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements, past, seat, shell
from dashboard import told as told_in_words
from dashboard.charts import conditions
from dashboard.charts import host as charts
from dashboard.charts.facility import HEADROOM_LOW, HEADROOM_SPENT
from dashboard.charts.series import Series
from dashboard.charts.timeline import Figure
from dashboard.pages import gpu, rack
from dashboard.past import Past
from dashboard.picture import STALE_S_MIN
from dashboard.places import Host
from dashboard.sources import Slots, Sources
from dashboard.states import HEALTHY, LABELS, SIGHTLESS, State
from dashboard.view import View, Window
from dashboard.wording import DASH, duration, plural, share, watts, with_unit

NAME = "Hosts"

GOOD_FOR_S = 5.0
IDENTITY_GOOD_FOR_S = 10.0
EVENTS_SHOWN = 14
AGENT_SILENT_S = 60.0


def layout(view: View) -> list[Component]:
    """Return the fixed parts of what the address chooses."""
    if not view.get("host"):
        return rack.layout(view)
    if view.get("gpu"):
        return gpu.layout(view)
    return [
        shell.heading(view, elements.slot("host-title"), elements.slot("host-switch")),
        elements.slot("host-note"),
        elements.slot("host-tiles", "Figures", "tiles"),
        elements.slot("host-alerts"),
        html.Div(
            [
                html.Div(
                    [
                        elements.section(
                            "What each accelerator went through",
                            [
                                elements.graph("host-lanes"),
                                elements.slot("host-legend"),
                                elements.slot("host-told"),
                            ],
                        ),
                        elements.section("Readings", elements.graph("host-chart")),
                    ]
                ),
                html.Div(
                    [
                        elements.section("Accelerators now", elements.slot("host-gpus")),
                        elements.section(
                            "Events", elements.slot("host-events"), elements.slot("host-exports")
                        ),
                        elements.section("This host", elements.slot("host-facts")),
                    ]
                ),
            ],
            className="columns detail",
        ),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts of what the address chooses."""
    if not view.get("host"):
        return await rack.render(view, sources)
    if view.get("gpu"):
        return await gpu.render(view, sources)
    picture = sources.picture
    host = seat.find_host(picture, view)
    if host is None:
        return _nothing(view, sources)
    asked = view.window(sources.now_s)
    between_s = past.rollup_interval_s(asked, sources.now_s)
    window = past.steady(asked, interval_s=max(between_s, float(picture.interval_s[host.position])))
    gpu_ids = picture.gpu_ids[host.first : host.last].tolist()
    indices = picture.index_of[host.first : host.last].tolist()
    found, known = await _ask(view, sources, host, gpu_ids, window)
    events, alerts = found.of("events"), found.of("alerts")
    numbers = dict(zip(gpu_ids, indices, strict=True))

    def draw() -> tuple[Figure, Component, Component, Figure]:
        trails = charts.trails(window, found.of("trail"), gpu_ids)
        told = conditions.intervals(found.of("states"))
        codes = charts.codes_of(window, trails, told)
        strip = told_in_words.timeline(
            window,
            charts.lanes_of(window, codes, told, numbers),
            found.of("work"),
            alerts,
            numbers,
            charts.silences(window, codes),
        )
        return (
            *strip,
            charts.figure(window, trails, numbers, events),
        )

    drawn = await past.kept(
        sources,
        ("host", host.host_id, past.times(view)),
        (window, indices, *map(found.of, ("trail", "states", "work")), events, alerts),
        draw,
    )
    return {
        "host-title": {"children": seat.crumbs(view, picture, host)},
        "host-switch": {"children": _siblings(view, sources, host)},
        "host-note": {"children": past.notes(window.note, found.trouble)},
        "host-tiles": {"children": _tiles(sources, host, known)},
        "host-alerts": {"children": seat.open_alerts(view, picture, host, alerts)},
        "host-lanes": {"figure": drawn[0]},
        "host-legend": {"children": drawn[1]},
        "host-told": {"children": drawn[2]},
        "host-chart": {"figure": drawn[3]},
        "host-gpus": {"children": _gpus(view, sources, host)},
        "host-events": {"children": seat.event_table(view, events[:EVENTS_SHOWN], with_place=True)},
        "host-exports": {"children": _export(view, window)},
        "host-facts": {"children": _facts(host, known)},
    }


async def _ask(
    view: View, sources: Sources, host: Host, gpu_ids: list[int], window: Window
) -> tuple[Past, Past]:
    values = {
        "host_id": host.host_id,
        "gpu_id": None,
        "gpu_ids": gpu_ids,
        "start_s": window.start_s,
        "end_s": window.end_s,
        "step_s": window.step_s,
    }
    found = await past.ask(
        sources, "host", ("trail", "states", "work", "events", "alerts"), values,
        question=(host.host_id, past.times(view)),
        good_for_s=max(GOOD_FOR_S, window.step_s / 4),
    )  # fmt: skip
    known = await past.ask(
        sources, "host", ("host",), values,
        question=host.host_id, good_for_s=IDENTITY_GOOD_FOR_S,
    )  # fmt: skip
    return found, known


def _nothing(view: View, sources: Sources) -> Slots:
    if sources.as_of_s is None:
        told = elements.empty("Waiting for the database", sources.trouble or "Connecting …")
    else:
        words = f"Nothing is known of {view.get('host')!r}. The search finds hosts by their names."
        told = elements.empty("No such host", words)
    blank = ("note", "tiles", "switch", "legend", "told", "gpus", "events", "exports", "facts")
    return {
        "host-title": {"children": view.get("host")},
        "host-alerts": {"children": told},
        **{f"host-{name}": {"children": None} for name in blank},
    }


def _siblings(view: View, sources: Sources, host: Host) -> Component | None:
    """Return the hosts of the same rack, to step through."""
    inside = [h for h in sources.picture.hosts if h.rack_id == host.rack_id]
    if not 1 < len(inside) <= 40:
        return None
    links = [
        dcc.Link(
            [html.Span(h.name), html.Small(f"tray {h.tray}" if h.tray else "")],
            href=view.href(host=h.name),
            className="menu-item chosen" if h is host else "menu-item",
        )
        for h in inside
    ]
    return html.Details([html.Summary("Hosts of this rack"), html.Div(links)], className="menu")


def _tiles(sources: Sources, host: Host, known: Past) -> list[Component]:
    picture, now_s = sources.picture, sources.now_s
    codes = picture.states(now_s)[host.first : host.last]
    seats = range(host.first, host.last)
    seen = [n for n, code in zip(seats, codes, strict=True) if code not in SIGHTLESS]

    def values(name: str) -> Series:
        told = [seat.reading(picture, n, name, now_s) for n in seen]
        return np.array([value for value in told if not math.isnan(value)])

    healthy = int(np.isin(codes, HEALTHY).sum())
    sick = [State(int(code)) for code in codes if code not in HEALTHY]
    words = ", ".join(f"{sick.count(s)} {LABELS[s]}" for s in dict.fromkeys(sick))
    load, sm, left, power = (values(name) for name in ("utilisation", "sm", "headroom", "power"))
    limit_mw = float(np.nansum(picture.readings["power_limit_milliwatts"][seen]))
    power_mw = float(power.sum()) * 1000
    time_s = float(picture.time_s[host.position])
    least = float(left.min()) if len(left) else math.nan
    tone = "bad" if least <= HEADROOM_SPENT else "warn" if least <= HEADROOM_LOW else ""
    return [
        elements.tile(
            "Healthy",
            [str(healthy), html.Small(f" of {len(codes)}")],
            words or "nothing wrong",
            "bad" if sick else "",
        ),
        elements.tile(
            "Utilisation",
            with_unit(float(load.mean()), "%") if len(load) else DASH,
            f"SM activity {sm.mean():.0f} %" if len(sm) else "SM activity not told",
        ),
        elements.tile("Least headroom", with_unit(least, "°C"), "to slowdown", tone),
        elements.tile(
            "Power",
            watts(power_mw) if len(power) else DASH,
            f"{share(power_mw, limit_mw, 0)} of the boards' limit" if limit_mw else "",
        ),
        elements.tile(
            "Data age",
            elements.age(None if math.isnan(time_s) else time_s, STALE_S_MIN),
            "newest reading",
        ),
        _agent_tile(known),
    ]


def _agent_tile(known: Past) -> Component:
    row = next(iter(known.of("host")), None)
    if row is None or row.agent_s is None:
        return elements.tile("Agent", DASH, "never heard from")
    spool = f"{plural(row.spool_messages or 0, 'message')} in its spool"
    note = f"reads every {duration(row.sample_interval_ms / 1000)} · {spool}"
    return elements.tile("Agent heard", elements.age(row.agent_s, AGENT_SILENT_S), note)


def _gpus(view: View, sources: Sources, host: Host) -> Component:
    picture, now_s = sources.picture, sources.now_s
    if host.first == host.last:
        return elements.empty("No accelerators", "No inventory of this host lists any.")
    states = picture.states(now_s)
    rows = []
    for position, n in enumerate(range(host.first, host.last)):
        state = State(int(states[n]))
        index = str(int(picture.index_of[n]))
        said = seat.complaints(picture, n, state)
        key = html.I(
            className="line-key", style={"background": f"var(--{charts.colour(position)})"}
        )
        rows.append(
            [
                [key, dcc.Link(f"GPU {index}", href=view.href(gpu=index), className="strong")],
                [
                    elements.state_word(state),
                    html.Small(", ".join(said), title=", ".join(said), className="below"),
                ],
                *(seat.told(picture, n, signal, state, now_s) for signal in ("utilisation", "sm")),
                seat.headroom(picture, n, state, now_s),
                *(seat.told(picture, n, signal, state, now_s) for signal in ("power", "memory")),
            ]
        )
    columns = (
        ("GPU", ""), ("State", "wide"), ("Load", "num"), ("SM", "num"), ("Headroom", "num"),
        ("Power", "num"), ("Memory", "num"),
    )  # fmt: skip
    return elements.table(columns, rows, "tight")


def _export(view: View, window: Window) -> Component:
    times = {"from_": f"{window.start_s:.0f}", "to": f"{window.end_s:.0f}", "range": None}
    href = view.href("/export/events.csv", **times)
    title = "Save all events of this range as CSV"
    return html.A("All as CSV", href=href, className="button", download="", title=title)


def _facts(host: Host, known: Past) -> Component:
    row = next(iter(known.of("host")), None)
    if row is None:
        return elements.empty("Not known", known.trouble or "This host is not in the database.")
    facts = [
        ("Place", " / ".join(part for part in host.place if part) or "nobody said"),
        ("Tray", host.tray),
        ("Provider", row.provider),
        ("Driver", row.driver_version),
        ("NVML", row.library_version),
        ("Kernel", row.kernel_version),
        ("Agent", row.agent_version),
        ("Messages", {True: "signed", False: "not signed", None: None}[row.signed]),
        ("First seen", elements.moment(row.first_seen_s)),
    ]
    return seat.fact_list(facts)
