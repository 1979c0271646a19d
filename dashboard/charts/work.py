"""Lanes of work: which job, pod, container or unit held the accelerators when.

Owns how stored pieces of work become stretches, and how stretches that overlap find room in a few
lanes. Who may see names at all is the database's affair: for a landlord there are no rows.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from dashboard.charts.conditions import LOOKS, Condition, Look
from dashboard.charts.lanes import Lane, Segment
from dashboard.view import Window
from dashboard.wording import plural

WORK_LANES_MAX = 6
LOOK = Look("work", "work", edged=True)
SILENT = LOOKS[Condition.NO_DATA]
# What the agent calls a source, as a person would; a Slurm job is what most of them are.
SOURCES = {"slurm": "job", "kubernetes": "pod", "container": "container", "systemd": "unit"}


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of work on the accelerators of a host.

    Attributes:
        end_s: infinite while it holds one.
        steps: Slurm's steps, or the containers of a pod.
    """

    source: str
    job: str
    user: str
    start_s: float
    end_s: float
    gpu_ids: frozenset[int]
    steps: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What it is called where there is little room."""
        return f"{SOURCES.get(self.source, self.source)} {self.job}"


def works(rows: Iterable[Any], window: Window) -> list[Work]:
    """Return the work of rows of the query `work`, oldest first.

    What ended and began again within a step is drawn as one.
    """
    by_name: dict[tuple[str, str, str], list[Work]] = {}
    for row in sorted(rows, key=lambda row: row.started_s):
        end_s = math.inf if row.is_open else row.ended_s
        new = Work(
            row.source, row.job, row.user_name, row.started_s, end_s,
            frozenset(row.gpu_ids), frozenset(step for step in row.steps if step),
        )  # fmt: skip
        told = by_name.setdefault((row.source, row.job, row.user_name), [])
        if told and new.start_s <= told[-1].end_s + window.step_s:
            last = told.pop()
            new = replace(
                last,
                end_s=max(last.end_s, new.end_s),
                gpu_ids=last.gpu_ids | new.gpu_ids,
                steps=last.steps | new.steps,
            )
        told.append(new)
    found = [work for told in by_name.values() for work in told]
    return sorted(found, key=lambda work: (work.start_s, -work.end_s))


def lanes_of(
    window: Window,
    found: Sequence[Work],
    indices: Mapping[int, int],
    silences: Sequence[Segment] = (),
) -> tuple[list[Lane], int]:
    """Return as few lanes as the work needs, and how much had no room in them.

    Args:
        window: what is drawn.
        found: the work, oldest first.
        indices: the numbers of the host's accelerators, by id.
        silences: when nobody was heard, so that nobody knows what ran.
    """
    free_s: list[float] = []
    rows: list[list[Segment]] = []
    hidden = 0
    for work in found:
        start_s = max(work.start_s, window.start_s)
        end_s = max(min(work.end_s, window.end_s), start_s + window.step_s)
        row = next((n for n, until_s in enumerate(free_s) if until_s <= start_s), len(rows))
        if row == WORK_LANES_MAX:
            hidden += 1
            continue
        if row == len(rows):
            rows.append([])
            free_s.append(0.0)
        free_s[row] = end_s
        rows[row] += _heard(_segment(window, work, end_s, indices), silences)
    if rows:
        rows[0] += silences
    # Names of lanes must differ: spaces without width tell them apart.
    lanes = [Lane("work" + "\u200b" * n, row) for n, row in enumerate(rows)]
    return lanes, hidden


def _segment(window: Window, work: Work, end_s: float, indices: Mapping[int, int]) -> Segment:
    is_open = math.isinf(work.end_s) and window.live
    known_s = min(work.end_s, window.end_s)
    return Segment(
        max(work.start_s, window.start_s),
        end_s,
        LOOK,
        open=is_open,
        text=work.name,
        label=label(work, indices),
        told_s=(work.start_s, known_s),
        more=", ".join(part for part in (seats(work, indices), _steps(work)) if part),
    )


def label(work: Work, indices: Mapping[int, int]) -> str:
    """Return what stands in a stretch: the work, its user, and how many it holds of several."""
    held = f"{len(work.gpu_ids)} of {len(indices)}" if len(indices) > 1 else ""
    return " · ".join(part for part in (work.name, work.user, held) if part)


def seats(work: Work, indices: Mapping[int, int]) -> str:
    """Return which accelerators were held, neighbours as a range."""
    numbers = sorted(indices[gpu_id] for gpu_id in work.gpu_ids if gpu_id in indices)
    cuts = [n + 1 for n, (left, right) in enumerate(pairwise(numbers)) if right != left + 1]
    runs = [numbers[a:b] for a, b in pairwise([0, *cuts, len(numbers)])] if numbers else []
    return "GPU " + ", ".join(
        str(run[0]) if len(run) == 1 else f"{run[0]}\u2013{run[-1]}" for run in runs
    )


def _steps(work: Work) -> str:
    if len(work.steps) > 3:
        return plural(len(work.steps), "step")
    return "step " + ", ".join(sorted(work.steps)) if work.steps else ""


def _heard(segment: Segment, silences: Sequence[Segment]) -> list[Segment]:
    """Return a stretch without the times at which nobody was heard."""
    parts = [segment]
    for silence in silences:
        cut: list[Segment] = []
        for part in parts:
            if silence.end_s <= part.start_s or silence.start_s >= part.end_s:
                cut.append(part)
                continue
            if part.start_s < silence.start_s:
                cut.append(replace(part, end_s=silence.start_s, open=False))
            if silence.end_s < part.end_s:
                cut.append(replace(part, start_s=silence.end_s))
        parts = cut
    return parts
