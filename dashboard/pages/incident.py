"""One incident: what it is, the lives of its alerts, and who was told what.

A part of the Alerts page, shown where its address has an incident or an alert; see `alerts.py`,
which shows the same sentences, alerts and notices of all incidents.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import acts, elements, incidents, past, seat, shell
from dashboard.charts import alerts as charts
from dashboard.charts import lanes
from dashboard.places import Facility
from dashboard.sources import Slots, Sources
from dashboard.view import STEPS_S, View, Window
from dashboard.wording import DASH, plural, with_unit

GOOD_FOR_S = 1.0
ALERTS_SHOWN = 200
NOTICE_TONES = {"sent": "good", "waiting": "warn", "refused": "bad", "expired": "bad"}


def is_chosen(view: View) -> bool:
    """Whether the address has an incident or an alert that can be one."""
    return bool(_number(view, "incident") or _number(view, "alert"))


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    return [
        shell.heading(view, elements.slot("incident-title"), times=False),
        elements.slot("incident-tiles", "Figures", "tiles"),
        elements.slot("incident-what"),
        *filter(None, [acts.controls(view)]),
        elements.section(
            "The life of each alert",
            elements.graph("incident-lanes"),
            elements.slot("incident-legend"),
        ),
        elements.section("What people said", elements.slot("incident-notes")),
        elements.section("Alerts", elements.slot("incident-alerts")),
        html.Div(
            [
                elements.section("Timeline", elements.slot("incident-steps")),
                elements.section("Who was told", elements.slot("incident-notices")),
            ],
            className="columns even",
        ),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    asked = {"incident_id": _number(view, "incident"), "alert_id": _number(view, "alert")}
    question = (asked["incident_id"], asked["alert_id"])
    first = await past.ask(
        sources, "alerts", ("incident",), asked, question=question, good_for_s=GOOD_FOR_S
    )
    row = next(iter(first.of("incident")), None)
    if row is None:
        return _nothing(sources, first.trouble)
    values = {"incident_id": row.incident_id, "limit": ALERTS_SHOWN}
    found = await past.ask(
        sources, "alerts", ("alerts", "transitions", "notices", "notes"), values,
        question=row.incident_id, good_for_s=GOOD_FOR_S,
    )  # fmt: skip
    alerts, steps = found.of("alerts"), found.of("transitions")
    names = {alert.alert_id: _short(alert) for alert in alerts}
    window = _window(row, steps, sources.now_s)
    facility = sources.picture.facility_by_id.get(row.facility_id)
    drawn = charts.alert_lives(window, alerts, steps, list(names.values()))
    return {
        "incident-title": {"children": _title(view, row, facility)},
        "incident-tiles": {"children": _tiles(row)},
        "incident-what": {"children": _what(row, facility)},
        "incident-lanes": {"figure": lanes.figure(window, drawn, alone=True) if drawn else None},
        "incident-legend": {"children": seat.looks_legend(lanes.shown_looks(drawn))},
        "incident-notes": {"children": _notes(found.of("notes"))},
        "incident-alerts": {"children": alert_table(view, sources, alerts)},
        "incident-steps": {"children": _steps(steps, names)},
        "incident-notices": {"children": notices(view, found.of("notices"), named=False)},
    }


def _number(view: View, key: str) -> int | None:
    text = view.get(key)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _nothing(sources: Sources, trouble: str) -> Slots:
    if sources.as_of_s is None or trouble:
        told = elements.empty("Waiting for the database", trouble or sources.trouble)
    else:
        told = elements.empty("No such incident", "It may have been removed after its time.")
    blank = ("tiles", "legend", "alerts", "notes", "steps", "notices")
    return {
        "incident-title": {"children": "Incident"},
        "incident-what": {"children": told},
        **{f"incident-{name}": {"children": None} for name in blank},
    }


def _window(row: Any, steps: Sequence[Any], now_s: float) -> Window:
    """From a little before its beginning to now, or to a little after its end."""
    end_s = now_s if row.resolved_s is None else row.resolved_s
    start_s = min([row.opened_s, *(step.time_s for step in steps)])
    room = max(60.0, 0.05 * (end_s - start_s))
    step_s = next((s for s in STEPS_S if (end_s - start_s) / s <= 200), STEPS_S[-1])
    last = end_s if row.resolved_s is None else end_s + room
    return past.steady(Window(start_s - room, last, step_s, live=row.resolved_s is None))


def _title(view: View, row: Any, facility: Facility | None) -> Component:
    title, _ = incidents.said(row, facility)
    back = dcc.Link("Alerts", href=view.elsewhere("/alerts"))
    return html.Span([back, html.I(className="crumb"), html.Span(title)], className="crumbs")


def _tiles(row: Any) -> list[Component]:
    tone = {"critical": "bad", "warning": "warn"}.get(row.severity, "")
    ended = row.resolved_s is not None
    told = elements.since(row.told_s) if row.told_s else DASH
    rang = [elements.since(row.paged_s), " since it last rang"] if row.paged_s else "rang nobody"
    flapping = "flapping" if row.flapping else ""
    return [
        elements.tile(
            "State", row.state, flapping or row.severity, "" if ended else tone
        ),
        elements.tile("Opened", elements.since(row.opened_s), elements.moment(row.opened_s)),
        elements.tile("Resolved",
                      elements.moment(row.resolved_s, "clock") if ended else "not yet",
                      elements.moment(row.resolved_s, "day") if ended else ""),
        elements.tile("Firing", str(row.firing_count), f"of {plural(row.alerts_count, 'alert')}"
                      + (f", {row.muted_count} muted" if row.muted_count else "")),
        elements.tile("Last told", told, rang),
        elements.tile("Notices", str(row.notices), "sent so far"),
    ]  # fmt: skip


def _what(row: Any, facility: Facility | None) -> Component:
    place = "whole fleet" if facility is None else facility.title
    rule = row.rule.replace("_", " ")
    facts = [
        ("Where", place),
        ("What", row.summary),
        ("Do", row.action),
        ("How", row.runbook),
        ("Rule", f"{rule}: {row.description}" if row.description else rule),
    ]
    return seat.fact_list([fact for fact in facts if fact[1]], "incident-facts")


def sentence(view: View, row: Any, facilities: Mapping[int, Facility]) -> Component:
    """Return an incident as a sentence: what, where, for how long, and who has it."""
    parts = [plural(row.firing_count, "alert")]
    parts += [f"{row.muted_count} muted"] if row.muted_count else []
    parts += ["flapping"] if row.flapping else []
    told: Any = ["told ", elements.since(row.told_s), " ago"] if row.told_s else "told nobody yet"
    return html.Div(
        [
            html.I(className=f"mark {row.severity}", title=row.severity),
            incidents.what(view, row, facilities.get(row.facility_id)),
            html.Div(html.Small(told), className="told on-wide"),
            html.Div([elements.since(row.opened_s)], className="when"),
            html.Div(
                [
                    html.Span(row.state, className=f"incident-{row.state}"),
                    html.Small(" · ".join(parts)),
                ],
                className="who",
            ),
        ],
        className="incident",
    )


def alert_table(view: View, sources: Sources, rows: Sequence[Any]) -> Component:
    """Return alerts with their places, what to do, and why some wake nobody."""
    facilities = sources.picture.facility_by_id
    shown = [
        [
            html.I(className=f"mark {row.severity}", title=row.severity),
            _place(view, facility, row),
            [incidents.of_place(row, facility), html.Small(row.action, className="below")],
            row.rule.replace("_", " "),
            [row.state, html.Small(_why_quiet(row), className="below")],
            elements.since(row.started_s),
        ]
        for row in rows
        for facility in [facilities.get(row.facility_id)]
    ]
    columns = (
        ("Severity", "slim"), ("Where", ""), ("What, and what to do", "wide"), ("Rule", ""),
        ("State", ""), ("Since", "num"),
    )  # fmt: skip
    return elements.table(columns, shown, "tight")


def _place(view: View, facility: Any, row: Any) -> Any:
    if facility is None:
        return "whole fleet"
    if not row.host:
        return dcc.Link(facility.title, href=view.elsewhere("/facility", facility=facility.slug))
    gpu = {} if row.index is None else {"gpu": str(row.index)}
    href = view.elsewhere("/host", facility=facility.slug, host=row.host, **gpu)
    words = row.host if row.index is None else f"{row.host} · GPU {row.index}"
    return [dcc.Link(words, href=href), html.Small(facility.title, className="below")]


def _why_quiet(row: Any) -> str:
    if row.silenced_by:
        return "silenced"
    if row.inhibited_by:
        return "explained by another"
    if row.acknowledged_by:
        return f"by {row.acknowledged_by}"
    return "flapping" if row.flapping else ""


def _short(alert: Any) -> str:
    if not alert.host:
        return str(alert.rule).replace("_", " ")
    return alert.host if alert.index is None else f"{alert.host} GPU {alert.index}"


def _notes(rows: Sequence[Any]) -> Component:
    if not rows:
        return elements.empty("Nothing yet", "Nobody has said anything about this incident.")
    shown = [
        [
            elements.moment(row.time_s),
            row.author,
            f"to {row.text}" if row.kind == "assigned" else row.text,
        ]
        for row in rows
    ]
    return elements.table((("Time", ""), ("By", ""), ("Said", "wide")), shown, "tight")


def _steps(steps: Sequence[Any], names: Mapping[int, str]) -> Component:
    if not steps:
        return elements.empty("Nothing yet", "No change of state is on record.")
    shown = [
        [
            elements.moment(step.time_s),
            names.get(step.alert_id, f"alert {step.alert_id}"),
            f"{step.from_state} to {step.to_state}" if step.from_state else step.to_state,
            [step.author, html.Small(step.note, className="below")],
        ]
        for step in reversed(steps[-60:])
    ]
    columns = (("Time", ""), ("Alert", ""), ("Change", ""), ("By", "wide"))
    return elements.table(columns, shown, "tight")


def notices(view: View, rows: Sequence[Any], *, named: bool) -> Component:
    """Return the outbox: what waits first, then what was sent, each with its last try."""
    if not rows:
        return elements.empty("Nobody was told anything", "No notice has left yet.")
    shown = []
    for row in rows:
        tries = f" after {plural(row.attempts, 'try', 'tries')}" if row.attempts != 1 else ""
        error = row.attempt_error or row.error or ""
        status = "" if row.status is None else f"{row.status} "
        took = "" if error else with_unit(row.duration_milliseconds, "ms")
        href = view.elsewhere("/alerts", incident=str(row.incident_id))
        title = dcc.Link(row.title or DASH, href=href) if row.incident_id else DASH
        shown.append(
            [
                elements.since(row.created_s),
                [row.receiver, html.Small("escalated" if row.escalated else "", className="below")],
                elements.tag(row.state, NOTICE_TONES.get(row.state, "")),
                *([title] if named else []),
                html.Small(f"{status}{error or took}{tries}"),
            ]
        )
    heads = (("Incident", "wide"),) if named else ()
    columns = (("Ago", "num"), ("Receiver", ""), ("State", ""), *heads,
               ("Last try", "" if named else "wide"))  # fmt: skip
    return elements.table(columns, shown, "tight")
