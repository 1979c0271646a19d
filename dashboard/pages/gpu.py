"""One accelerator: state lanes above its main readings, every metric, events, seats, raw readings.

A part of the Hosts page, shown where its address names a GPU; see `host.py`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements, past, seat, shell
from dashboard.broadcast import Slots, Sources
from dashboard.charts import accelerator as charts
from dashboard.charts import lanes
from dashboard.charts.timeline import Figure
from dashboard.pages import metrics
from dashboard.past import Past
from dashboard.picture import STALE_S_MIN, Host
from dashboard.states import SENTENCES, SIGHTLESS, State
from dashboard.view import STEPS_S, View, Window
from dashboard.wording import number, share, with_unit
from telemetry.metrics import Group

GOOD_FOR_S = 5.0
IDENTITY_GOOD_FOR_S = 10.0
RAW_ROWS = 24
RAW_SPAN_S = 600
NEAR_STEPS = 12
READINGS_SPAN_S_MAX = 3600
SLOW_STEP_S = 60


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    return [
        shell.heading(view, elements.slot("gpu-title"), elements.slot("gpu-switch")),
        elements.slot("gpu-note"),
        elements.slot("gpu-tiles", "Figures", "tiles"),
        elements.slot("gpu-alerts"),
        html.Div(
            [
                html.Div(
                    [
                        elements.section(
                            "What it went through",
                            elements.graph("gpu-lanes"),
                            elements.slot("gpu-legend"),
                        ),
                        elements.section("Main readings", elements.graph("gpu-chart")),
                    ]
                ),
                html.Div(
                    [
                        elements.section("Events", elements.slot("gpu-events")),
                        elements.section("Where this board has been", elements.slot("gpu-seats")),
                        elements.section("Identity", elements.slot("gpu-facts")),
                    ]
                ),
            ],
            className="columns detail",
        ),
        elements.section("Every metric", elements.slot("gpu-metrics")),
        elements.section(
            "Readings as stored", elements.slot("gpu-raw"), elements.slot("gpu-exports")
        ),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    picture = sources.picture
    host = seat.find_host(picture, view)
    at = None if host is None else seat.find_gpu(picture, host, view.get("gpu"))
    if host is None or at is None:
        return _nothing(view, sources)
    gpu_id = int(picture.gpu_ids[at])
    spans = _spans(view, sources, float(picture.interval_s[host.position]))
    window = spans.window
    found, slow, known = await _ask(view, sources, host, gpu_id, spans)
    who = next((row for row in known.of("accelerators") if row.gpu_id == gpu_id), None)
    alerts, events = found.of("alerts"), found.of("events")

    def draw() -> tuple[Figure, Component, Figure, Component]:
        near = charts.on_grid(spans.near, found.of("gpu_fast"), Group.FAST)
        grid = near
        if spans.near is not window:
            grid = charts.on_grid(window, found.of("gpu_rollup"), Group.FAST)
        slow_grid = charts.on_grid(spans.coarse, slow.of("gpu_slow"), Group.SLOW)
        parts = ((window, grid), (spans.near, near), (spans.coarse, slow_grid))
        rows = charts.lanes_of(window, grid, alerts)
        return (
            lanes.figure(window, rows),
            seat.looks_legend(lanes.shown_looks(rows)),
            charts.figure(window, grid, who, events),
            metrics.every(parts, who),
        )

    drawn = await past.kept(
        sources,
        ("gpu", gpu_id, past.times(view)),
        (
            spans,
            who,
            alerts,
            events,
            *map(found.of, ("gpu_rollup", "gpu_fast")),
            slow.of("gpu_slow"),
        ),
        draw,
    )
    index = int(picture.index_of[at])
    return {
        "gpu-title": {"children": seat.crumbs(view, picture, host, html.Span(f"GPU {index}"))},
        "gpu-switch": {"children": _siblings(view, sources, host, at)},
        "gpu-note": {
            "children": past.notes(
                window.note,
                spans.coarse.note and f"slow metrics: {spans.coarse.note}",
                found.trouble or slow.trouble,
            )
        },
        "gpu-tiles": {"children": _tiles(sources, host, at, who)},
        "gpu-alerts": {"children": seat.open_alerts(view, alerts)},
        "gpu-lanes": {"figure": drawn[0]},
        "gpu-legend": {"children": drawn[1]},
        "gpu-chart": {"figure": drawn[2]},
        "gpu-events": {"children": seat.event_table(view, events[:20], with_place=False)},
        "gpu-seats": {"children": _seats(view, sources, gpu_id, known.of("seats"))},
        "gpu-facts": {"children": _identity(who)},
        "gpu-metrics": {"children": drawn[3]},
        "gpu-raw": {"children": metrics.raw(found.of("raw_fast"))},
        "gpu-exports": {"children": _exports(view, window)},
    }


@dataclass(frozen=True, slots=True)
class _Spans:
    """What is asked for what span: sums, single readings, and the slow metrics.

    Sums are kept for the main readings alone. The others are shown for the last minutes; a short
    span of the past, where readings can be looked up by accelerator, is drawn from them entirely.
    """

    window: Window
    near: Window
    coarse: Window


def _spans(view: View, sources: Sources, interval_s: float) -> _Spans:
    asked = view.window(sources.now_s)
    if not asked.live and asked.end_s - asked.start_s <= READINGS_SPAN_S_MAX:
        window = near = past.steady(asked, interval_s=interval_s)
    else:
        between_s = past.rollup_interval_s(asked, sources.now_s)
        window = past.steady(asked, interval_s=max(between_s, interval_s))
        step_s = next(s for s in STEPS_S if s >= interval_s or s == STEPS_S[-1])
        start_s = (window.end_s - NEAR_STEPS * step_s) // step_s * step_s
        near = Window(start_s, window.end_s, step_s, live=window.live)
    coarse = past.steady(window, interval_s=SLOW_STEP_S, span_s_max=past.SAMPLES_SPAN_S_MAX)
    return _Spans(window, near, coarse)


async def _ask(
    view: View, sources: Sources, host: Host, gpu_id: int, spans: _Spans
) -> tuple[Past, Past, Past]:
    window, coarse, near = spans.window, spans.coarse, spans.near
    values = {
        "host_id": host.host_id,
        "gpu_id": gpu_id,
        "start_s": window.start_s,
        "end_s": window.end_s,
        "step_s": window.step_s,
    }
    question = (gpu_id, past.times(view))
    found = await past.ask(
        sources, "host", ("gpu_rollup", "events", "alerts"), values,
        question=question, good_for_s=max(GOOD_FOR_S, window.step_s / 4),
    )  # fmt: skip
    near_values = {**values, "start_s": near.start_s, "step_s": near.step_s}
    readings = await past.ask(
        sources, "host", ("gpu_fast",), near_values, question=question, good_for_s=GOOD_FOR_S
    )
    found.rows |= readings.rows
    found.trouble = found.trouble or readings.trouble
    raw = {**values, "start_s": window.end_s - RAW_SPAN_S, "limit": RAW_ROWS}
    rows = await past.ask(
        sources, "host", ("raw_fast",), raw, question=question, good_for_s=GOOD_FOR_S
    )
    found.rows |= rows.rows
    slow_values = values | {"start_s": coarse.start_s, "step_s": coarse.step_s}
    slow = await past.ask(
        sources, "host", ("gpu_slow",), slow_values,
        question=question, good_for_s=max(GOOD_FOR_S, coarse.step_s / 4),
    )  # fmt: skip
    known = await past.ask(
        sources, "host", ("accelerators", "seats"), values,
        question=gpu_id, good_for_s=IDENTITY_GOOD_FOR_S,
    )  # fmt: skip
    return found, slow, known


def _nothing(view: View, sources: Sources) -> Slots:
    if sources.as_of_s is None:
        told = elements.empty("Waiting for the database", sources.trouble or "Connecting …")
    else:
        text = f"Nothing is known of GPU {view.get('gpu')!r} of {view.get('host')!r}."
        told = elements.empty("No such accelerator", text)
    blank = ("note", "tiles", "switch", "legend", "events", "seats", "facts", "metrics", "raw",
             "exports")  # fmt: skip
    return {
        "gpu-title": {"children": f"{view.get('host')} · GPU {view.get('gpu')}"},
        "gpu-alerts": {"children": told},
        **{f"gpu-{name}": {"children": None} for name in blank},
    }


def _siblings(view: View, sources: Sources, host: Host, chosen: int) -> Component:
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


def _tiles(sources: Sources, host: Host, at: int, who: Any) -> list[Component]:
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
            "State", elements.state_word(state), " · ".join(said) or SENTENCES[state], tone
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


def _identity(who: Any) -> Component:
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


def _seats(view: View, sources: Sources, gpu_id: int, rows: Sequence[Any]) -> Component:
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


def _exports(view: View, window: Window) -> Component:
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
