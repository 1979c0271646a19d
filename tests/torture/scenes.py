"""Schedules that were written by hand: what chance meets too seldom, in the order that it takes.

Pure. Each is for a mistake that only this order shows; without the mistake it has to pass.
"""

from tests.torture.schedule import KINDS, Fault, Kind, Schedule

SECONDS = 20.0
# Never drawn: it waits for a moment of the collector's own, not for one of the clock.
HOLD_AT_WRITE = Kind("group_hold_at_write", "group", 0)
_KINDS = {kind.name: kind for kind in (*KINDS, HOLD_AT_WRITE)}


def _scene(
    name: str,
    *steps: tuple[float, str, int, float],
    collectors: int = 1,
    statement_timeout_s: int | None = None,
) -> Schedule:
    """Return a schedule of steps: when, which kind, to which of several, for how long."""
    faults = tuple(Fault(at_s, _KINDS[name], which, for_s, 0) for at_s, name, which, for_s in steps)
    return Schedule(
        seed=0,
        seconds=SECONDS,
        agents=2,
        collectors=collectors,
        partitions=1,
        commit_interval_ms=0,
        faults=faults,
        scene=name,
        statement_timeout_s=statement_timeout_s,
    )


_ALL = (
    # What an agent has handed to its client is on its disk alone, for the broker is not there.
    _scene(
        "agents_die_while_cut_off",
        (5.0, "broker_cut", 0, 11.0),
        (12.0, "agent_kill", 0, 1.0),
        (12.5, "agent_kill", 1, 1.0),
    ),
    # The database never hears of a commit, and the collector cannot know that. A trap may catch the
    # commit of something else than a batch, so there are several.
    _scene(
        "commits_are_cut_off",
        *((at_s, "route_cut_before_commit", 0, 0.1) for at_s in (5.0, 7.5, 10.0, 12.5, 15.0)),
    ),
    # A batch is given up with its connection whole, so what is remembered outlives it. The lock is
    # on samples, which are written after the marks, and outlasts the statement.
    _scene(
        "batches_wait_for_a_lock_in_vain",
        *((at_s, "database_lock", 0, 3.5) for at_s in (5.0, 10.0, 15.0)),
        statement_timeout_s=2,
    ),
    # The former owner wakes up with a batch in hand that the new one has stored.
    _scene(
        "collector_wakes_up_overtaken",
        (5.0, "group_hold_at_write", 0, 8.0),
        collectors=2,
    ),
)
SCENES = {scene.scene: scene for scene in _ALL}
# Mutants that only luck with seeds would catch; every other one is caught by most seeds.
OF_MUTANTS = {
    "an_unknown_commit_counts_as_done": "commits_are_cut_off",
    "sent_counts_as_confirmed": "agents_die_while_cut_off",
    "marks_outlive_a_failure": "batches_wait_for_a_lock_in_vain",
    "nobody_is_fenced": "collector_wakes_up_overtaken",
}
