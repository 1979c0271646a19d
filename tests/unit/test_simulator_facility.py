"""A simulated facility: its messages are an agent's, and its faults are seen in them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from simulator.fleet import scenario
from simulator.fleet.facility import Cadence, SimulatedFacility
from simulator.fleet.jobs import Work
from simulator.fleet.layout import Plan
from simulator.fleet.scenario import Fault, Scenario
from simulator.nvml import profile
from simulator.voice import Outgoing
from telemetry import packing, wire
from telemetry.catalogue import CATALOGUE
from telemetry.errors import ConfigError
from telemetry.metrics import Group
from telemetry.records import (
    Dropped,
    Event,
    EventKind,
    Heartbeat,
    Inventory,
    ReaderStatus,
    Workloads,
)
from telemetry.streams import Stream
from telemetry.wire import SamplesHeader

START_US = 1_800_000_000_000_000
FAST = {metric.name for metric in CATALOGUE.group(Group.FAST)}


def make(
    *faults: Fault, hosts: int = 6, first_host: int = 0, board: str = "h100"
) -> SimulatedFacility:
    return SimulatedFacility(
        Plan("t", "site", hosts, 4, 2),
        profile.load(board),
        seed=1,
        boot_epoch=7,
        scenario=Scenario(title="a test", faults=faults),
        work=Work(job_mean_s=60.0),
        cadence=Cadence(),
        first_host=first_host,
    )


def run(facility: SimulatedFacility, ticks: int) -> list[list[Outgoing]]:
    """The messages of the start, of each tick, and of the end."""
    made = [list(facility.start(START_US))]
    made += [list(facility.tick(START_US + n * 1_000_000)) for n in range(ticks)]
    return [*made, list(facility.stop(START_US + ticks * 1_000_000))]


def flat(parts: Iterable[list[Outgoing]]) -> list[Outgoing]:
    return [message for part in parts for message in part]


def fast_samples(messages: Iterable[Outgoing], host: str) -> list[packing.Samples]:
    found = []
    for outgoing in messages:
        if outgoing.stream is Stream.SAMPLES and outgoing.voice.host == host:
            samples = packing.unpack(wire.decode(outgoing.value))
            if "power_milliwatts" in samples.columns:
                found.append(samples)
    return found


def events_of(messages: Iterable[Outgoing], kind: EventKind) -> list[tuple[str, Event]]:
    return [
        (outgoing.voice.host, record)
        for outgoing in messages
        if outgoing.stream is Stream.EVENTS
        for record in wire.decode_events(wire.decode(outgoing.value))
        if isinstance(record, Event) and record.kind is kind
    ]


def test_every_tick_of_every_host_is_sent_once_and_in_order() -> None:
    messages = flat(run(make(), 45))
    for host in (f"site-{n:05d}" for n in range(1, 7)):
        times = [time for samples in fast_samples(messages, host) for time in samples.times_us]
        assert times == sorted(set(times))
        assert times == [START_US + n * 1_000_000 for n in range(len(times))]
        assert len(times) == 45


def test_sequences_have_no_holes_and_heartbeats_name_their_ends() -> None:
    facility = make()
    messages = flat(run(facility, 25))
    last: dict[tuple[str, str], int] = {}
    for outgoing in messages:
        header = wire.decode(outgoing.value).header
        place = (header.host, outgoing.stream)
        assert header.seq == last.get(place, 0) + 1
        last[place] = header.seq
        if outgoing.stream is Stream.EVENTS:
            for record in wire.decode_events(wire.decode(outgoing.value)):
                if isinstance(record, Heartbeat):
                    for stream, seq in record.last_seqs.items():
                        assert seq == last[header.host, stream]


def test_all_values_are_inside_the_catalogues_ranges() -> None:
    faults = (
        Fault(kind="hot_rack", at_s=2, rack=1, value=60),
        Fault(kind="runaway", at_s=2, host=1, gpu=1),
        Fault(kind="power_brake", at_s=2, host=0, gpu=0),
    )
    for outgoing in flat(run(make(*faults), 65)):
        if outgoing.stream is Stream.SAMPLES:
            for name, values in packing.unpack(wire.decode(outgoing.value)).columns.items():
                metric = CATALOGUE.by_name[name]
                assert all(value is None or metric.holds(value) for value in values), name


@pytest.mark.parametrize("board", profile.names())
def test_every_metric_is_either_sent_or_called_unsupported(board: str) -> None:
    sent: set[str] = set()
    unsupported: set[str] = set()
    for outgoing in flat(run(make(board=board), 2)):
        message = wire.decode(outgoing.value)
        if outgoing.stream is Stream.SAMPLES:
            sent |= set(packing.unpack(message).columns)
        elif outgoing.stream is Stream.EVENTS:
            for record in wire.decode_events(message):
                if isinstance(record, Inventory):
                    unsupported |= set(record.accelerators[0].unsupported)
    assert sent | unsupported == set(CATALOGUE.by_name)
    assert not sent & unsupported


def test_hosts_take_turns_after_the_first_tick() -> None:
    parts = run(make(hosts=20), 21)
    senders = [
        {o.voice.host for o in part if o.stream is Stream.SAMPLES and is_fast(o)} for part in parts
    ]
    assert len(senders[1]) == 20
    assert {len(part) for part in senders[2:-1]} == {2}


def is_fast(outgoing: Outgoing) -> bool:
    header = wire.decode(outgoing.value).header
    assert isinstance(header, SamplesHeader)
    return wire.parse_layout(header.layout).entries[0][0] == 1


def test_a_lost_board_has_a_status_and_nothing_else() -> None:
    facility = make(Fault(kind="lost", host=2, gpu=1, at_s=3, until_s=20))
    messages = flat(run(facility, 40))
    lost = facility.hosts[2].uuids[1]
    assert [(h, e.accelerator) for h, e in events_of(messages, EventKind.GPU_LOST)] == [
        ("site-00003", lost)
    ]
    assert [e.code for _, e in events_of(messages, EventKind.XID)] == [79]
    assert len(events_of(messages, EventKind.GPU_BACK)) == 1
    rows = [
        (time, samples.columns["reader_status_code"][4 * at + 1], power, neighbour)
        for samples in fast_samples(messages, "site-00003")
        for at, time in enumerate(samples.times_us)
        for power, neighbour in [samples.columns["power_milliwatts"][4 * at + 1 : 4 * at + 3]]
    ]
    for time, status, power, neighbour in rows:
        away = 3 <= (time - START_US) // 1_000_000 < 20
        assert status == (ReaderStatus.LOST if away else ReaderStatus.WHOLE)
        assert (power is None) == away
        assert neighbour is not None


def test_a_silent_host_says_nothing_and_then_hello() -> None:
    parts = run(make(Fault(kind="silent", host=0, at_s=5, until_s=25)), 40)
    heard = [any(o.voice.host == "site-00001" for o in part) for part in parts]
    assert not any(heard[6:26])
    back = [o for o in parts[26] if o.voice.host == "site-00001"]
    assert events_of(back, EventKind.AGENT_START)
    queues = [o.voice.host for part in parts[6:26] for o in part if o.stream is Stream.QUEUES]
    assert set(queues) == {"site-00002"}


def test_a_hot_rack_is_hotter_than_its_neighbour() -> None:
    facility = make(Fault(kind="hot_rack", rack=1, at_s=1, value=25))
    messages = flat(run(facility, 30))
    hot, cool = (
        max(v or 0 for v in fast_samples(messages, host)[-1].columns["temperature_memory_celsius"])
        for host in ("site-00003", "site-00001")
    )
    assert hot > cool


def test_hosts_before_the_first_one_leave_speaking_to_real_agents() -> None:
    messages = flat(run(make(first_host=4), 15))
    assert {outgoing.voice.host for outgoing in messages} == {"site-00005", "site-00006"}


def test_what_was_never_delivered_is_said_with_the_next_heartbeat() -> None:
    facility = make()
    flat(run(facility, 1))
    voice = facility.voices[0]
    voice.undelivered.append((Stream.SAMPLES, 1))
    records = wire.decode_events(wire.decode(voice.heartbeat(START_US, 1000).value))
    dropped = [record for record in records if isinstance(record, Dropped)]
    assert [(d.stream, d.first_seq, d.last_seq, d.reason) for d in dropped] == [
        ("samples", 1, 1, "undelivered")
    ]
    again = wire.decode_events(wire.decode(voice.heartbeat(START_US, 1000).value))
    assert not [record for record in again if isinstance(record, Dropped)]


def test_two_runs_are_one_facility() -> None:
    first, again = flat(run(make(), 12)), flat(run(make(), 12))
    assert [(o.stream, o.value) for o in first] == [(o.stream, o.value) for o in again]


@pytest.mark.parametrize("name", scenario.names())
def test_shipped_scenarios_run(name: str) -> None:
    loaded = scenario.load(name)
    schedule = scenario.Schedule(loaded, 32, 8, np.random.default_rng(1))
    changes = [change for now_s in range(0, 3600, 5) for change in schedule.due(float(now_s))]
    assert (name == "healthy") == (not [c for c in changes if c.fault.kind != "xid"])


def test_a_repeated_fault_comes_again() -> None:
    fault = Fault(kind="lost", at_s=10, until_s=20, every_s=100)
    schedule = scenario.Schedule(
        Scenario(title="t", faults=(fault,)), 1, 1, np.random.default_rng(1)
    )
    found = [(change.at_s, change.begins) for change in schedule.due(125.0)]
    assert found == [(10, True), (20, False), (110, True), (120, False)]


@pytest.mark.parametrize(
    "text",
    ["title = 1", "[[faults]]\nkind = 'fire'", "title = 'x'\nheat = 3", "title = 'x", ""],
)
def test_a_bad_scenario_file_stops_the_start(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.toml:scenario"):
        scenario.load(str(path))


def test_an_unknown_scenario_names_those_that_exist() -> None:
    with pytest.raises(ConfigError, match="bad-day, healthy, hot-rack"):
        scenario.load("calm")


def told_work(messages: Iterable[Outgoing], host: str) -> list[Workloads]:
    return [
        record
        for outgoing in messages
        if outgoing.stream is Stream.EVENTS and outgoing.voice.host == host
        for record in wire.decode_events(wire.decode(outgoing.value))
        if isinstance(record, Workloads)
    ]


def test_each_host_tells_its_jobs_at_the_start_and_whenever_they_change() -> None:
    facility = make()
    messages = flat(run(facility, 120))
    changes = 0
    for number, host in enumerate(facility.hosts):
        told = told_work(messages, host.name)
        assert told[0].time_us == START_US
        now = {
            (host.uuids[board], str(job.number)) for board, job in facility.scheduler.held(number)
        }
        assert {(holder.accelerator, holder.job) for holder in told[-1].holders} == now
        changes += len(told) - 1
    assert changes > 5


def test_what_a_facility_says_runs_in_its_queues_is_what_its_hosts_say_is_held() -> None:
    facility = make()
    messages = list(facility.start(START_US))
    held = sum(len(told_work(messages, host.name)[0].holders) for host in facility.hosts)
    running = facility.scheduler.snapshots(START_US / 1e6, START_US)
    assert held == sum(snapshot.gpus_running or 0 for snapshot in running) > 0
