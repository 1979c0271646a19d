"""Faults by host and day: what the list of worst hosts says is what the events say."""

import random
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from collector.maintenance import count_stale_hosts
from sql import queries
from telemetry.records import Event, EventKind
from telemetry.streams import Stream
from tests.fix_collector import NOW_US, FakeHost, FixedClock, S, Shelf

DAY_US = 86_400 * S
MIDNIGHT_US = NOW_US // DAY_US * DAY_US - 5 * DAY_US
PAUSE_US = 180 * S
FAULTS = (EventKind.XID, EventKind.GPU_LOST, EventKind.DRIVER_HUNG)
NO_FAULTS = (EventKind.AGENT_START, EventKind.GPU_BACK)
EVERY_DAY = "select * from host_faults order by host_id, bucket"
# A few minutes around midnights, where a fault of one day may go on into the next.
AROUND_US = 10 * 60 * S

Told = tuple[str, Event]


def told(chance: random.Random, hosts: list[FakeHost], count: int) -> list[Told]:
    found = []
    for _ in range(count):
        host = chance.choice(hosts)
        day = MIDNIGHT_US + chance.randrange(4) * DAY_US
        near = chance.random() < 0.8
        time_us = day + chance.randrange(-AROUND_US, AROUND_US if near else DAY_US, 10 * S)
        kind = chance.choice(FAULTS + NO_FAULTS)
        of_one = kind in (EventKind.XID, EventKind.GPU_LOST, EventKind.GPU_BACK)
        code = chance.choice((31, 79)) if kind is EventKind.XID else None
        uuid = chance.choice(host.uuids) if of_one else b""
        found.append((host.name, Event(time_us=time_us, kind=kind, accelerator=uuid, code=code)))
    return found


def store_late(
    chance: random.Random, shelf: Shelf, events: list[Told], hosts: list[FakeHost]
) -> None:
    """Store what was told in small batches, of which no host's are in the order of time."""
    waiting = list(events)
    while waiting:
        batch = []
        for _ in range(chance.randrange(1, 5)):
            host = chance.choice(hosts)
            own = [event for name, event in waiting if name == host.name][: chance.randrange(1, 6)]
            waiting = [entry for entry in waiting if entry[1] not in own or entry[0] != host.name]
            batch.append(host.events(*own))
        shelf.store(Stream.EVENTS, *batch)


def counted(events: list[Told], start_us: int, end_us: int) -> dict[str, tuple[Any, ...]]:
    """Faults, accelerators, what and the newest of each host, by their definition."""
    by_accelerator: dict[tuple[str, bytes], list[Event]] = defaultdict(list)
    for host, event in events:
        if event.kind in FAULTS and start_us <= event.time_us < end_us:
            by_accelerator[host, event.accelerator].append(event)
    by_host: dict[str, list[list[Event]]] = defaultdict(list)
    for (host, _), series in by_accelerator.items():
        by_host[host].append(sorted(series, key=lambda event: event.time_us))
    return {
        host: (
            sum(
                at == 0 or event.time_us - series[at - 1].time_us > PAUSE_US
                for series in many
                for at, event in enumerate(series)
            ),
            sum(bool(series[0].accelerator) for series in many),
            sorted({str(e.kind) + (f" {e.code}" if e.code else "") for s in many for e in s}),
            max(series[-1].time_us for series in many) / S,
        )
        for host, many in by_host.items()
    }


def listed(shelf: Shelf, start_us: int, end_us: int, **place: Any) -> dict[str, tuple[Any, ...]]:
    span = {"start_s": start_us / S, "end_s": end_us / S}
    everywhere = {"facility_id": None, "rack_ids": None}
    rows = shelf.rows(queries("dashboard_health")["worst_hosts"], everywhere | span | place)
    assert rows == sorted(rows, key=lambda row: (-row[2], -row[5]))
    return {host: (faults, gpus, sorted(what), at) for _, host, faults, gpus, what, at in rows}


@pytest.mark.parametrize("seed", range(3))
def test_late_and_repeated_events_are_counted_as_if_they_had_come_in_order(
    shelf: Shelf, seed: int
) -> None:
    chance = random.Random(seed)
    hosts = [FakeHost(name=f"node-{n}") for n in range(5)]
    events = told(chance, hosts, 300)
    store_late(chance, shelf, events, hosts)
    for _ in range(30):
        start_us = MIDNIGHT_US + chance.randrange(-DAY_US, 3 * DAY_US, 10 * S)
        if chance.random() < 0.5:  # close to where days meet
            start_us = start_us // DAY_US * DAY_US + chance.randrange(-300, 300, 10) * S
        end_us = start_us + chance.choice((3600 * S, DAY_US, 2 * DAY_US, 4 * DAY_US))
        assert listed(shelf, start_us, end_us) == counted(events, start_us, end_us)
    days = shelf.rows(EVERY_DAY)
    shelf.replay()
    assert shelf.rows(EVERY_DAY) == days
    shelf.rows("select count_faults(array_agg(host_id), array_agg(bucket)) from host_faults")
    assert shelf.rows(EVERY_DAY) == days


def test_the_list_is_of_the_place_that_is_asked_about(shelf: Shelf) -> None:
    at = datetime.fromtimestamp(MIDNIGHT_US / S, UTC)
    for name, facility in (("a", "hall"), ("b", "annex")):
        host = FakeHost(name=name, facility=facility)
        times = (MIDNIGHT_US - DAY_US, MIDNIGHT_US + 3600 * S)
        lost = [Event(time_us=t, kind=EventKind.GPU_LOST, accelerator=host.uuids[0]) for t in times]
        shelf.store(Stream.EVENTS, host.events(*lost))
    span = (MIDNIGHT_US - 2 * DAY_US, MIDNIGHT_US + DAY_US // 2)
    assert set(listed(shelf, *span)) == {"a", "b"}
    whole_days = "select count(*) from host_faults where bucket < %(at)s"
    assert shelf.rows(whole_days, {"at": at}) == [(2,)]
    annex = shelf.one("select facility_id from facilities where facility = 'annex'")
    assert set(listed(shelf, *span, facility_id=annex)) == {"b"}
    rack = shelf.one("select rack_id from hosts where host = 'a'")
    assert set(listed(shelf, *span, rack_ids=[rack])) == {"a"}


def told_of_weeks(chance: random.Random, now_us: int, hosts: list[FakeHost]) -> list[Told]:
    """Events of 40 days, the first hosts with the most, some of them around midnight."""
    found = []
    for _ in range(700):
        host = hosts[int(len(hosts) * chance.random() ** 2)]
        at = now_us - chance.randrange(40) * DAY_US - chance.choice((0, 3600, 40_000)) * S
        if chance.random() < 0.3:
            at = at // DAY_US * DAY_US
        at -= chance.randrange(0, AROUND_US, 10 * S)
        kind = chance.choice((EventKind.GPU_LOST, EventKind.DRIVER_HUNG, EventKind.GPU_BACK))
        uuid = b"" if kind is EventKind.DRIVER_HUNG else chance.choice(host.uuids)
        found.append((host.name, Event(time_us=at, kind=kind, accelerator=uuid)))
    return found


def worst_of(events: list[Told], start_us: int, end_us: int) -> list[tuple[int, float]]:
    """Faults and the newest of the hosts that a list of weeks shows."""
    rows = [(row[0], row[3]) for row in counted(events, start_us, end_us).values()]
    return sorted(rows, reverse=True)[:15]


@pytest.mark.parametrize("seed", range(3))
def test_the_worst_of_weeks_are_found_however_late_events_come(
    shelf: Shelf, fixed_clock: FixedClock, seed: int
) -> None:
    chance = random.Random(seed)
    fixed_clock.time_us = now_us = time.time_ns() // 1000 // S * S
    hosts = [FakeHost(name=f"node-{n}") for n in range(40)]
    events = told_of_weeks(chance, now_us, hosts)
    store_late(chance, shelf, events, hosts)

    def agree() -> None:
        for _ in range(12):
            start_us = now_us - chance.randrange(15 * DAY_US, 31 * DAY_US - 600 * S, 10 * S)
            if chance.random() < 0.5:  # as a fault goes on around midnight
                start_us = start_us // DAY_US * DAY_US + chance.randrange(-200, 200, 10) * S
            start_us = max(start_us, now_us - 31 * DAY_US + 600 * S)
            end_us = chance.choice((now_us, now_us - 3600 * S, start_us + 14 * DAY_US + 10 * S))
            rows = listed(shelf, start_us, end_us)
            everybody = counted(events, start_us, end_us)
            assert [(row[0], row[3]) for row in rows.values()] == worst_of(events, start_us, end_us)
            assert all(everybody[host] == row for host, row in rows.items())

    agree()
    bounds = "select * from host_fault_bounds order by host_id"
    before = shelf.rows(bounds)
    shelf.replay()
    assert shelf.rows(bounds) == before
    with psycopg.connect(shelf.url) as connection:  # a day later
        connection.execute("update host_fault_bounds set counted_at = now() - interval '2 days'")
        # Of days that have passed.
        connection.execute("update host_fault_bounds set faults = faults + 5")
    while count_stale_hosts(shelf.connection, 7):
        pass
    tight = "select host_id, faults::int, newest from host_fault_bounds order by host_id"
    assert shelf.rows(tight) == shelf.rows(
        "select host_id, sum(faults)::int, max(newest) from host_faults"
        " where bucket >= now() - interval '33 days' group by host_id order by host_id"
    )
    agree()
