"""The parts that pages are put together from: tiles, bars, sparklines, ages, pills, empty states.

Owns their markup; their looks are in `assets/*.css`, what is painted in
`assets/2*.js`. Pure: values in, components out.
"""

import json
from collections.abc import Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboard import wording
from dashboard.states import LABELS, SENTENCES, State
from dashboard.wording import DASH

Content = Any

# State -> the class that gives it colour and texture.
TONES = {state: f"s-{state.name.lower().replace('_', '-')}" for state in State}
SEVERITIES = ("critical", "warning", "info")


def attributes(values: dict[str, str]) -> Any:
    """Return `aria-` and `data-` attributes; Dash takes them, its type stubs do not know them."""
    return values


def slot(name: str, label: str = "", class_name: str = "") -> Component:
    """Return the place of a live part: it shimmers until its first content comes."""
    named = attributes({"aria-label": label} if label else {})
    return html.Div(id=name, className=f"slot {class_name}", role="group", **named)


def tile(label: Content, value: Content, note: Content = "", tone: str = "") -> Component:
    """Return a figure with its name above and its meaning below."""
    return html.Div(
        [
            html.Div(label, className="tile-label"),
            html.Div(value, className="tile-value"),
            html.Div(note, className="tile-note"),
        ],
        className=f"tile {tone}",
    )


def counted(value: float | None, unit: str) -> Content:
    """Return how many of what, the unit small behind the number and in the right number."""
    shown = wording.brief(value)
    return [shown, html.Small(f" {wording.unit_of(shown, unit)}")]


def bar(parts: Sequence[tuple[int, State]], whole: int, label: str) -> Component:
    """Return a bar of counts by state; what is missing to the whole is drawn as absent."""
    pieces = [
        html.Span(
            className=TONES[state], style={"flexGrow": count}, title=f"{count} {LABELS[state]}"
        )
        for count, state in parts
        if count
    ]
    missing = whole - sum(count for count, _ in parts)
    if missing > 0:
        style = {"flexGrow": missing}
        title = f"{missing} {LABELS[State.ABSENT]}"
        pieces.append(html.Span(className=TONES[State.ABSENT], style=style, title=title))
    return html.Div(pieces, className="bar", role="img", **attributes({"aria-label": label}))


def canvas(kind: str, spec: dict[str, Any], label: str, class_name: str = "") -> Component:
    """Return something that the browser paints from its specification."""
    return html.Canvas(
        className=f"paint {class_name}",
        role="img",
        **attributes(
            {
                "data-paint": kind,
                "data-spec": json.dumps(spec, separators=(",", ":")),
                "aria-label": label,
            }
        ),
    )


def spark(
    values: Sequence[float | None],
    label: str,
    *,
    second: Sequence[float | None] = (),
    start_s: float,
    step_s: int,
    high: float | None = None,
    tone: str = "load",
    unit: str = "%",
    names: tuple[str, str] = ("", ""),
) -> Component:
    """Return a sparkline: an area, and a dashed second line. Gaps and a silent end are hatched."""
    spec = {
        "v": list(values),
        "w": list(second),
        "t": start_s,
        "s": step_s,
        "hi": high,
        "tone": tone,
        "unit": unit,
        "names": names,
    }
    return canvas("spark", spec, label, "spark")


def age(epoch_s: float | None, limit_s: float = 30.0) -> Component:
    """Return an age that counts on by itself, and turns to a warning past its limit."""
    if epoch_s is None:
        return html.Span("never", className="age never")
    return html.Span(
        DASH,
        className="age",
        **attributes({"data-since": f"{epoch_s:.1f}", "data-limit": f"{limit_s:.0f}"}),
    )


def since(epoch_s: float | None) -> Component:
    """Return how long ago something was, counting on, without a judgement."""
    if epoch_s is None:
        return html.Span(DASH)
    return html.Span(DASH, className="since", **attributes({"data-since": f"{epoch_s:.1f}"}))


def moment(epoch_s: float | None, style: str = "moment") -> Component:
    """Return a time that the browser writes in its reader's zone.

    Args:
        epoch_s: seconds since 1970; None is a dash.
        style: `moment`, `day`, `clock`, `minutes` or `short`, as `assets/06-time.js` has them.
    """
    if epoch_s is None:
        return html.Span(DASH)
    named = attributes({"data-time": f"{epoch_s:.0f}", "data-style": style})
    return html.Time(wording.moment(epoch_s), dateTime=wording.iso(epoch_s), **named)


def pills(counts: dict[str, int]) -> Component:
    """Return counts by severity, gravest first; a quiet word where there is none."""
    shown = [
        html.Span(
            str(counts[severity]),
            className=f"pill {severity}",
            title=f"{counts[severity]} {severity}",
        )
        for severity in SEVERITIES
        if counts.get(severity)
    ]
    return html.Div(shown or html.Span("none", className="quiet"), className="pills")


def tag(text: str, tone: str = "") -> Component:
    """Return a word in a frame."""
    return html.Span(text, className=f"tag {tone}")


def state_word(state: State) -> Component:
    """Return the name of a state behind its swatch."""
    return html.Span(
        [html.I(className=f"swatch {TONES[state]}"), LABELS[state]],
        className="state-word",
        title=SENTENCES[state],
    )


def legend(states: Sequence[State]) -> Component:
    """Return swatches with names; each tells its rule when pointed at."""
    return html.Div([state_word(state) for state in states], className="legend")


def ramp(name: str, low: str, high: str) -> Component:
    """Return the scale of a signal with its ends."""
    return html.Div(
        [html.Span(low), html.I(className=f"ramp ramp-{name}"), html.Span(high)],
        className="legend",
    )


def empty(title: str, text: Content, action: Content = None) -> Component:
    """Return what stands where there is nothing to show yet, with what to do about it."""
    return html.Div(
        [html.Strong(title), html.P(text), *([html.Code(action)] if action else [])],
        className="empty",
    )


def well(text: str, *, looked: bool = True) -> Component:
    """Return that nothing is wrong, checked off; not so where there was nothing to look at."""
    return html.Div([html.I(className="tick"), text] if looked else text, className="all-well")


def section(title: str, body: Content, aside: Content = None, class_name: str = "") -> Component:
    """Return a part of a page: its heading, its controls, and how to take away what it shows."""
    head: list[Component] = [html.H2(title)]
    if aside is not None:
        head.append(html.Div(aside, className="aside"))
    takes = [
        html.Button(
            kind.upper(),
            className=f"take take-{kind}",
            title=f"Save {title!r} as {kind.upper()}",
            **attributes({"data-take": kind, "aria-label": f"Save as {kind.upper()}: {title}"}),
        )
        for kind in ("png", "csv")
    ]
    head.append(html.Div(takes, className="takes"))
    return html.Section(
        [html.Div(head, className="section-head"), html.Div(body, className="section-body")],
        className=f"section {class_name}",
    )


def choices(items: Sequence[tuple[str, str, bool]], label: str) -> Component:
    """Return links side by side of which one is chosen: text, address, whether chosen."""
    links = [
        dcc.Link(text, href=href, className="choice chosen" if chosen else "choice")
        for text, href, chosen in items
    ]
    return html.Div(links, className="choices", role="group", **attributes({"aria-label": label}))


def table(
    columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Content]], class_name: str = ""
) -> Component:
    """Return a table: (heading, class) a column; `num` aligns right, `wide` takes the room."""
    head = html.Thead(html.Tr([html.Th(text, className=kind) for text, kind in columns]))
    body = [
        html.Tr(
            [
                html.Td(cell, className=kind, **attributes({"data-label": text}))
                for cell, (text, kind) in zip(row, columns, strict=True)
            ]
        )
        for row in rows
    ]
    return html.Table([head, html.Tbody(body)], className=f"table {class_name}")


def graph(name: str) -> Component:
    """Return the place of a time chart; what is drawn on it with the pointer zooms the page."""
    config: Any = {"displayModeBar": False, "responsive": True, "doubleClick": False}
    return dcc.Graph(id=name, config=config, figure={}, className="timeline")
