"""One run: a schedule done to a stage, and the verdict by the independent tally.

Owns the order of things and the invariants. The verdict is a record that becomes one line of JSON,
whatever happened; only a broken harness raises.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.torture import books, programs
from tests.torture.schedule import Schedule
from tests.torture.stage import Stage
from tests.torture.tally import Tally, compare, hosts_since
from tests.torture.waiting import PATIENCE_S, are_stored, holds, is_read

CALM_LAST_S = 2.0
COLLECTOR_KIBIBYTES_MAX = 512 * 1024
SESSIONS_A_COLLECTOR_MAX = 3
SPOOL_ROUNDS_MAX = 3
# What a collector logs of a partition that is in two lanes.
LEFT_BEHIND = "messages are left behind"


@dataclass(slots=True)
class Verdict:
    """What became of a run.

    Attributes:
        fresh_s: from the last fault's end until a row issued after it was stored.
        drain_s: from there until everything that was kept was stored.
        backlogs: claims of a partition that found or left messages behind the live lane.
        problems: one sentence each; none where every invariant held.
    """

    seed: int
    commit: str
    stack: str
    seconds: float
    mutant: str
    scene: str
    started_at: str
    faults: dict[str, int]
    issued: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    stored: int = 0
    lost: int = 0
    twice: int = 0
    invented: int = 0
    fresh_s: float | None = None
    drain_s: float | None = None
    backlogs: int = 0
    collector_peak_mebibytes: int = 0
    agent_peak_mebibytes: int = 0
    took_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def is_caught(self) -> bool:
        """Whether what is wrong tells of a mutant: a program that does not run tells nothing."""
        return bool(self.problems) and self.fresh_s is not None

    def as_line(self) -> dict[str, Any]:
        """Return what is logged of it."""
        return {"verdict": "failed" if self.problems else "passed", **asdict(self)}


def torment(
    schedule: Schedule,
    stack: str,
    folder: Path,
    *,
    mutant: str = "",
    say: Callable[[str], None] = print,
) -> Verdict:
    """Run a schedule and judge.

    Args:
        schedule: what to do.
        stack: a key of `stage.STACKS`.
        folder: for logs, spools and tallies; empty.
        mutant: a way in which the product is broken on purpose, or none.
        say: where each fault is told as it happens.
    """
    started_s = time.monotonic()
    verdict = Verdict(
        seed=schedule.seed,
        commit=_commit(),
        stack=stack,
        seconds=schedule.seconds,
        mutant=mutant,
        scene=schedule.scene,
        started_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        faults=schedule.by_kind(),
    )
    with Stage(schedule, stack, folder, mutant) as stage:
        _wreck(stage, schedule, say)
        verdict.problems += _judge(stage, folder, verdict)
        peaks = [program.peak_kibibytes for program in stage.collectors]
        verdict.collector_peak_mebibytes = max(peaks) // 1024
        verdict.backlogs = sum(program.count_said(LEFT_BEHIND) for program in stage.collectors)
        verdict.agent_peak_mebibytes = max(p.peak_kibibytes for p in stage.agents) // 1024
    verdict.took_s = round(time.monotonic() - started_s, 1)
    return verdict


def _wreck(stage: Stage, schedule: Schedule, say: Callable[[str], None]) -> None:
    """Do what the schedule says, and leave everything in order and running."""
    start_s = time.monotonic()
    for at_s, begins, fault in schedule.moments():
        time.sleep(max(0.0, start_s + at_s - time.monotonic()))
        # A fault that takes long itself (a cluster that starts) pushes the later ones back.
        (stage.begin if begins else stage.end)(fault)
        if begins:
            say(f"{time.monotonic() - start_s:7.1f} s: {fault}")
    time.sleep(max(0.0, start_s + schedule.seconds - time.monotonic()))
    stage.heal()


def _judge(stage: Stage, folder: Path, verdict: Verdict) -> Iterator[str]:
    """Yield what is wrong, after everything is in order again."""
    healed_s, healed_us = time.monotonic(), time.time_ns() // 1000
    time.sleep(CALM_LAST_S)
    ended = list(programs.failures((*stage.agents, *stage.collectors)))
    if ended:
        yield from ended
        return
    if holds(lambda: _is_fresh(stage, healed_us)):
        verdict.fresh_s = round(time.monotonic() - healed_s, 1)
    else:
        yield f"no row that was issued after the faults is stored after {PATIENCE_S:.0f} s"
    problems: list[str] = []
    tally = _drain(stage, folder, problems)
    yield from problems
    verdict.drain_s = round(time.monotonic() - healed_s, 1)
    yield from _compare(stage, tally, verdict)
    if verdict.mutant and verdict.lost + verdict.twice + verdict.invented:
        return  # it is caught
    yield from _account(stage)
    yield from _read_again(stage, tally)
    if verdict.mutant:
        return  # only the tally and the books may catch it
    yield from programs.failures(stage.collectors)
    for program in stage.collectors:
        code = program.terminate()
        if code != 0:
            yield f"{program.name} was asked to end, and ended with {code}"
        if program.peak_kibibytes > COLLECTOR_KIBIBYTES_MAX:
            yield f"{program.name} took {program.peak_kibibytes // 1024} MiB"
    for program in (*stage.agents, *stage.collectors):
        yield from (f"{program.name} logged {line[:600]}" for line in program.errors()[:2])


def _drain(stage: Stage, folder: Path, problems: list[str]) -> Tally:
    """Stop the agents, wait until what they have kept is stored, and return the tally."""

    for round_ in range(SPOOL_ROUNDS_MAX):
        for agent in stage.agents:
            agent.start()
        comes = are_stored(stage, read_tally(stage, folder).kept, agents_run=True)
        for agent in stage.agents:
            code = agent.terminate()
            if code != 0:
                problems.append(f"{agent.name} was asked to end, and ended with {code}")
        # What an agent could not send while it ended is in its spool, and the next one sends it.
        # What two of them have not brought, no third one brings.
        if not comes and round_ > 0:
            break
        if comes and are_stored(stage, read_tally(stage, folder).kept, agents_run=False):
            break
    return read_tally(stage, folder)


def _compare(stage: Stage, tally: Tally, verdict: Verdict) -> Iterator[str]:
    stored = books.stored(stage.url)
    comparison = compare(tally, stored)
    verdict.issued, verdict.stored = len(tally.intended), stored.total()
    verdict.kept = tally.kept_by_stream()
    verdict.lost, verdict.twice = len(comparison.lost), len(comparison.twice)
    verdict.invented = len(comparison.invented)
    if not comparison.is_equal:
        yield str(comparison)
    if min(verdict.kept.values(), default=0) < 10:
        yield f"too little was issued to judge: {verdict.kept}"


def _account(stage: Stage) -> Iterator[str]:
    """Hold the product's own books against each other."""
    holds(lambda: not list(books.contradictions(stage.url)), 20.0)
    yield from books.contradictions(stage.url)
    sessions = books.sessions(stage.url)
    if sessions > SESSIONS_A_COLLECTOR_MAX * len(stage.collectors):
        yield f"{sessions} sessions in the database"


def _read_again(stage: Stage, tally: Tally) -> Iterator[str]:
    """Let the whole log be read once more: nothing may change."""
    holds(lambda: is_read(stage))  # an agent's own last words are in no tally
    before, ends = books.checksums(stage.url), books.offsets(stage.url)
    for program in stage.collectors:
        program.kill()
    books.rewind(stage.url)
    for program in stage.collectors:
        program.start()
    if not holds(lambda: books.offsets(stage.url) == ends):
        yield f"the log is not read again: {books.offsets(stage.url)} of {ends}"
    after = books.checksums(stage.url)
    changed = {t: (before[t], after[t]) for t in before if before[t] != after[t]}
    if changed:
        yield f"a second reading of the log changed {changed}"
    comparison = compare(tally, books.stored(stage.url))
    if not comparison.is_equal:
        yield f"after a second reading of the log: {comparison}"


def _is_fresh(stage: Stage, since_us: int) -> bool:
    return hosts_since(books.stored(stage.url), since_us) == {a.name for a in stage.agents}


def read_tally(stage: Stage, folder: Path) -> Tally:
    """Read what the agents have written down so far."""
    tally = Tally()
    for agent in stage.agents:
        lines = (folder / f"{agent.name}.tally").read_text().splitlines()
        tally.read(agent.name, lines)
    return tally


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    found = subprocess.run(
        command, cwd=programs.REPOSITORY, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"
