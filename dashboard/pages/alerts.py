"""Alerts: incidents first, then alerts, and whether the one who watches is itself awake."""

from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import elements, incidents, shell
from dashboard.broadcast import Slots, Sources
from dashboard.view import View
from dashboard.wording import DASH, moment, number, plural, with_unit

NAME = "Alerts"

QUERIES = ("incidents", "alerts", "evaluators", "rules", "deliveries", "silences")
GOOD_FOR_S = 1.0
SILENT_S = 60.0
OUTCOMES = {"delivered": "good", "retry": "warn", "refused": "bad"}


def layout(view: View) -> list[Component]:
    """Return the fixed parts."""
    return [
        shell.heading(view, "Alerts", times=False),
        elements.slot("alerts-tiles", "Totals", "tiles"),
        elements.section("Incidents", elements.slot("alerts-incidents")),
        elements.section("Alerts", elements.slot("alerts-alerts")),
        html.Div(
            [
                elements.section("Rules", elements.slot("alerts-rules")),
                html.Div(
                    [
                        elements.section("Who was told", elements.slot("alerts-deliveries")),
                        elements.section("Silences", elements.slot("alerts-silences")),
                    ]
                ),
            ],
            className="columns even",
        ),
    ]


async def render(view: View, sources: Sources) -> Slots:
    """Compute the live parts."""
    rows: dict[str, list[Any]] = {}
    for name in QUERIES:

        async def ask(name: str = name) -> list[Any]:
            return await sources.queries.rows("alerts", name)

        rows[name] = await sources.history.get(("alerts", name), GOOD_FOR_S, ask)
    picture = sources.picture
    never = not rows["evaluators"] and not rows["incidents"]
    opened = [row for row in rows["incidents"] if row.state != "resolved"]
    resolved = [row for row in rows["incidents"] if row.state == "resolved"]
    shown = [incidents.listing(view, None if never else opened, picture)]
    if resolved:
        shown.append(html.Div(f"Resolved within a day: {len(resolved)}", className="sub-head"))
        shown.append(incidents.listing(view, resolved, picture))
    return {
        "alerts-tiles": {"children": _tiles(rows, opened, sources.now_s)},
        "alerts-incidents": {"children": shown},
        "alerts-alerts": {"children": _alerts(view, rows["alerts"], sources)},
        "alerts-rules": {"children": _rules(rows["rules"])},
        "alerts-deliveries": {"children": _deliveries(rows["deliveries"])},
        "alerts-silences": {"children": _silences(rows["silences"])},
    }


def _tiles(rows: dict[str, list[Any]], opened: list[Any], now_s: float) -> list[Component]:
    counts = incidents.count_by_severity(opened)
    awake = [row for row in rows["evaluators"] if now_s - row.reported_s < SILENT_S]
    well = [row for row in awake if not row.unhealthy]
    passed = max((row.passed_s for row in awake if row.passed_s is not None), default=None)
    waiting = sum(row.outbox_waiting or 0 for row in awake)
    muted = sum(row.inhibited or row.silenced for row in rows["alerts"])
    watched = "awake" if well else "unhealthy" if awake else "nobody"
    reason = next((row.unhealthy for row in awake if row.unhealthy), "")
    return [
        elements.tile("Critical", str(counts.get("critical", 0)), "incidents", "bad" if counts.get("critical") else ""),
        elements.tile("Warning", str(counts.get("warning", 0)), "incidents", "warn" if counts.get("warning") else ""),
        elements.tile("Info", str(counts.get("info", 0)), "incidents"),
        elements.tile("Alerts open", number(len(rows["alerts"])), f"{muted} wake nobody"),
        elements.tile(
            "Watching",
            watched,
            reason or (f"{plural(len(awake), 'evaluator')}" if awake else "no alerts program reports"),
            "" if well else "bad",
        ),
        elements.tile("Last look", elements.age(passed, SILENT_S), f"{number(waiting)} notices wait"),
    ]  # fmt: skip


def _alerts(view: View, rows: list[Any], sources: Sources) -> Component:
    if not rows:
        return html.Div([html.I(className="tick"), "No open alert."], className="all-well")
    names = {f.facility_id: f for f in sources.picture.facilities}
    shown = []
    for row in rows:
        facility = names.get(row.facility_id)
        place: Any = "whole fleet" if facility is None else facility.title
        if facility is not None and row.host:
            gpu = {} if row.index is None else {"gpu": str(row.index)}
            href = view.elsewhere("/host", facility=facility.slug, host=row.host, **gpu)
            words = row.host if row.index is None else f"{row.host} · GPU {row.index}"
            place = [dcc.Link(words, href=href), html.Small(f" {facility.title}")]
        quiet = "inhibited" if row.inhibited else "silenced" if row.silenced else ""
        shown.append(
            [
                html.I(className=f"mark {row.severity}", title=row.severity),
                [
                    html.B(row.rule.replace("_", " ")),
                    html.Small(" flapping" if row.flapping else ""),
                ],
                place,
                [row.summary, html.Small(row.action)],
                [row.state, html.Small(f" {quiet or row.acknowledged_by or ''}")],
                elements.since(row.started_s),
            ]
        )
    columns = (
        ("", ""), ("Rule", ""), ("Where", ""), ("What, and what to do", "wide"), ("State", ""),
        ("Since", "num"),
    )  # fmt: skip
    return elements.table(columns, shown)


def _rules(rows: list[Any]) -> Component:
    if not rows:
        return elements.empty("No rule loaded", "Rules appear once the alerts program has run.")
    tones = {"ok": "good", "failed": "bad", "disabled": "warn"}
    shown = [
        [
            [html.B(row.title), html.Small(row.error or "")],
            row.severity,
            elements.tag(row.state, tones[row.state]),
            number(row.offenders),
            with_unit(row.pass_milliseconds, "ms", 1),
        ]
        for row in rows
    ]
    columns = (
        ("Rule", "wide"), ("Severity", ""), ("State", ""), ("Offenders", "num"), ("Took", "num"),
    )  # fmt: skip
    return elements.table(columns, shown)


def _deliveries(rows: list[Any]) -> Component:
    if not rows:
        return elements.empty("Nobody was told anything", "No notice has left yet.")
    shown = [
        [
            elements.since(row.time_s),
            row.receiver,
            elements.tag(row.outcome, OUTCOMES[row.outcome]),
            [row.title or DASH, html.Small(row.error or "")],
        ]
        for row in rows
    ]
    columns = (("Ago", "num"), ("Receiver", ""), ("Outcome", ""), ("Incident", "wide"))
    return elements.table(columns, shown)


def _silences(rows: list[Any]) -> Component:
    if not rows:
        return html.Div("Nothing is silenced.", className="all-well")
    shown = [
        [row.rule or "every rule", row.comment, row.author, moment(row.ends_s)] for row in rows
    ]
    return elements.table(
        (("Rule", ""), ("Why", "wide"), ("Author", ""), ("Ends, UTC", "num")), shown
    )
