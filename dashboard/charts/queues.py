"""The Queues page: what waits and what becomes of it, how long it waits, what comes and goes.

Owns the measures a backlog can be told in, and the outlook: where the trends of the last minutes
to the last hour lead, drawn beyond now as a line with its band. Entries of different units are
never added up, and a queue that does not tell a measure is left out of it and named.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard.charts import series
from dashboard.charts.series import Series
from dashboard.charts.timeline import Figure, Line, Mark, Panel, timeline
from dashboard.view import Window

KEYS = ("facility_id", "source", "queue")
APART_MAX = 6
COLOURS = ("backlog", "load", "second", "third", "heat", "power")
AHEAD_PART = 0.22
# How long a source's last answer counts, and how old a backlog may be to have an outlook.
FRESH_STEPS = 5

Key = tuple[Any, ...]
Parts = dict[Key, Series]


@dataclass(frozen=True, slots=True)
class Measure:
    """A way to tell the size of a backlog: the column, and the unit where only one can be added."""

    label: str
    column: str
    unit: str


def measures(queues: Sequence[Any]) -> dict[str, Measure]:
    """Return the measures that any queue tells, by the word an address has for them."""
    found = {}
    if any(queue.gpus_waiting is not None for queue in queues):
        found["gpus"] = Measure("GPUs", "gpus", "GPUs")
    if any(queue.gpu_seconds_waiting is not None for queue in queues):
        found["hours"] = Measure("GPU-hours", "hours", "GPU-h")
    for unit in sorted({queue.unit for queue in queues if queue.waiting is not None}):
        found[unit] = Measure(unit, "entries", unit)
    return found


def size_now(queue: Any, measure: Measure) -> float | None:
    """Return how much waits in a queue now; None where it does not tell this measure."""
    if measure.column == "gpus":
        return queue.gpus_waiting  # type: ignore[no-any-return]
    if measure.column == "hours":
        seconds = queue.gpu_seconds_waiting
        return None if seconds is None else seconds / 3600
    return queue.waiting if queue.unit == measure.unit else None


def sizes(window: Window, rows: Sequence[Any], measure: Measure) -> Parts:
    """Return what waited in each queue that tells the measure."""
    told = [row for row in rows if measure.column != "entries" or row.unit == measure.unit]
    parts = series.stacked(told, window, measure.column, KEYS)
    return {key: values for key, values in parts.items() if not np.isnan(values).all()}


@dataclass(frozen=True, slots=True)
class Outlook:
    """Where a backlog leads: by the middle trend, and between the fastest and the slowest."""

    middle: Series
    low: Series
    high: Series


def outlook(total: Series, step_s: int, steps: int) -> Outlook | None:
    """Carry the trends of the last minutes to the last hour on; None where too little is known."""
    tail = total[-FRESH_STEPS:]
    if np.isnan(tail).all():
        return None
    now = float(tail[~np.isnan(tail)][-1])
    found = [series.slope(total, step_s, span) for span in series.TREND_SPANS_S]
    slopes = sorted(slope for slope in found if slope is not None)
    if len(slopes) < 2:
        return None
    ahead = np.arange(1, steps + 1) * float(step_s)
    low, middle, high = (
        np.maximum(0.0, now + slope * ahead)
        for slope in (slopes[0], slopes[len(slopes) // 2], slopes[-1])
    )
    return Outlook(middle, low, high)


def figure(
    window: Window,
    rows: Sequence[Any],
    parts: Parts,
    measure: Measure,
    names: Mapping[int, str],
    opened: Sequence[Mark] = (),
) -> Figure:
    """Return the panels; those that no queue tells anything of are left out."""
    total = series.total(parts.values(), window.points)
    steps = max(4, int(window.points * AHEAD_PART)) if window.live else 0
    ahead = outlook(total, window.step_s, steps) if steps else None
    if ahead is None:
        steps = 0
    axis = Window(
        window.start_s, window.end_s + steps * window.step_s, window.step_s, live=window.live
    )
    panels = [
        _waiting(parts, measure, names, steps),
        Panel("Oldest wait", "minutes", _each(window, rows, "oldest", names, steps)),
        Panel("Wait as the source tells it", "ms", _each(window, rows, "wait", names, steps)),
        *_flows(window, rows, steps),
    ]
    told = [p for p in panels if any((~np.isnan(line.values)).any() for line in p.lines)]
    drawn = timeline(axis, told or panels[:1], opened, panel_px=150 if len(told) < 3 else 112)
    if ahead is not None:
        _draw_outlook(drawn, window, ahead)
    return drawn


def _padded(values: Series, steps: int) -> Series:
    return np.append(values, np.full(steps, np.nan))


def _waiting(parts: Parts, measure: Measure, names: Mapping[int, str], steps: int) -> Panel:
    order = sorted(parts, key=lambda key: -float(np.nansum(parts[key])))
    lines = [
        Line(_name(key, names), _padded(parts[key], steps), COLOURS[n], fill="stack")
        for n, key in enumerate(order[:APART_MAX])
    ]
    if rest := [parts[key] for key in order[APART_MAX:]]:
        others = series.total(rest, len(rest[0]))
        lines.append(Line(f"{len(rest)} more", _padded(others, steps), "muted", fill="stack"))
    return Panel("Waiting", measure.unit, lines)


def _each(
    window: Window, rows: Sequence[Any], column: str, names: Mapping[int, str], steps: int
) -> list[Line]:
    """Return a line a queue, the ones with the longest waits."""
    parts = series.stacked(rows, window, column, KEYS)
    told = {key: values for key, values in parts.items() if not np.isnan(values).all()}
    order = sorted(told, key=lambda key: -float(np.nanmax(told[key])))
    return [
        Line(_name(key, names), _padded(told[key], steps), COLOURS[n])
        for n, key in enumerate(order[:APART_MAX])
    ]


def _flows(window: Window, rows: Sequence[Any], steps: int) -> list[Panel]:
    """Return a panel a unit: jobs a minute and requests a minute are never added up."""
    panels = []
    for unit in sorted({row.unit for row in rows}):
        own = [row for row in rows if row.unit == unit]

        def total(column: str, own: Sequence[Any] = own) -> Series:
            parts = series.stacked(own, window, column, KEYS)
            return _padded(series.total(parts.values(), window.points) * 60, steps)

        lines = [
            Line("arrive", total("arrivals"), "load"),
            Line("leave", total("completions"), "third", dash="dash"),
        ]
        panels.append(Panel("Arrival against completion", f"{unit} a minute", lines, digits=1))
    return panels


def _draw_outlook(drawn: Figure, window: Window, ahead: Outlook) -> None:
    """Add the band, the middle line and the moment now to the uppermost panel."""
    first = window.start_s + (window.points - 1) * window.step_s
    times = [(first + n * window.step_s) * 1000 for n in range(1, len(ahead.middle) + 1)]
    low, high = series.rounded(ahead.low), series.rounded(ahead.high)
    drawn["data"] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [*times, *reversed(times)],
            "y": [*low, *reversed(high)],
            "yaxis": "y",
            "fill": "toself",
            "fillcolor": "@band",
            "line": {"width": 0},
            "hoverinfo": "skip",
        },
        *drawn["data"],
        {
            "type": "scatter",
            "mode": "lines",
            "name": "if it goes on so",
            "x": times,
            "y": series.rounded(ahead.middle),
            "customdata": list(zip(low, high, strict=True)),
            "yaxis": "y",
            "line": {"color": "@text", "width": 1.4, "dash": "dot"},
            "hovertemplate": "%{y:,.0f} (%{customdata[0]:,.0f} to %{customdata[1]:,.0f})",
        },
    ]
    most = float(np.max(ahead.high))
    axis = drawn["layout"]["yaxis"]
    # The band may leave the panel, but never makes what was measured unreadably small.
    axis["range"] = [axis["range"][0], max(axis["range"][1], min(most, 1.6 * axis["range"][1]))]
    drawn["layout"]["shapes"].append(
        {
            "type": "line", "xref": "x", "yref": "paper",
            "x0": first * 1000, "x1": first * 1000, "y0": 0, "y1": 1,
            "line": {"color": "@muted", "width": 1}, "layer": "below",
        }
    )  # fmt: skip
    drawn["layout"]["annotations"].append(
        {
            "text": "now", "x": first * 1000, "y": 1, "xref": "x", "yref": "paper",
            "xanchor": "left", "yanchor": "top", "xshift": 3, "yshift": -4,
            "showarrow": False, "font": {"size": 10.5, "color": "@muted"},
        }
    )  # fmt: skip


def _name(key: Key, names: Mapping[int, str]) -> str:
    place = names.get(key[0], "")
    return f"{key[2]} · {place}" if place else str(key[2])


def rate(per_second: float | None) -> str:
    """Return a rate in the unit that keeps it readable; a dash where it is not told."""
    if per_second is None or math.isnan(per_second):
        return "—"
    for size, word in ((1.0, "a second"), (1 / 60, "a minute"), (1 / 3600, "an hour")):
        if per_second >= size:
            return f"{per_second / size:.1f} {word}"
    return f"{per_second * 86_400:.1f} a day"
