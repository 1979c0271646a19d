"""Faults by host and day: what the list of worst hosts says is what the events say."""

import random
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest

from sql import queries
from telemetry.records import Event, EventKind
from telemetry.streams import Stream
from tests.fix_collector import NOW_US, FakeHost, S, Shelf

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
    waiting = list(events)
    while waiting:
        batch = []
        for _ in range(chance.randrange(1, 5)):
            host = chance.choice(hosts)
            own = [event for name, event in waiting if name == host.name][: chance.randrange(1, 6)]
            waiting = [entry for entry in waiting if entry[1] not in own or entry[0] != host.name]
            batch.append(host.events(*own))
        shelf.store(Stream.EVENTS, *batch)
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
