"""What is marked on time charts that are not an accelerator's own: incidents, where they began."""

from html import escape

from dashboard import past
from dashboard.charts.marks import Mark
from dashboard.sources import Sources
from dashboard.view import View, Window

GOOD_FOR_S = 5.0
COLOURS = {"critical": "bad", "warning": "warn"}


async def incident_marks(
    view: View, sources: Sources, window: Window, facility_id: int | None = None
) -> list[Mark]:
    """Return the incidents opened in a window, of one facility or of all; none while unknown."""
    values = {"start_s": window.start_s, "end_s": window.end_s, "facility_id": facility_id}
    found = await past.ask(
        sources, "incidents", ("between",), values,
        question=(facility_id, past.times(view)), good_for_s=GOOD_FOR_S,
    )  # fmt: skip
    return [
        Mark(
            row.opened_s, f"incident: {escape(row.title)} · {escape(row.summary)}",
            COLOURS.get(row.severity, "info"), "triangle-down",
        )
        for row in found.of("between")
    ]  # fmt: skip
