"""What all time charts have in common: margins, type, the pointer's box, and the axis of time.

Owns these parts of a figure's layout, and how a text from outside is written into one. Colours are
names of the style sheet (`@muted`), times are milliseconds since 1970; the browser puts in the
values of the theme and the zone.
"""

from typing import Any

from dashboard.view import Window

MARGIN_PX = {"l": 46, "r": 14, "t": 8, "b": 40}
# Plotly reads texts as markup and hover texts as templates; these are the entities that it knows.
LITERAL = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "{": "&#123;"})
# Below the first tick of a day stands the day. Plotly's own has the year in it, which is so long
# that on a phone the days at both sides of midnight lie on one another.
DAY_MS = 86_400_000
TICK_FORMATS = [
    {"dtickrange": [1000, 59_999], "value": "%H:%M:%S\n%b %-d"},
    {"dtickrange": [60_000, DAY_MS - 1], "value": "%H:%M\n%b %-d"},
]
TICKS = {"ticks": "outside", "ticklen": 4, "tickcolor": "@hair"}
# Ticks that nobody sees keep labels as far from an axis without a line as those with one.
CLEAR_TICKS = {**TICKS, "tickcolor": "@clear"}


def plain(text: str) -> str:
    """Return a text so that Plotly shows it letter by letter; `assets/46-take.js` undoes it."""
    return text.translate(LITERAL)


def layout(window: Window, height_px: int, margin_px: dict[str, int]) -> dict[str, Any]:
    """Return a layout without axes."""
    return {
        "height": height_px,
        "margin": margin_px,
        "paper_bgcolor": "@clear",
        "plot_bgcolor": "@clear",
        "font": {"family": "Inter, system-ui, sans-serif", "size": 12, "color": "@text"},
        "showlegend": False,
        "hoverlabel": {
            "bgcolor": "@raised",
            "bordercolor": "@hair",
            "font": {"size": 12, "color": "@text"},
            "align": "left",
        },
        "dragmode": "zoom",
        # A new range is a new axis; new data on the same range keeps what the reader zoomed to.
        "uirevision": f"{window.end_s - window.start_s:.0f} {window.live}",
    }


def time_axis(window: Window, *, labelled: bool = True) -> dict[str, Any]:
    """Return the axis of time; without labels where another chart stands right below."""
    axis: dict[str, Any] = {
        "type": "date",
        "range": [window.start_s * 1000, window.end_s * 1000],
        "gridcolor": "@grid",
        "zeroline": False,
        # Left to itself, Plotly turns labels where it is narrow, over those of the day below.
        "tickangle": 0,
        "tickformatstops": TICK_FORMATS,
        "hoverformat": "%Y-%m-%d %H:%M:%S UTC",
    }
    if not labelled:
        return {**axis, "showticklabels": False, "ticks": ""}
    tickfont = {"size": 11, "color": "@muted"}
    return {**axis, **TICKS, "showline": True, "linecolor": "@hair", "tickfont": tickfont}
