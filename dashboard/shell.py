"""What surrounds every page: header, navigation, search, live indicator, theme, time range.

Owns the frame of the HTML document, and the search that jumps. Whether the page is live is shown
by `assets/10-live.js`, which alone can tell when nothing comes any more.
"""

from collections.abc import Mapping
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from dashboard import elements
from dashboard.finder import find
from dashboard.maps import SIGNALS
from dashboard.pages import APART
from dashboard.sources import Sources
from dashboard.states import State
from dashboard.view import RANGES_S, View
from telemetry.errors import RetryableError

SEARCH_CHARS_MAX = 80
SEARCH_CHARS_MIN = 2
# A range drawn on one of these becomes the range of the page.
TIME_CHARTS = (
    "facility-chart", "rack-chart", "host-chart", "host-lanes", "gpu-chart", "gpu-lanes",
    "queues-chart", "health-chart", "alerts-lanes", "pipeline-chart",
)  # fmt: skip

KEYS = (
    ("/", "Search for a host, GPU UUID, serial, rack or facility"),
    ("12345678", "Go to a page, in the order of the navigation"),
    ("p", "Pause here, or go on live"),
    ("[]", "Earlier, later, by half of what is shown"),
    ("-", "Twice as much time"),
    ("z", "Times in UTC, or local"),
    ("t", "Theme: automatic, light, dark"),
    ("w", "Wall mode; Escape leaves it"),
    ("?", "This list"),
)


def index_string(version: str) -> str:
    """Return the HTML document around Dash; `early.js` sets the theme before the first paint."""
    return f"""<!DOCTYPE html>
<html lang="en" data-build="{version}">
<head>
<meta charset="utf-8">
{{%metas%}}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark light">
<title>{{%title%}}</title>
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<script src="/assets/early.js"></script>
{{%css%}}
</head>
<body>
{{%app_entry%}}
<footer>{{%config%}}{{%scripts%}}{{%renderer%}}</footer>
</body>
</html>"""


def layout(pages: Mapping[str, str], content: Component) -> Component:
    """Return the document's body: header, page, and what pages share.

    Args:
        pages: names of the pages that the reader may open, by address.
        content: the page.
    """
    links = [
        dcc.Link(name, href=path, id=f"nav-{name.lower()}", className="nav-link")
        for path, name in pages.items()
        if path not in APART
    ]
    return html.Div(
        [
            html.A("Skip to content", href="#content", className="skip"),
            html.Header(
                [
                    dcc.Link(
                        [html.I(className="logo"), html.Span("Fleetgauge")],
                        href="/",
                        className="brand",
                    ),
                    html.Nav(links, id="nav", **elements.attributes({"aria-label": "Pages"})),
                    _search(),
                    _button("zone", "UTC", "Times are in UTC; show them in local time"),
                    _button("theme", "Theme", "Theme: automatic", "icon-button theme"),
                    *([_to_wall()] if "/wall" in pages else []),
                    _button("help-open", "?", "Keyboard shortcuts"),
                    html.Div(
                        [html.I(className="dot"), html.Span("connecting", id="live-text")],
                        id="live",
                        className="live waiting",
                        role="status",
                    ),
                ],
                className="top",
            ),
            html.Div(id="banner", className="banner", role="alert"),
            html.Main(content, id="content", tabIndex="-1"),
            _help(),
            html.Div(id="tip", className="tip", role="tooltip"),
            dcc.Store(id="subscribed"),
            dcc.Store(id="zoomed"),
        ]
    )


def _to_wall() -> Component:
    return dcc.Link(
        "Wall",
        href="/wall",
        id="to-wall",
        className="icon-button to-wall",
        title="Wall mode: big type, for a screen that hangs",
    )


def _button(name: str, text: str, title: str, class_name: str = "text-button") -> Component:
    return html.Button(text, id=name, className=class_name, title=title)


def _help() -> Component:
    """The list of keys: `assets/45-keys.js` opens it and knows what each does."""
    rows = [
        html.Tr([html.Td([html.Kbd(key) for key in keys]), html.Td(does)]) for keys, does in KEYS
    ]
    head = html.Tr([html.Th("Key", scope="col"), html.Th("What it does", scope="col")])
    return html.Dialog(
        [
            html.H2("Keyboard", id="help-title"),
            html.Table([html.Thead(head), html.Tbody(rows)]),
            _button("help-close", "Close", "Close this list"),
        ],
        id="help",
        className="help",
        **elements.attributes({"aria-labelledby": "help-title"}),
    )


def _search() -> Component:
    return html.Div(
        [
            html.Div(id="search-box"),
            html.Kbd("/"),
            html.Div(id="found", className="found slot filled"),
        ],
        className="search",
        role="search",
    )


def page(view: View, body: Any) -> Component:
    """Return a page's content with the marker that makes the browser subscribe to its view."""
    query = view.href().partition("?")[2]
    marker = dcc.Store(id="view", data={"path": view.path, "search": query})
    return html.Div([marker, *body], className="page")


def heading(view: View, title: Any, *controls: Component, times: bool = True) -> Component:
    """Return a page's title line: name at the left, filters and time range at the right."""
    shown = [*controls, time_range(view)] if times else list(controls)
    return html.Div(
        [html.H1(title), html.Div(shown, className="controls")],
        className="heading",
    )


def time_range(view: View) -> Component:
    """Return the control of time: ranges up to now, steps back and forth, pause and live.

    A range of its own stands still; the browser writes it in the zone of its reader.
    """
    chosen = view.range_name
    items = [
        (name, view.href(range=name, from_=None, to=None, at=None), name == chosen)
        for name in RANGES_S
    ]
    window = view.window(0.0)
    marks = {"data-span": f"{RANGES_S.get(chosen, window.end_s - window.start_s):.0f}"}
    shown = [_move("earlier", "Earlier"), elements.choices(items, "Time range")]
    if chosen == "custom":
        marks["data-end"] = f"{window.end_s:.0f}"
        ends: list[Any] = [elements.moment(window.start_s, "short"), " to "]
        ends.append(elements.moment(window.end_s, "short"))
        shown.append(html.Span(ends, className="range-chosen"))
    shown.append(_move("later", "Later"))
    shown.append(_move("pause", "Live" if chosen == "custom" else "Pause"))
    named = {"aria-label": "Time", **marks}
    return html.Div(shown, className="time-range", role="group", **elements.attributes(named))


def _move(how: str, text: str) -> Component:
    named = elements.attributes({"data-move": how})
    return html.Button(text, className=f"move move-{how}", title=text, **named)


def state_legend() -> Component:
    """Return all states that a map may show."""
    return elements.legend([state for state in State if state is not State.MAINTENANCE])


def signal_legend(signal: str) -> Component:
    """Return the legend of a map: its states, or the scale of its signal and what has no value."""
    if signal == "state":
        return state_legend()
    chosen = SIGNALS[signal]
    ends = (f"{chosen.low:g} {chosen.unit}", f"{chosen.high:g} {chosen.unit}")
    without = elements.legend([State.LOST, State.STALE, State.UNKNOWN, State.ABSENT])
    return html.Div([elements.ramp(chosen.ramp, *ends), without], className="legends")


def add_callbacks(app: Dash) -> None:
    """Connect the page's marker to the live line, and what is drawn on a chart to the address."""
    # Dash's own definition carries no types.
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("fleetgauge", "subscribe"),
        Output("subscribed", "data"),
        Input("view", "data"),
    )

    for chart in TIME_CHARTS:
        app.clientside_callback(  # type: ignore[no-untyped-call]
            ClientsideFunction("fleetgauge", "zoom"),
            Output("zoomed", "data", allow_duplicate=True),
            Input(chart, "relayoutData"),
            prevent_initial_call=True,
        )


async def search(words: str, sources: Sources) -> Any:
    """Return what the search box shows below itself: links, or why there are none."""
    wanted = words.strip()[:SEARCH_CHARS_MAX]
    if len(wanted) < SEARCH_CHARS_MIN:
        return []
    try:
        found = await find(wanted, sources)
    except RetryableError as error:
        return html.Div(str(error), className="found-none")
    if not found:
        return html.Div(sources.trouble or "nothing of that name", className="found-none")
    return [
        dcc.Link(
            [html.B(title), html.Span(place), html.Em(kind)], href=href, className="found-item"
        )
        for kind, title, place, href in found
    ]
