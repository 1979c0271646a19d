"""Which work held which accelerator, from tellings that may come late, again, or not at all."""

from typing import Any

import pytest

from telemetry.records import Holder, Workloads
from telemetry.streams import Stream
from tests.fix_collector import NOW_US, FakeHost, S, Shelf

HELD = (
    "select job, step, extract(epoch from started_at)::bigint - %(now)s,"
    " extract(epoch from ended_at)::bigint - %(now)s, processes"
    " from workload_intervals order by started_at, job"
)


def told(host: FakeHost, at_s: int, *jobs: str, **more: Any) -> bytes:
    holders = [
        Holder(accelerator=host.uuids[0], source="slurm", job=job, processes=2, **more)
        for job in jobs
    ]
    return host.events(Workloads(time_us=NOW_US + at_s * S, holders=tuple(holders)))


def held(shelf: Shelf) -> list[Any]:
    return shelf.rows(HELD, {"now": NOW_US // S})


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


def test_a_job_has_a_beginning_and_an_end(shelf: Shelf, host: FakeHost) -> None:
    shelf.store(Stream.EVENTS, told(host, 0, "42", step="0", since_us=NOW_US - 60 * S))
    assert held(shelf) == [("42", "0", -60, None, 2)]
    shelf.store(Stream.EVENTS, told(host, 30))
    assert held(shelf) == [("42", "0", -60, 30, 2)]


def test_one_that_goes_on_keeps_its_beginning(shelf: Shelf, host: FakeHost) -> None:
    shelf.store(
        Stream.EVENTS, told(host, 0, "42"), told(host, 30, "42"), told(host, 60, "42", "43")
    )
    assert held(shelf) == [("42", "", 0, None, 2), ("43", "", 60, None, 2)]


def test_one_that_comes_back_is_another_interval(shelf: Shelf, host: FakeHost) -> None:
    shelf.store(Stream.EVENTS, told(host, 0, "42"), told(host, 30), told(host, 60, "42"))
    assert held(shelf) == [("42", "", 0, 30, 2), ("42", "", 60, None, 2)]


def test_a_telling_that_comes_late_tells_of_its_own_time_only(shelf: Shelf, host: FakeHost) -> None:
    shelf.store(Stream.EVENTS, told(host, 60, "42"))
    shelf.store(Stream.EVENTS, told(host, 0, "41"))
    assert held(shelf) == [("41", "", 0, 0, 2), ("42", "", 60, None, 2)]


@pytest.mark.parametrize("size", [1, 2, 6])
def test_a_backlog_of_tellings_is_history_whatever_is_known_after_it(
    shelf: Shelf, host: FakeHost, size: int
) -> None:
    """Before: 1 ran. In the backlog 1 ends, 2 comes and goes, 3 comes. After it: 3 and 4."""
    shelf.store(Stream.EVENTS, told(host, 0, "1"))
    backlog = [
        told(host, 10, "1"), told(host, 20, "2"), told(host, 30, "2"),
        told(host, 40), told(host, 50, "3"), told(host, 60, "3", "5"),
    ]  # fmt: skip
    begun = {"since_us": NOW_US + 50 * S}
    shelf.store(Stream.EVENTS, told(host, 100, "3", **begun))
    shelf.store(Stream.EVENTS, told(host, 110, "3", "4", **begun))
    for start in range(0, len(backlog), size):
        shelf.store(Stream.EVENTS, *backlog[start : start + size])
    wanted = [
        ("1", "", 0, 20, 2),
        ("2", "", 20, 40, 2),
        ("3", "", 50, None, 2),
        ("5", "", 60, 60, 2),
        ("4", "", 50, None, 2),
    ]
    assert sorted(held(shelf)) == sorted(wanted)
    shelf.replay()
    assert sorted(held(shelf)) == sorted(wanted)


def test_a_telling_told_twice_is_one(shelf: Shelf, host: FakeHost) -> None:
    message = told(host, 0, "42")
    shelf.store(Stream.EVENTS, message, message)
    shelf.replay()
    assert held(shelf) == [("42", "", 0, None, 2)]


def test_a_beginning_after_its_telling_is_the_telling(shelf: Shelf, host: FakeHost) -> None:
    shelf.store(Stream.EVENTS, told(host, 0, "42", since_us=NOW_US + 90 * S))
    assert held(shelf) == [("42", "", 0, None, 2)]


def test_hosts_end_only_their_own(shelf: Shelf, host: FakeHost) -> None:
    other = FakeHost("node-2")
    shelf.store(Stream.EVENTS, told(host, 0, "42"), told(other, 0, "43"), told(other, 30))
    assert [(job, end) for job, _, _, end, _ in held(shelf)] == [("42", None), ("43", 30)]
