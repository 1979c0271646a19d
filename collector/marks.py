"""Which messages of a host are stored: the memory that keeps repeats out.

Owns the set of sequence numbers seen, per host, stream and boot epoch, as the highest one and the
gaps below it; always `last_seq = stored + gaps`. Pure; `store.py` reads and writes it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from telemetry.streams import Stream

# A host whose numbers leave this many holes is out of its mind; its next holes are quarantined.
GAPS_MAX = 1000


class MarkKey(NamedTuple):
    """Whose numbers these are. They start again at 1 with each boot epoch."""

    host_id: int
    stream: Stream
    boot_epoch: int


class Epoch(NamedTuple):
    """One life of a host's agent."""

    host_id: int
    boot_epoch: int


class Gap(NamedTuple):
    """Numbers not stored, both ends included; `reason` says why they never will be, if known."""

    first: int
    last: int
    reason: str | None


class Verdict(Enum):
    """What to do with a message."""

    STORE = auto()
    REPEAT = auto()
    TOO_MANY_GAPS = auto()


@dataclass(slots=True)
class Mark:
    """The numbers of one host, stream and boot epoch.

    Attributes:
        last_seq: the highest number seen; 0 before the first.
        gaps: what is missing below it, in order, never touching with the same reason.
        version: of the stored row; None while there is none.
        stored_messages: since the row was written; as are the next two.
        stored_rows: rows that these messages held.
        repeated_messages: messages that were there already.
        gaps_changed: whether the stored gaps have to be written again.
    """

    last_seq: int = 0
    gaps: list[Gap] = field(default_factory=list)
    version: int | None = None
    stored_messages: int = 0
    stored_rows: int = 0
    repeated_messages: int = 0
    gaps_changed: bool = False

    def accept(self, seq: int) -> Verdict:
        """Decide on a message, and remember it if it is to be stored."""
        if seq == self.last_seq + 1:
            self.last_seq = seq
        elif seq > self.last_seq:
            if len(self.gaps) >= GAPS_MAX:
                return Verdict.TOO_MANY_GAPS
            self._append(Gap(self.last_seq + 1, seq - 1, None))
            self.last_seq = seq
        else:
            verdict = self._fill(seq)
            if verdict is not Verdict.STORE:
                return verdict
        self.stored_messages += 1
        return Verdict.STORE

    def write_off(self, first: int, last: int, reason: str) -> None:
        """Note that numbers will not come, or came and could not be stored.

        Those that are stored stay stored; a gap that has a reason keeps it.
        """
        first = max(first, 1)
        if last < first:
            return
        self.gaps_changed = True
        self.gaps[:] = _merged(_explained(self.gaps, first, last, reason))
        if last > self.last_seq and len(self.gaps) < GAPS_MAX:
            if first > self.last_seq + 1:
                self._append(Gap(self.last_seq + 1, first - 1, None))
            self._append(Gap(max(first, self.last_seq + 1), last, reason))
            self.last_seq = last

    def written(self) -> None:
        """Start counting anew, after the row was committed."""
        self.version = 0 if self.version is None else self.version + 1
        self.stored_messages = self.stored_rows = self.repeated_messages = 0
        self.gaps_changed = False

    def _fill(self, seq: int) -> Verdict:
        """Take one number out of the gap that holds it."""
        at = bisect_left(self.gaps, seq, key=lambda gap: gap.last)
        if at == len(self.gaps) or not self.gaps[at].first <= seq <= self.gaps[at].last:
            self.repeated_messages += 1
            return Verdict.REPEAT
        first, last, reason = self.gaps[at]
        parts = [
            gap
            for gap in (Gap(first, seq - 1, reason), Gap(seq + 1, last, reason))
            if gap[0] <= gap[1]
        ]
        if len(self.gaps) - 1 + len(parts) > GAPS_MAX:
            return Verdict.TOO_MANY_GAPS
        self.gaps[at : at + 1] = parts
        self.gaps_changed = True
        return Verdict.STORE

    def _append(self, gap: Gap) -> None:
        self.gaps_changed = True
        if self.gaps and self.gaps[-1].last + 1 == gap.first and self.gaps[-1].reason == gap.reason:
            gap = Gap(self.gaps.pop().first, gap.last, gap.reason)
        self.gaps.append(gap)


class MarkBook:
    """The marks of all hosts that were met, as of the last commit plus what is in hand.

    An agent that was started a hundred times has a hundred boot epochs; those that a message names
    are here.
    """

    def __init__(self) -> None:
        self._marks: dict[MarkKey, Mark] = {}
        self._known: set[Epoch] = set()
        self._touched: set[MarkKey] = set()

    def unknown(self, epochs: Iterable[Epoch]) -> list[Epoch]:
        """Return the hosts' boot epochs whose marks have to be read first."""
        return sorted(set(epochs) - self._known)

    def learn(self, epochs: Iterable[Epoch], marks: dict[MarkKey, Mark]) -> None:
        """Take over what is stored about them; those without a mark have stored nothing yet."""
        self._known.update(epochs)
        self._marks.update(marks)

    def touch(self, key: MarkKey) -> Mark:
        """Return a mark that is about to change, made if it is new."""
        self._touched.add(key)
        mark = self._marks.get(key)
        if mark is None:
            mark = self._marks[key] = Mark()
        return mark

    def changed(self) -> list[tuple[MarkKey, Mark]]:
        """Return the marks touched since the last commit, in key order."""
        return [(key, self._marks[key]) for key in sorted(self._touched)]

    def committed(self) -> None:
        """What is in hand is stored."""
        for key in self._touched:
            self._marks[key].written()
        self._touched.clear()

    def forget(self) -> None:
        """Nothing known here is certain any more; read it again."""
        self._marks.clear()
        self._known.clear()
        self._touched.clear()


def _explained(gaps: Iterable[Gap], first: int, last: int, reason: str) -> Iterator[Gap]:
    """Yield gaps with `reason` on the parts between `first` and `last` that have none."""
    for gap in gaps:
        if gap.reason is not None or gap.last < first or gap.first > last:
            yield gap
            continue
        if gap.first < first:
            yield Gap(gap.first, first - 1, None)
        yield Gap(max(gap.first, first), min(gap.last, last), reason)
        if gap.last > last:
            yield Gap(last + 1, gap.last, None)


def _merged(gaps: Iterable[Gap]) -> Iterator[Gap]:
    held: Gap | None = None
    for gap in gaps:
        if held is not None and held.last + 1 == gap.first and held.reason == gap.reason:
            held = Gap(held.first, gap.last, gap.reason)
            continue
        if held is not None:
            yield held
        held = gap
    if held is not None:
        yield held
