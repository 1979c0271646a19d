"""The independent tally: what was about to be kept, what was kept, and what is stored.

Pure. The lines come from `tallying_agent.py`, which writes them itself; nothing here is read from
the product, and the stored rows are given by whoever asked the database.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

SHOWN_MAX = 3

# The stream, the host, and what identifies and makes up the row.
Row = tuple[int | float | str | None, ...]


@dataclass(slots=True)
class Tally:
    """What one or more hosts have issued.

    Attributes:
        intended: rows that were handed to the outbox; an agent that was killed then may or may not
            have kept them.
        kept: rows of which the outbox has said that they are kept.
    """

    intended: set[Row] = field(default_factory=set)
    kept: set[Row] = field(default_factory=set)

    def read(self, host: str, lines: Iterable[str]) -> None:
        """Take in a host's lines: `["intent" | "kept", stream, [cell, …]]`."""
        for line in lines:
            word, stream, cells = json.loads(line)
            row: Row = (stream, host, *cells)
            rows = {"intent": self.intended, "kept": self.kept}[word]
            if row in rows:
                raise ValueError(f"the tally has {row} twice")
            rows.add(row)

    def kept_by_stream(self) -> dict[str, int]:
        """Return how many rows of each stream were kept."""
        return dict(sorted(Counter(str(row[0]) for row in self.kept).items()))


@dataclass(frozen=True, slots=True)
class Comparison:
    """How what is stored differs from what was issued; all empty where all is well."""

    lost: list[Row]
    twice: list[Row]
    invented: list[Row]

    @property
    def is_equal(self) -> bool:
        """Whether everything is there, once, and nothing else."""
        return not (self.lost or self.twice or self.invented)

    def __str__(self) -> str:
        found = {"lost": self.lost, "twice": self.twice, "invented": self.invented}
        parts = [f"{len(rows)} {word} ({rows[:SHOWN_MAX]})" for word, rows in found.items() if rows]
        return "; ".join(parts) or "equal"


def compare(tally: Tally, stored: Mapping[Row, int]) -> Comparison:
    """Compare a tally with how often each row is stored.

    Cells are part of a row, so a value that was changed on its way is one lost and one invented.
    """
    return Comparison(
        lost=sorted(tally.kept - stored.keys(), key=repr),
        twice=sorted((row for row, times in stored.items() if times > 1), key=repr),
        invented=sorted(stored.keys() - tally.intended, key=repr),
    )


def hosts_since(rows: Iterable[Row], since_us: int) -> set[str]:
    """Return the hosts that have samples of a later time (µs since 1970) among the rows."""
    return {str(row[1]) for row in rows if row[0] == "samples" and int(row[2] or 0) > since_us}
