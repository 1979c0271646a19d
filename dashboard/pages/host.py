"""Host: one host with its accelerators, one of them in full, or all hosts of a rack."""

import math
from typing import Any

import numpy as np
from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements, maps, shell
from dashboard.broadcast import Slots, Sources
from dashboard.charts import facility as facility_charts
from dashboard.charts import host as charts
from dashboard.picture import Facility, Host, Picture
from dashboard.states import SIGHTLESS, TROUBLED, Codes, State
from dashboard.summary import short_place
from dashboard.view import View, Window, epoch
from dashboard.wording import DASH, moment, number, octets, with_unit
from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Kind

NAME = "Host"

RAW_SPAN_S_MAX = 6 * 3600
GOOD_FOR_S = 5.0
IDENTITY_GOOD_FOR_S = 20.0
NEWEST_SPAN_S = 900
GRAPH = {"displayModeBar": False, "responsive": True, "doubleClick": False}
CARD = ("utilisation", "sm", "headroom", "temperature", "power", "memory")


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    return [
        shell.heading(view, elements.slot("host-title")),
        elements.slot("host-note"),
        elements.slot("host-cards", "Accelerators"),
        html.Div(
            [
                html.Div(
                    dcc.Graph(id="host-chart", config=GRAPH, figure={}, className="timeline"),
                    className="section",
                ),
                html.Div(
                    [
                        elements.section("About", elements.slot("host-about")),
                        elements.section("Events", elements.slot("host-events")),
                    ]
                ),
            ],
            className="columns needs-host",
        ),
        elements.slot("host-readings"),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    picture = sources.picture
    facility, hosts = _chosen(view, picture)
    states = picture.states(sources.now_s)
    if not hosts:
        return _nothing(view, sources)
    if len(hosts) > 1 or view.get("host") == "":
        return _rack(view, sources, facility, hosts, states)
    host = hosts[0]
    window, note = _window(view, sources.now_s)
    gpu_ids = [int(n) for n in picture.gpu_ids[host.first : host.last]]
    identity, accelerators, events = await _identity(host, sources)
    chosen = next((a for a in accelerators if str(a.index) == view.get("gpu")), None)
    past = charts.by_accelerator(window, await _past(view, window, host, gpu_ids, sources))
    slots = {
        "host-title": {"children": _title(view, facility, host)},
        "host-note": {"children": html.Div(note, className="note") if note else None},
        "host-cards": {"children": _cards(view, picture, host, states, sources.now_s, chosen)},
        "host-about": {"children": _about(identity, chosen, accelerators)},
        "host-events": {"children": _events(events)},
    }
    if chosen is None:
        names = {a.gpu_id: f"GPU {a.index}" for a in accelerators}
        figure = charts.together(window, past, names, events)
        return {**slots, "host-chart": {"figure": figure}, "host-readings": {"children": None}}
    empty = {name: np.full(window.points, np.nan) for name in charts.COLUMNS}
    limit = chosen.power_limit_default_milliwatts
    figure = charts.single(
        window,
        past.get(chosen.gpu_id, empty),
        None if limit is None else limit / 1000,
        [row for row in events if row.index == chosen.index],
    )
    readings = await _newest(chosen, sources)
    return {
        **slots,
        "host-chart": {"figure": figure},
        "host-readings": {"children": _readings(readings, chosen)},
    }


def _chosen(view: View, picture: Picture) -> tuple[Facility | None, list[Host]]:
    """Return the host of the address, or the hosts of its rack, or of the first rack."""
    facility = picture.facility(view.get("facility"))
    if facility is None and picture.facilities and not view.get("facility"):
        owned = [f for f in picture.facilities if f.seats.stop > f.seats.start]
        facility = owned[0] if owned else None
    if facility is None:
        return None, []
    hosts = picture.hosts[facility.hosts]
    if name := view.get("host"):
        return facility, [host for host in hosts if host.name == name]
    rack = view.get("rack") or (hosts[0].place[2] if hosts else "")
    return facility, [host for host in hosts if host.place[2] == rack]


def _nothing(view: View, sources: Sources) -> Slots:
    if sources.as_of_s is None:
        told = elements.empty("Waiting for the database", sources.trouble or "Connecting …")
    else:
        words = "No host of that name is known here. Search for it above, or choose one on the map."
        told = elements.empty("No such host", words)
    blank = ("host-note", "host-about", "host-events", "host-readings")
    return {
        "host-title": {"children": view.get("host") or "Host"},
        "host-cards": {"children": [told, html.I(className="no-host")]},
        **dict.fromkeys(blank, {"children": None}),
    }


def _window(view: View, now_s: float) -> tuple[Window, str]:
    """Raw samples are asked for a few hours at most."""
    window = view.window(now_s)
    if window.end_s - window.start_s <= RAW_SPAN_S_MAX:
        return window, window.note
    short = View.of(
        view.path, {"from": f"{window.end_s - RAW_SPAN_S_MAX:.0f}", "to": f"{window.end_s:.0f}"}
    ).window(now_s)
    return short, f"single accelerators are shown for {RAW_SPAN_S_MAX // 3600} h at most"


async def _identity(host: Host, sources: Sources) -> tuple[Any, list[Any], list[Any]]:
    values = {"host_id": host.host_id}
    found = []
    for name, good_for_s in (
        ("host", GOOD_FOR_S),
        ("accelerators", IDENTITY_GOOD_FOR_S),
        ("events", GOOD_FOR_S),
    ):

        async def ask(name: str = name) -> list[Any]:
            return await sources.queries.rows("host", name, values)

        question = ("host", name, host.host_id)
        found.append(await sources.history.get(question, good_for_s, ask))
    identity = found[0][0] if found[0] else None
    return identity, found[1], found[2]


async def _past(
    view: View, window: Window, host: Host, gpu_ids: list[int], sources: Sources
) -> list[Any]:
    values = {
        "gpu_ids": gpu_ids,
        "start_s": window.start_s,
        "end_s": window.end_s,
        "step_s": window.step_s,
    }

    async def ask() -> list[Any]:
        return await sources.queries.rows("host", "past", values)

    question = ("past", host.host_id, view.range_name, view.get("from"), view.get("to"))
    rows: list[Any] = await sources.history.get(question, max(GOOD_FOR_S, window.step_s / 4), ask)
    return rows


async def _newest(accelerator: Any, sources: Sources) -> dict[str, Any]:
    """Return the newest value of every metric of one accelerator."""
    readings: dict[str, Any] = {}
    for name, span_s in (("slow", 4 * NEWEST_SPAN_S), ("fast", NEWEST_SPAN_S)):
        values = {"gpu_id": accelerator.gpu_id, "start_s": sources.now_s - span_s}

        async def ask(name: str = name, values: dict[str, Any] = values) -> list[Any]:
            return await sources.queries.rows("host", name, values)

        question = ("newest", name, accelerator.gpu_id)
        rows = await sources.history.get(question, 2.0, ask)
        if rows:
            readings |= rows[0].readings
    return readings


def _title(view: View, facility: Facility | None, host: Host) -> list[Any]:
    if facility is None:
        return [host.name]
    rack = view.elsewhere("/host", facility=facility.slug, rack=host.place[2])
    return [
        host.name,
        html.Small(
            [
                dcc.Link(facility.title, href=view.elsewhere("/facility", facility=facility.slug)),
                " · ",
                dcc.Link(short_place(host.place) or "no rack named", href=rack),
                f" · tray {host.tray}" if host.tray else "",
            ]
        ),
    ]


def _cards(
    view: View, picture: Picture, host: Host, states: Codes, now_s: float, chosen: Any
) -> Component:
    """One card an accelerator, its state first; one that cannot be seen shows no numbers."""
    columns = {name: maps.signal_values(picture, name, now_s) for name in CARD}
    cards = []
    for seat in range(host.first, host.last):
        state = State(int(states[seat]))
        index = int(picture.index_of[seat])
        values = [
            html.Div(
                [html.Small(maps.SIGNALS[name].label), _value(name, columns[name][seat], state)]
            )
            for name in CARD
        ]
        tone = "bad" if state in TROUBLED else ""
        is_chosen = chosen is not None and chosen.index == index
        cards.append(
            dcc.Link(
                [
                    html.Div(
                        [html.B(f"GPU {index}"), elements.state_word(state)], className="card-head"
                    ),
                    html.Div(values, className="card-values"),
                ],
                href=view.href(gpu=None if is_chosen else str(index)),
                className=f"card {tone} {'chosen' if is_chosen else ''}",
            )
        )
    return html.Div(cards, className="cards")


def _value(name: str, value: Any, state: State) -> Component:
    if state in SIGHTLESS or math.isnan(float(value)):
        return html.B(DASH, className="quiet")
    left = float(value)
    tone = ""
    if name == "headroom" and left <= facility_charts.HEADROOM_LOW:
        tone = "bad" if left <= facility_charts.HEADROOM_SPENT else "warned"
    return html.B(with_unit(left, maps.SIGNALS[name].unit), className=tone)


def _about(identity: Any, chosen: Any, accelerators: list[Any]) -> Component:
    if identity is None:
        return elements.empty("Unknown", "The database does not know this host any more.")
    facts: list[tuple[str, Any]] = [
        ("Driver", identity.driver_version),
        ("Kernel", identity.kernel_version),
        ("Agent", identity.agent_version),
        ("Heartbeat", elements.age(identity.heartbeat_s, 60)),
        ("Sampling", None if identity.sample_interval_ms is None
         else f"every {identity.sample_interval_ms / 1000:g} s"),
        ("Slowest tick", None if identity.tick_duration_us is None
         else with_unit(identity.tick_duration_us / 1000, "ms", 1)),
        ("Agent memory", octets(identity.resident_bytes)),
        ("Spooled", None if identity.spool_messages is None
         else f"{number(identity.spool_messages)} messages"),
        ("First seen", moment(identity.first_seen_s)),
    ]  # fmt: skip
    if chosen is not None:
        facts = [
            ("Model", chosen.model),
            ("UUID", html.Code(f"GPU-{chosen.uuid}")),
            ("Serial", html.Code(chosen.serial) if chosen.serial else None),
            ("Board part", chosen.board_part_number),
            ("VBIOS", chosen.vbios_version),
            ("PCI address", chosen.pci_address),
            ("Slot, tray, module", _numbers(chosen.slot_number, chosen.tray_index, chosen.module_id)),
            ("Memory", None if chosen.memory_total_mebibytes is None
             else f"{chosen.memory_total_mebibytes / 1024:.0f} GiB"),
            ("ECC · MIG", f"{_on(chosen.ecc_enabled)} · {_on(chosen.mig_enabled)}"),
            ("Not offered by its driver", ", ".join(chosen.unsupported) or "nothing is missing"),
        ]  # fmt: skip
    elif accelerators:
        facts.insert(0, ("Accelerators", f"{len(accelerators)} x {accelerators[0].model or '?'}"))
    return html.Dl(
        [part for name, value in facts for part in (html.Dt(name), html.Dd(value or DASH))],
        className="facts",
    )


def _numbers(*values: int | None) -> str:
    return " · ".join(DASH if value is None else str(value) for value in values)


def _on(flag: bool | None) -> str:
    return DASH if flag is None else "on" if flag else "off"


def _events(rows: list[Any]) -> Component:
    if not rows:
        return elements.empty("No events", "Nothing is on record for this host.")
    shown = [
        [
            elements.since(row.time_s),
            elements.tag(facility_charts.event_words(row), facility_charts.event_tone(row)),
            "host" if row.index is None else f"GPU {row.index}",
            row.message,
        ]
        for row in rows[:15]
    ]
    return elements.table((("Ago", "num"), ("Event", ""), ("Of", ""), ("", "wide")), shown)


def _readings(readings: dict[str, Any], chosen: Any) -> Component:
    """Every metric of the catalogue: its newest value, not offered, or not read."""
    shown = []
    for metric in CATALOGUE.metrics:
        value = readings.get(metric.name)
        if value is not None and metric.kind is Kind.BITMASK:
            text = f"0x{value:x}"
        elif value is not None:
            scaled = value * metric.scale
            text = with_unit(
                scaled, metric.unit, 0 if abs(scaled) >= 100 or metric.scale == 1 else 1
            )
        else:
            text = "not offered" if metric.name in chosen.unsupported else DASH
        shown.append(
            html.Div(
                [
                    html.Span(metric.label),
                    html.B(text, className="" if value is not None else "quiet"),
                ],
                title=f"{metric.sentence} ({metric.name}; {metric.source})",
            )
        )
    time_s = epoch(str(readings.get("time", "")))
    aside = f"read {moment(time_s)} UTC" if time_s else "nothing was read in the last minutes"
    return elements.section(
        "Every metric", html.Div(shown, className="readings"), html.Small(aside)
    )


def _rack(
    view: View, sources: Sources, facility: Facility | None, hosts: list[Host], states: Codes
) -> Slots:
    """A rack's elevation: its hosts in the order of their trays, each with its accelerators."""
    assert facility is not None  # noqa: S101 - hosts come with their facility
    picture = sources.picture
    headroom = maps.signal_values(picture, "headroom", sources.now_s)
    rows = []
    for host in hosts:
        own = states[host.first : host.last]
        squares = [
            html.I(className=f"swatch big {elements.TONES[State(int(code))]}") for code in own
        ]
        left = headroom[host.first : host.last]
        told = left[~np.isnan(left) & (own < State.LOST)]
        power = picture.readings["power_milliwatts"][host.first : host.last]
        drawn = power[~np.isnan(power) & (own < State.LOST)]
        href = view.elsewhere("/host", facility=facility.slug, host=host.name)
        time_s = float(picture.time_s[host.position])
        rows.append(
            [
                host.tray or DASH,
                dcc.Link(host.name, href=href),
                html.Div(squares, className="squares"),
                with_unit(float(told.min()), "°C") if len(told) else DASH,
                with_unit(float(drawn.sum()) / 1000, "W") if len(drawn) else DASH,
                elements.age(None if math.isnan(time_s) else time_s),
            ]
        )
    columns = (
        ("Tray", "num"), ("Host", ""), ("Accelerators", ""), ("Least headroom", "num"),
        ("Power", "num"), ("Data age", "num"),
    )  # fmt: skip
    title = [
        f"Rack {short_place(hosts[0].place) or 'without a name'}",
        html.Small(
            dcc.Link(facility.title, href=view.elsewhere("/facility", facility=facility.slug))
        ),
    ]
    blank = ("host-note", "host-about", "host-events", "host-readings")
    table = [elements.table(columns, rows), shell.state_legend(), html.I(className="no-host")]
    return {
        "host-title": {"children": title},
        "host-cards": {"children": table},
        **dict.fromkeys(blank, {"children": None}),
    }
