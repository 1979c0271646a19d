"""Boards with faults: what the list of repeat offenders says is what the events say."""

import random
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from collector.maintenance import count_stale_boards
from sql import queries
from telemetry.records import Event, EventKind
from telemetry.streams import Stream
from tests.fix_collector import FakeHost, FixedClock, S, Shelf

DAY_US = 86_400 * S
PAUSE_US = 180 * S
SPAN_US = 30 * DAY_US
OFFENCES = (EventKind.XID, EventKind.GPU_LOST, EventKind.ROW_REMAP)
NO_OFFENCES = (EventKind.GPU_BACK, EventKind.XID_BURST)
PROGRAMS_FAULT, NEWLY_GRAVE, UNKNOWN = 31, 13, 79
SHOWN = 15
EVERYWHERE: Mapping[str, Any] = {"facility_id": None, "rack_ids": None}
BOUNDS = "select board, occasions, newest from board_faults order by board"


@dataclass
class World:
    """What is stored, and what the policy and the inventory say by now."""

    now_us: int
    quiet_codes: set[int] = field(default_factory=set)
    serials: dict[bytes, str] = field(default_factory=dict)
    stored: list[Event] = field(default_factory=list)

    def board(self, accelerator: bytes) -> str:
        return self.serials.get(accelerator, str(uuid.UUID(bytes=accelerator)))

    def occasions(self) -> dict[str, tuple[int, int]]:
        """Occasions and the newest time of each board, by their definition."""
        times: dict[str, list[int]] = defaultdict(list)
        for event in self.stored:
            counts = event.kind in OFFENCES and event.code not in self.quiet_codes
            if counts and event.time_us >= self.now_us - SPAN_US:
                times[self.board(event.accelerator)].append(event.time_us)
        found = {}
        for board, series in times.items():
            series.sort()
            pairs = zip([float("-inf"), *series], series, strict=False)
            found[board] = (sum(at - before > PAUSE_US for before, at in pairs), series[-1])
        return found

    def offenders(self) -> list[tuple[str, int, int]]:
        rows = [(b, count, at) for b, (count, at) in self.occasions().items() if count > 1]
        return sorted(rows, key=lambda row: (-row[1], -row[2]))[:SHOWN]


def listed(shelf: Shelf, **place: Any) -> list[tuple[str, int, int]]:
    rows = shelf.rows(queries("dashboard_health")["offenders"], {**EVERYWHERE, **place})
    return [(row[0], row[2], round(row[9] * S)) for row in rows]


def change(shelf: Shelf, statement: str, *values: Any) -> int:
    with psycopg.connect(shelf.url) as connection:
        return connection.execute(statement, values).rowcount


def told(chance: random.Random, world: World, hosts: list[FakeHost]) -> dict[str, list[Event]]:
    """Events of each host, in clusters around a few instants, the oldest longer ago than counts."""
    found: dict[str, list[Event]] = {host.name: [] for host in hosts}
    instants = [world.now_us - chance.randrange(DAY_US, 35 * DAY_US) for _ in range(12)]
    instants = [at - DAY_US * (29 < (world.now_us - at) / DAY_US < 31) * 3 for at in instants]
    for number in range(500):
        host = chance.choice(hosts)
        kind = chance.choice(OFFENCES * 3 + NO_OFFENCES)
        code = chance.choice((PROGRAMS_FAULT, NEWLY_GRAVE, UNKNOWN))
        at = chance.choice(instants) + chance.randrange(-600, 600, 20) * S + number
        event = Event(
            time_us=at,
            kind=kind,
            accelerator=host.uuids[int(host.gpus * chance.random() ** 2)],
            code=code if kind in (EventKind.XID, EventKind.XID_BURST) else None,
        )
        found[host.name].append(event)
    return found


def name_boards(shelf: Shelf, world: World, hosts: list[FakeHost]) -> None:
    """Tell serials of every second accelerator; some boards have sat in two hosts."""
    for n, accelerator in enumerate(u for host in hosts for u in host.uuids):
        if n % 2:
            serial, key = f"serial-{n % 17}", uuid.UUID(bytes=accelerator)
            statement = "update accelerators set serial = %s where uuid = %s"
            if change(shelf, statement, serial, key):
                world.serials[accelerator] = serial


@pytest.mark.parametrize("seed", range(2))
def test_late_and_repeated_events_new_serials_and_a_new_policy_are_counted(
    shelf: Shelf, fixed_clock: FixedClock, seed: int
) -> None:
    chance = random.Random(seed)
    fixed_clock.time_us = time.time_ns() // 1000
    world = World(fixed_clock.time_us, {PROGRAMS_FAULT, NEWLY_GRAVE})
    hosts = [FakeHost(name=f"node-{n}", gpus=8) for n in range(5)]
    for code in world.quiet_codes:
        change(shelf, "insert into xid_policy values (%s, '', '', '', null, '', '')", code)
    waiting = told(chance, world, hosts)
    batches = 0
    while any(waiting.values()):
        batch = []
        for host in chance.sample(hosts, 3):
            size = chance.randrange(1, 16)
            own, waiting[host.name] = waiting[host.name][:size], waiting[host.name][size:]
            world.stored += own
            batch += [host.events(*own)] if own else []
        shelf.store(Stream.EVENTS, *batch)
        batches += 1
        if batches == 6:
            name_boards(shelf, world, hosts)
        if batches == 12:
            world.quiet_codes.remove(NEWLY_GRAVE)
            change(shelf, "update xid_policy set severity = 'warning' where code = %s", NEWLY_GRAVE)
        assert listed(shelf) == world.offenders()
        bounds = {board: (count, at.timestamp()) for board, count, at in shelf.rows(BOUNDS)}
        for board, (count, at_us) in world.occasions().items():
            assert bounds[board][0] >= count
            assert bounds[board][1] >= at_us / S
    assert batches > 12
    before = shelf.rows(BOUNDS)
    shelf.replay()
    assert shelf.rows(BOUNDS) == before
    # A day later.
    change(shelf, "update board_faults set counted_at = counted_at - interval '2 days'")
    while count_stale_boards(shelf.connection, 7):
        pass
    tight = {board: (count, round(at.timestamp() * S)) for board, count, at in shelf.rows(BOUNDS)}
    assert tight == world.occasions()
    assert listed(shelf) == world.offenders()


def test_a_board_that_moved_is_listed_once_where_it_was_last_seen(
    shelf: Shelf, fixed_clock: FixedClock
) -> None:
    fixed_clock.time_us = now_us = time.time_ns() // 1000
    for days_ago, name, facility in ((9, "a", "hall"), (2, "b", "annex")):
        host = FakeHost(name=name, facility=facility)
        lost = Event(
            time_us=now_us - days_ago * DAY_US,
            kind=EventKind.GPU_LOST,
            accelerator=host.uuids[0],
        )
        shelf.store(Stream.EVENTS, host.events(lost))
    assert listed(shelf) == []
    change(shelf, "update accelerators set serial = 'moved'")
    moved = [("moved", 2, now_us - 2 * DAY_US)]
    assert listed(shelf) == moved
    places = dict(shelf.rows("select host, (facility_id, rack_id) from hosts"))
    for name, rows in (("a", []), ("b", moved)):
        facility_id, rack_id = (int(part) for part in places[name])
        assert listed(shelf, facility_id=facility_id) == rows
        assert listed(shelf, rack_ids=[rack_id]) == rows
    (row,) = shelf.rows(queries("dashboard_health")["offenders"], EVERYWHERE)
    assert row[3] == 2  # seats
    assert row[6] == "b"
