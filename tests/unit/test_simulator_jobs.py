"""Jobs of a simulated facility: queue and utilisation tell one story."""

import numpy as np
import pytest

from simulator.fleet.jobs import QUEUES, Scheduler, Work

HOSTS, GPUS, PER_RACK = 32, 8, 4
WORK = Work(pressure=0.9, swing=0.0, job_mean_s=240.0)


def scheduler(
    work: Work = WORK, seed: int = 1, hosts: int = HOSTS, start_s: float = 1e6
) -> Scheduler:
    made = Scheduler(hosts, GPUS, PER_RACK, work, np.random.default_rng(seed))
    made.start(start_s)
    return made


def test_gpus_that_run_in_the_queues_are_those_that_are_loaded() -> None:
    made = scheduler()
    for now_s in np.arange(1e6, 1e6 + 1800, 5.0):
        made.advance(float(now_s))
        running = sum(s.gpus_running or 0 for s in made.snapshots(float(now_s), 0))
        assert running == np.count_nonzero(made.ranks)


def test_a_facility_is_busy_from_the_first_second() -> None:
    assert np.count_nonzero(scheduler().ranks) > 0.4 * HOSTS * GPUS


def test_more_work_than_boards_makes_a_backlog_that_grows() -> None:
    made = scheduler(Work(pressure=2.0, swing=0.0, job_mean_s=240.0))
    waiting = []
    for now_s in np.arange(1e6, 1e6 + 3600, 10.0):
        made.advance(float(now_s))
        waiting.append(sum(s.gpus_waiting or 0 for s in made.snapshots(float(now_s), 0)))
    assert waiting[-1] > waiting[0] + HOSTS * GPUS
    assert np.count_nonzero(made.ranks) > 0.8 * HOSTS * GPUS


def test_where_much_waits_little_is_free() -> None:
    made = scheduler(Work(pressure=1.1, swing=0.0, job_mean_s=240.0))
    used = []
    for now_s in np.arange(1e6, 1e6 + 3600, 10.0):
        made.advance(float(now_s))
        waiting = sum(s.gpus_waiting or 0 for s in made.snapshots(float(now_s), 0))
        if waiting > HOSTS * GPUS / 4:
            used.append(np.count_nonzero(made.ranks) / (HOSTS * GPUS))
    assert len(used) > 100
    assert np.mean(used) > 0.85


def test_without_work_everything_is_free() -> None:
    made = scheduler(Work(pressure=0.0))
    assert not made.ranks.any()
    assert [s.waiting for s in made.snapshots(1e6, 0)] == [0.0] * len(QUEUES)


def test_a_gang_holds_whole_hosts_with_one_rank() -> None:
    made = scheduler()
    by_host = made.ranks.reshape(HOSTS, GPUS)
    whole = [row[0] for row in by_host if row[0] and (row == row[0]).all()]
    assert max(map(whole.count, whole)) >= 2


def test_load_follows_the_day() -> None:
    day_s = 86_400.0
    start_s = 12 * day_s
    work = Work(pressure=0.6, swing=0.5, day_s=day_s, job_mean_s=600.0)
    made = scheduler(work, hosts=64, start_s=start_s)
    used: dict[int, list[int]] = {}
    for now_s in np.arange(start_s, start_s + day_s, 120.0):
        made.advance(float(now_s))
        used.setdefault(int((now_s - start_s) // 21_600), []).append(
            int(np.count_nonzero(made.ranks))
        )
    means = {quarter: np.mean(counts) for quarter, counts in used.items()}
    assert means[2] > 1.2 * means[0]  # afternoon against night


def test_the_same_seed_is_the_same_facility() -> None:
    first, again, other = scheduler(seed=5), scheduler(seed=5), scheduler(seed=6)
    assert (first.ranks == again.ranks).all()
    assert (first.ranks != other.ranks).any()


@pytest.mark.parametrize(("hosts", "gpus"), [(1, 1), (1, 8), (3, 4), (2, 1)])
def test_the_smallest_facilities_work(hosts: int, gpus: int) -> None:
    made = Scheduler(hosts, gpus, 4, WORK, np.random.default_rng(1))
    made.start(1e6)
    made.advance(1e6 + 600)
    running = sum(s.gpus_running or 0 for s in made.snapshots(1e6 + 600, 0))
    assert running == np.count_nonzero(made.ranks) <= hosts * gpus


def test_boards_are_held_by_the_jobs_that_load_them() -> None:
    made = scheduler()
    loaded = np.flatnonzero(made.ranks)
    held = {host * GPUS + board: job for host in range(HOSTS) for board, job in made.held(host)}
    assert sorted(held) == loaded.tolist()
    assert {held[slot].rank for slot in held} == set(made.ranks[loaded].tolist())
    assert all(job.started_s <= 1e6 for job in held.values())


def test_a_host_is_touched_when_a_job_of_its_own_begins_or_ends_and_only_then() -> None:
    made = scheduler()
    made.take_touched()
    changes = 0
    for now_s in np.arange(1e6 + 1, 1e6 + 300, 1.0):
        before = [[(board, job.number) for board, job in made.held(n)] for n in range(HOSTS)]
        made.advance(float(now_s))
        after = [[(board, job.number) for board, job in made.held(n)] for n in range(HOSTS)]
        changed = {n for n in range(HOSTS) if before[n] != after[n]}
        assert changed <= made.take_touched()
        changes += len(changed)
    assert changes > 10


def test_numbers_of_jobs_go_on_when_a_facility_is_started_again() -> None:
    first, later = scheduler(), scheduler(start_s=1e6 + 60)
    numbers = [job.number for n in range(HOSTS) for _, job in first.held(n)]
    assert min(job.number for n in range(HOSTS) for _, job in later.held(n)) > min(numbers)
    assert len({job.user for n in range(HOSTS) for _, job in first.held(n)}) > 3
