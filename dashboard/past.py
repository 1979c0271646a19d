"""What the detail pages ask the database for: named queries, remembered, and never fatal to a page.

Owns that a history that is slow or away costs the page that part alone, or nothing where it was
known before: the live part comes from memory and goes on.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dash import html
from dash.development.base_component import Component

from dashboard.sources import Sources
from dashboard.view import STEPS_S, View, Window

# A range of single readings longer than this is cut.
SAMPLES_SPAN_S_MAX = 86_400
# Sums of one accelerator are kept by message for the last hour, by minute, and by hour; beyond this
# span those by minute would be more than a screen shows.
PARTS_SPAN_S = 3600
MINUTES_SPAN_S_MAX = 2 * 86_400
# How long something made is remembered at most, whether or not it changes.
KEPT_S = 600.0

Made = TypeVar("Made")


@dataclass(slots=True)
class Past:
    """Answers by the name of their query; `trouble` says why some are missing or old."""

    rows: dict[str, list[Any]] = field(default_factory=dict)
    trouble: str = ""

    def of(self, name: str) -> list[Any]:
        """Return the rows of a query; none where it failed and never had an answer."""
        return self.rows.get(name, [])


async def ask(
    sources: Sources,
    file: str,
    names: Sequence[str],
    values: Mapping[str, Any],
    *,
    question: Hashable,
    good_for_s: float,
) -> Past:
    """Run named queries of one file; `question` tells these values from others."""
    past = Past()
    for name in names:

        async def answer(name: str = name) -> list[Any]:
            return await sources.queries.rows(file, name, values)

        rows, error = await sources.history.newest((file, name, question), good_for_s, answer)
        if rows is not None:
            past.rows[name] = rows
        if error is not None:
            past.trouble = past.trouble or str(error)
    return past


@dataclass(slots=True)
class _Kept:
    """Something made, and what it was made from."""

    made_from: tuple[object, ...] = ()
    value: Any = None


async def kept(
    sources: Sources,
    question: Hashable,
    made_from: tuple[object, ...],
    make: Callable[[], Made],
) -> Made:
    """Return what `make` makes, and make it only when something of `made_from` has changed.

    Answers of `ask` are the same objects until they are asked again, so that comparing is cheap.
    """

    async def nothing() -> _Kept:
        return _Kept()

    holder: _Kept = await sources.history.get(("kept", question), KEPT_S, nothing)
    if not holder.made_from or holder.made_from != made_from:
        holder.value = make()
        holder.made_from = made_from
    made: Made = holder.value
    return made


def times(view: View) -> tuple[str, str, str]:
    """Return what tells one range of time from another, as long as it is live."""
    return (view.range_name, view.get("from"), view.get("to"))


def steady(window: Window, *, interval_s: float = 0.0, span_s_max: float = 0.0) -> Window:
    """Return a window whose ends move once a step, so that its chart is sent once a step.

    Args:
        window: as the address asks for it.
        interval_s: how often there is a reading; a finer step would draw holes between them.
        span_s_max: the longest span that can be read; more is cut, and said.
    """
    step_s, start_s, note = window.step_s, window.start_s, window.note
    if span_s_max and window.end_s - start_s > span_s_max + step_s:
        start_s = window.end_s - span_s_max
        note = f"single readings are drawn for {span_s_max / 3600:.0f} h at most: the range was cut"
        step_s = next(s for s in STEPS_S if span_s_max / s <= window.points)
    if interval_s > step_s:
        step_s = next((s for s in STEPS_S if s >= interval_s), STEPS_S[-1])
    start_s = start_s // step_s * step_s
    steps = -(-(window.end_s - start_s) // step_s)
    end_s = start_s + steps * step_s if window.live else window.end_s
    return Window(start_s, end_s, step_s, live=window.live, note=note)


def rollup_interval_s(window: Window, now_s: float) -> int:
    """Return how far apart the sums of one accelerator lie in a window."""
    if window.end_s - window.start_s > MINUTES_SPAN_S_MAX:
        return 3600
    return 0 if now_s - window.start_s <= PARTS_SPAN_S + window.step_s else 60


def notes(*texts: str) -> Component | None:
    """Return what must be said about a page's range or history; nothing where nothing must."""
    said = [text for text in texts if text]
    return html.Div([html.Div(text) for text in said], className="note") if said else None
