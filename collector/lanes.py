"""Which offsets of a partition are not stored yet: the live lane, and what it has left behind.

Owns the arithmetic, pure. Stored is every offset below `next_offset` that is in no span of the
backlog. A split puts what waits into the backlog, so that the live lane goes on at the log's end;
the backlog is read beside it from its oldest offset on. Both stand in one row of the database and
move in the transaction that stores the rows.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

# Only a collector that is too slow for its load for hours comes to so many; then it splits no more.
SPANS_MAX = 100


class Lane(StrEnum):
    """Which of a partition's two readers a record comes from."""

    LIVE = "live"
    BACKLOG = "backlog"


class Span(NamedTuple):
    """Offsets from `first` up to `end`, which is not one of them."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Lanes:
    """Where a partition stands.

    Attributes:
        next_offset: the first offset of the live lane that is not stored.
        backlog: what was left behind and is not stored, oldest first; apart from each other, none
            empty, all of it below `next_offset`.
    """

    next_offset: int
    backlog: tuple[Span, ...] = ()

    @property
    def left(self) -> int:
        """How many offsets the backlog holds."""
        return sum(span.end - span.first for span in self.backlog)

    def lane_of(self, offset: int) -> Lane:
        """Return which lane an offset that is about to be stored belongs to."""
        return Lane.LIVE if offset >= self.next_offset else Lane.BACKLOG

    def start_of(self, lane: Lane) -> int:
        """Return the first offset to read in a lane."""
        return self.backlog[0].first if lane is Lane.BACKLOG and self.backlog else self.next_offset

    def stored(self, offset: int) -> "Lanes":
        """Return where it stands once its lane is stored up to and with an offset.

        An offset that is stored already, however it came here, moves nothing.
        """
        if self.lane_of(offset) is Lane.LIVE:
            return replace(self, next_offset=offset + 1)
        waits = any(span.first <= offset < span.end for span in self.backlog)
        return self.held_from(offset + 1) if waits else self

    def split(self, end: int) -> "Lanes":
        """Leave behind what waits below `end`, and go on there."""
        if end <= self.next_offset or len(self.backlog) >= SPANS_MAX:
            return self
        left = _joined([*self.backlog, Span(self.next_offset, end)])
        return Lanes(end, tuple(left))

    def going_on_at(self, next_offset: int) -> "Lanes":
        """Return the live lane at another offset; what it will read itself is no backlog."""
        below = (Span(span.first, min(span.end, next_offset)) for span in self.backlog)
        return Lanes(next_offset, tuple(span for span in below if span.first < span.end))

    def held_from(self, begin: int) -> "Lanes":
        """Return the same without the backlog's offsets below `begin`."""
        rest = (Span(max(span.first, begin), span.end) for span in self.backlog)
        return replace(self, backlog=tuple(span for span in rest if span.first < span.end))

    def lost_below(self, begin: int) -> list[Span]:
        """Return the backlog's offsets that a log which begins there no longer holds."""
        gone = (Span(span.first, min(span.end, begin)) for span in self.backlog)
        return [span for span in gone if span.first < span.end]


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    held: Span | None = None
    for span in spans:
        if held is not None and held.end == span.first:
            held = Span(held.first, span.end)
            continue
        if held is not None:
            yield held
        held = span
    if held is not None:
        yield held
