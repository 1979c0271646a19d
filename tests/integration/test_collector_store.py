"""Storing on a real database: once, whole, and the newest where the newest counts."""

import random
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from collector.books import FencedError
from collector.claims import Claim
from collector.lanes import Lanes
from telemetry.catalogue import CATALOGUE
from telemetry.errors import RetryableError
from telemetry.metrics import Group
from telemetry.packing import Reading, unpack
from telemetry.records import (
    Accelerator,
    Dropped,
    Event,
    EventKind,
    Heartbeat,
    Inventory,
    Place,
    QueueSnapshot,
)
from telemetry.streams import Stream
from telemetry.wire import decode
from tests.fix_collector import NOW_US, FakeHost, FixedClock, S, Shelf, random_reading

FAST = CATALOGUE.group(Group.FAST)
EVERYTHING = (
    "select count(*), sum(hashtextextended(t::text, 0)) from samples t",
    "select count(*), sum(hashtextextended(t::text, 0)) from slow_samples t",
    "select count(*), sum(hashtextextended(t::text, 0)) from queue_samples t",
    "select time, host_id, gpu_id, kind, code, seq, position from events order by seq, position",
    "select * from facility_rollup_10s order by facility_id, bucket",
    "select * from rack_rollup_1m order by rack_id, bucket",
    "select last_seq, stored_messages, stored_rows from host_marks order by host_id, stream",
    "select host_id, stream, first_seq, last_seq, reason from sequence_gaps order by 1, 2, 3, 4",
    "select topic_id, partition, quarantine.offset, reason from quarantine order by 1, 2, 3",
    "select host_id, time, slow_time, seq, slow_seq, power_milliwatts from host_state order by 1",
    "select * from queue_state order by 1, 2, 3",
    "select next_offset from stream_offsets order by topic_id, partition",
)


def everything(shelf: Shelf) -> list[object]:
    return [shelf.rows(query) for query in EVERYTHING]


def at(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


def xid(code: int, uuid: bytes = b"", time_us: int = NOW_US) -> Event:
    return Event(time_us=time_us, kind=EventKind.XID, accelerator=uuid, code=code)


def test_every_value_of_a_message_is_stored_as_it_was(shelf: Shelf) -> None:
    chance = random.Random(4)
    host = FakeHost(gpus=3)
    for group, table in ((Group.FAST, "samples"), (Group.SLOW, "slow_samples")):
        metrics = CATALOGUE.group(group)
        ticks = [NOW_US + tick * S for tick in range(3)]
        rows: list[list[Reading]]
        rows = [[random_reading(chance, metrics) for _ in range(3)] for _ in ticks]
        shelf.store(Stream.SAMPLES, host.samples(ticks, rows=rows, group=group))
        names = ", ".join(f"s.{metric.name}" for metric in metrics)
        stored = shelf.rows(
            f"select s.time, a.uuid, {names} from {table} s join accelerators a using (gpu_id)"
        )
        got = {(time, uuid.bytes): tuple(values) for time, uuid, *values in stored}
        assert got == {
            (at(time_us), uuid): tuple(reading[metric.name] for metric in metrics)
            for time_us, tick in zip(ticks, rows, strict=True)
            for uuid, reading in zip(host.uuids, tick, strict=True)
        }


def test_batches_large_enough_to_be_compressed_hold_every_value_too(shelf: Shelf) -> None:
    chance = random.Random(5)
    host = FakeHost(gpus=4)
    metrics = [CATALOGUE.by_name[name] for name in ("power_milliwatts", "energy_millijoules")]
    sent: dict[tuple[datetime, bytes], tuple[int | None, ...]] = {}
    messages = []
    for part in range(3):
        ticks = [NOW_US + (300 * part + tick - 899) * S for tick in range(300)]
        rows = [[random_reading(chance, metrics) for _ in range(4)] for _ in ticks]
        messages.append(host.samples(ticks, rows=rows, metrics=metrics))
        for time_us, tick in zip(ticks, rows, strict=True):
            for uuid, reading in zip(host.uuids, tick, strict=True):
                sent[at(time_us), uuid] = tuple(reading[metric.name] for metric in metrics)
    shelf.store(Stream.SAMPLES, *reversed(messages))
    stored = shelf.rows(
        "select s.time, a.uuid, s.power_milliwatts, s.energy_millijoules from samples s "
        "join accelerators a using (gpu_id)"
    )
    assert len(stored) == len(sent) == 3600
    assert {(time, uuid.bytes): tuple(values) for time, uuid, *values in stored} == sent
    # By its own order, which a columnstore has metadata about.
    (first,) = shelf.rows("select gpu_id from accelerators order by uuid limit 1")
    query = "select count(*), min(time), max(time) from samples where gpu_id = %(gpu)s"
    assert shelf.rows(query, {"gpu": first[0]}) == [(900, at(NOW_US - 899 * S), at(NOW_US))]


def test_metrics_left_out_of_a_message_are_null(shelf: Shelf) -> None:
    power = CATALOGUE.by_name["power_milliwatts"]
    shelf.store(Stream.SAMPLES, FakeHost().samples([NOW_US], 700, metrics=[power]))
    query = "select power_milliwatts, temperature_gpu_celsius from samples"
    assert shelf.rows(query) == [(700, None), (700, None)]
    assert shelf.rows("select power_milliwatts, temperature_gpu_celsius from host_state") == [
        ([700, 700], None)
    ]


def test_f34_a_value_out_of_range_is_null_and_counted(shelf: Shelf) -> None:
    power = CATALOGUE.by_name["power_milliwatts"]
    rows: list[list[Reading]] = [[{power.name: 700}, {power.name: power.maximum + 1}]]
    shelf.store(Stream.SAMPLES, FakeHost().samples([NOW_US], rows=rows, metrics=[power]))
    assert shelf.rows("select power_milliwatts from samples order by 1") == [(700,), (None,)]
    assert shelf.report.values_out_of_range == 1


def test_a_repeat_is_not_stored_again(shelf: Shelf) -> None:
    message = FakeHost().samples([NOW_US])
    shelf.store(Stream.SAMPLES, message, message)
    shelf.store(Stream.SAMPLES, message)
    assert shelf.one("select count(*) from samples") == 2
    assert shelf.rows("select stored_messages, repeated_messages from host_marks") == [(1, 2)]
    assert shelf.one("select next_offset from stream_offsets") == 3


def test_f36_replaying_everything_changes_nothing(shelf: Shelf) -> None:
    chance = random.Random(7)
    hosts = [FakeHost(f"node-{number}") for number in range(4)]
    for tick in range(6):
        for host in hosts:
            time_us = NOW_US + tick * S
            samples = [
                host.samples([time_us], chance.randint(0, 90)),
                host.samples([time_us], chance.randint(0, 90), group=Group.SLOW),
            ]
            chance.shuffle(samples)
            shelf.append(Stream.SAMPLES, *samples, b"not a message", samples[0])
            shelf.append(Stream.EVENTS, host.events(xid(tick, time_us=time_us)))
            snapshot = QueueSnapshot(time_us=time_us, source="vllm", queue=host.name, waiting=1.0)
            shelf.append(Stream.QUEUES, host.queues(snapshot))
    shelf.writer.store(shelf.log, shelf.claims)
    before = everything(shelf)
    assert shelf.one("select count(*) from samples") == 48
    shelf.replay()
    assert everything(shelf) == before
    shelf.start()
    shelf.replay()
    assert everything(shelf) == before


def test_a_gap_is_open_until_the_late_message_fills_it(shelf: Shelf) -> None:
    host = FakeHost()
    messages = [host.samples([NOW_US + n * S], n) for n in range(1, 6)]
    shelf.store(Stream.SAMPLES, messages[0], messages[4])
    gaps = "select first_seq, last_seq, reason from sequence_gaps order by 1"
    assert shelf.rows(gaps) == [(2, 4, None)]
    shelf.start()  # what is known of gaps survives a restart
    shelf.store(Stream.SAMPLES, messages[2])
    assert shelf.rows(gaps) == [(2, 2, None), (4, 4, None)]
    shelf.store(Stream.SAMPLES, messages[3], messages[1], messages[2])
    assert shelf.rows(gaps) == []
    assert shelf.one("select count(*) from samples") == 10
    assert shelf.rows("select last_seq, stored_messages from host_marks") == [(5, 5)]


def test_drops_give_gaps_their_reason_and_heartbeats_say_what_was_sent(shelf: Shelf) -> None:
    host = FakeHost()
    host.seqs[Stream.SAMPLES] = 10
    shelf.store(Stream.SAMPLES, host.samples([NOW_US]))
    dropped = Dropped(
        time_us=NOW_US, stream="samples", boot_epoch=1, first_seq=3, last_seq=8, reason="spool full"
    )
    beat = Heartbeat(time_us=NOW_US, last_seqs={"samples": 15}, agent_version="1.2", spool_bytes=9)
    shelf.store(Stream.EVENTS, host.events(dropped, beat))
    assert shelf.rows("select first_seq, last_seq, reason from sequence_gaps order by 1") == [
        (1, 2, None),
        (3, 8, "spool full"),
        (9, 10, None),
    ]
    sent = "select last_seq, last_sent_seq from host_marks where stream = 'samples'"
    assert shelf.rows(sent) == [(11, 15)]
    assert shelf.rows("select agent_version, spool_bytes from agent_state") == [("1.2", 9)]


def test_a_new_boot_epoch_starts_its_numbers_again(shelf: Shelf) -> None:
    shelf.store(Stream.SAMPLES, FakeHost(boot_epoch=1).samples([NOW_US]))
    shelf.store(Stream.SAMPLES, FakeHost(boot_epoch=2).samples([NOW_US + S]))
    assert shelf.one("select count(*) from samples") == 4
    assert shelf.rows("select boot_epoch, last_seq from host_marks order by 1") == [(1, 1), (2, 1)]


def test_what_a_former_life_has_dropped_is_written_into_its_own_books(shelf: Shelf) -> None:
    """The marks of a boot epoch that sends no more are read where a record names it."""
    former, now = FakeHost(boot_epoch=1), FakeHost(boot_epoch=2)
    former.seqs[Stream.SAMPLES] = 5
    shelf.store(Stream.SAMPLES, former.samples([NOW_US]))
    shelf.start()
    shelf.store(Stream.SAMPLES, now.samples([NOW_US + S]))
    dropped = Dropped(
        time_us=NOW_US, stream="samples", boot_epoch=1, first_seq=2, last_seq=9, reason="spool full"
    )
    shelf.store(Stream.EVENTS, now.events(dropped))
    gaps = "select boot_epoch, first_seq, last_seq, reason from sequence_gaps order by 1, 2"
    assert shelf.rows(gaps) == [(1, 1, 1, None), (1, 2, 5, "spool full"), (1, 7, 9, "spool full")]
    marks = "select boot_epoch, last_seq, stored_messages from host_marks"
    assert shelf.rows(f"{marks} where stream = 'samples' order by 1") == [(1, 9, 1), (2, 1, 1)]


def test_books_that_are_full_start_afresh_and_nothing_is_stored_twice(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A flood of invented names must not take all memory, and nobody else may notice."""
    monkeypatch.setattr("collector.registry.HOSTS_MAX", 2)
    hosts = [FakeHost(f"host-{number}") for number in range(5)]
    messages = [host.samples([NOW_US + n * S]) for n in range(3) for host in hosts]
    shelf.store(Stream.SAMPLES, *messages[:8])
    shelf.store(Stream.SAMPLES, *messages[5:])
    shelf.store(Stream.SAMPLES, *messages)
    assert "run more collectors" in caplog.text
    assert shelf.one("select count(*) from samples") == 30
    assert shelf.rows("select distinct last_seq, stored_messages from host_marks") == [(3, 3)]


def test_state_is_the_newest_by_number_whatever_the_clock_says(shelf: Shelf) -> None:
    host = FakeHost()
    first, second = host.samples([NOW_US], 10), host.samples([NOW_US - 3600 * S], 20)
    state = "select seq, time, temperature_gpu_celsius, received_at is not null from host_state"
    shelf.store(Stream.SAMPLES, second)
    shelf.store(Stream.SAMPLES, first)
    assert shelf.rows(state) == [(2, at(NOW_US - 3600 * S), [20, 20], True)]
    shelf.store(Stream.SAMPLES, FakeHost(boot_epoch=2).samples([NOW_US], 30))
    assert shelf.rows(state) == [(1, at(NOW_US), [30, 30], True)]


def test_state_joins_fast_and_slow_and_keeps_them_apart_after_a_swap(shelf: Shelf) -> None:
    host = FakeHost()
    state = (
        "select cardinality(gpu_ids), temperature_gpu_celsius, power_limit_milliwatts, "
        "slow_time is null from host_state"
    )
    shelf.store(Stream.SAMPLES, host.samples([NOW_US], 40, group=Group.SLOW))
    assert shelf.rows(state) == [(2, None, [40, 40], False)]
    shelf.store(Stream.SAMPLES, host.samples([NOW_US], 50))
    assert shelf.rows(state) == [(2, [50, 50], [40, 40], False)]
    late = host.samples([NOW_US], 60, group=Group.SLOW)
    host.gpus = 3
    shelf.store(Stream.SAMPLES, host.samples([NOW_US], 70))
    assert shelf.rows(state) == [(3, [70, 70, 70], None, True)]
    shelf.store(Stream.SAMPLES, late)  # of accelerators that are gone
    assert shelf.rows(state) == [(3, [70, 70, 70], None, True)]
    shelf.store(Stream.SAMPLES, host.samples([NOW_US], 80, group=Group.SLOW))
    assert shelf.rows(state) == [(3, [70, 70, 70], [80, 80, 80], False)]


def test_f33_sums_equal_a_recomputation_after_shuffled_late_and_repeated_data(shelf: Shelf) -> None:
    chance = random.Random(11)
    messages = []
    for number in range(6):
        host = FakeHost(f"node-{number}", facility=f"hall-{number % 2}")
        for n in range(8):
            ticks = [NOW_US + (8 * n + tick) * S for tick in range(8)]
            rows = [[random_reading(chance, FAST) for _ in range(2)] for _ in ticks]
            messages.append(host.samples(ticks, rows=rows))
    chance.shuffle(messages)
    messages += chance.sample(messages, 10)
    for start in range(0, len(messages), 7):
        shelf.store(Stream.SAMPLES, *messages[start : start + 7])
    _assert_sums_match(shelf, "facility_rollup_10s", "facility_id", 10)
    _assert_sums_match(shelf, "rack_rollup_1m", "rack_id", 60)


def _assert_sums_match(shelf: Shelf, table: str, key: str, seconds: int) -> None:
    parts = [
        part
        for metric in CATALOGUE.rollup()
        for part in (
            f"coalesce(sum({metric.name}), 0)::bigint",
            f"count({metric.name})::integer",
            f"min({metric.name})",
            f"max({metric.name})",
        )
    ]
    bits = "clock_event_reasons_bitmask & 232 <> 0"
    expected = shelf.rows(
        f"select date_bin('{seconds} s', time, 'epoch') as bucket, {key}, count(*), "
        f"count(*) filter (where {bits}), {', '.join(parts)} "
        "from samples join accelerators using (gpu_id) join hosts using (host_id) "
        "group by 1, 2 order by 1, 2"
    )
    assert shelf.rows(f"select * from {table} order by 1, 2") == expected
    assert len(expected) > 1


def test_an_inventory_places_the_host_and_describes_its_accelerators(shelf: Shelf) -> None:
    host = FakeHost()

    def inventory(time_us: int, rack: str, uuids: list[bytes]) -> Inventory:
        return Inventory(
            time_us=time_us,
            accelerators=tuple(
                Accelerator(uuid=uuid, index=at_, model="H100", unsupported=("x",))
                for at_, uuid in enumerate(uuids)
            ),
            place=Place(hall="C", rack=rack),
            driver_version="590",
        )

    shelf.store(Stream.EVENTS, host.events(inventory(NOW_US, "r1", host.uuids)))
    place = "select hall, rack, driver_version from hosts join racks using (rack_id)"
    present = "select index, model, present, unsupported from accelerators order by 1"
    assert shelf.rows(place) == [("C", "r1", "590")]
    assert shelf.rows(present) == [(0, "H100", True, ["x"]), (1, "H100", True, ["x"])]
    older = inventory(NOW_US - S, "r0", host.uuids)
    shelf.store(Stream.EVENTS, host.events(older))
    assert shelf.rows(place) == [("C", "r1", "590")]
    shelf.store(Stream.EVENTS, host.events(inventory(NOW_US + S, "r2", host.uuids[:1])))
    assert shelf.rows(place) == [("C", "r2", "590")]
    assert [row[2] for row in shelf.rows(present)] == [True, False]
    shelf.store(Stream.SAMPLES, host.samples([NOW_US]))
    assert shelf.one("select rack from rack_rollup_1m join racks using (rack_id)") == "r2"


def test_a_host_that_another_collector_has_moved_counts_in_its_new_rack_after_a_claim(
    shelf: Shelf,
) -> None:
    host = FakeHost()
    shelf.store(Stream.SAMPLES, host.samples([NOW_US]))
    shelf.connection.execute(
        "with moved as (insert into racks (facility_id, hall, row, rack) "
        "select facility_id, 'C', '', 'r9' from hosts returning rack_id) "
        "update hosts set rack_id = moved.rack_id from moved"
    )
    shelf.writer.forget_what_others_change()
    shelf.store(Stream.SAMPLES, host.samples([NOW_US + S]))
    racks = "select rack, sample_rows from rack_rollup_1m join racks using (rack_id) order by 1"
    assert shelf.rows(racks) == [("", 2), ("r9", 2)]


def test_events_and_queue_snapshots_are_stored_with_their_sender(shelf: Shelf) -> None:
    host = FakeHost()
    known, host_wide = xid(79, host.uuids[1]), xid(13)
    shelf.store(Stream.EVENTS, host.events(known, host_wide))
    rows = shelf.rows("select kind, code, gpu_id is null, position from events order by position")
    assert rows == [("xid", 79, False, 0), ("xid", 13, True, 1)]
    old, new = (
        QueueSnapshot(time_us=NOW_US + s * S, source="vllm", queue="chat", waiting=float(s))
        for s in (0, 5)
    )
    shelf.store(Stream.QUEUES, host.queues(new))
    shelf.store(Stream.QUEUES, host.queues(old))
    assert shelf.one("select count(*) from queue_samples") == 2
    assert shelf.rows("select waiting, running from queue_state") == [(5.0, None)]


def test_f21_bad_input_is_quarantined_and_the_good_around_it_stored(shelf: Shelf) -> None:
    chance = random.Random(3)
    host = FakeHost()
    good: list[bytes] = []
    corpus: list[bytes] = [b"", b"\0", b"FGAU", "é".encode("utf-16"), bytes(2 << 20)]
    whole = host.samples([NOW_US])
    corpus += [whole[:length] for length in range(1, len(whole), 7)]
    for _ in range(300):
        damaged = bytearray(host.samples([NOW_US], seq=1_000_000))
        damaged[chance.randrange(12)] ^= 1 << chance.randrange(8)
        corpus.append(bytes(damaged))
    values: list[bytes] = [whole]
    for number, bad in enumerate(corpus):
        if number % 10 == 0:
            good.append(host.samples([NOW_US - number * S]))
            values.append(good[-1])
        values.append(bad)
    for start in range(0, len(values), 97):
        shelf.store(Stream.SAMPLES, *values[start : start + 97])
    assert shelf.one("select count(*) from samples") == 2 * (len(good) + 1)
    assert shelf.one("select count(*) from quarantine") == len(corpus)
    assert shelf.one("select max(length(payload)) from quarantine") == 4096
    assert shelf.one("select max(payload_bytes) from quarantine") == 2 << 20
    assert shelf.one("select next_offset from stream_offsets") == len(values)


def test_f33_times_outside_the_window_are_quarantined_and_accounted_for(shelf: Shelf) -> None:
    host = FakeHost()
    messages = [
        host.samples([NOW_US]),
        host.samples([NOW_US, NOW_US + 3600 * S]),
        host.samples([NOW_US - 8 * 86_400 * S, NOW_US]),
        host.samples([NOW_US]),
    ]
    shelf.store(Stream.SAMPLES, *messages)
    reasons = [("in_future",), ("too_old",)]
    assert shelf.rows("select reason from quarantine order by 1") == reasons
    assert shelf.one("select count(*) from samples") == 4
    gaps = "select first_seq, last_seq, reason from sequence_gaps"
    assert shelf.rows(gaps) == [(2, 3, "quarantined")]
    before = everything(shelf)
    shelf.replay()
    assert everything(shelf) == before


def test_f31_what_the_database_refuses_is_found_among_the_good(shelf: Shelf) -> None:
    hosts = [FakeHost(f"node-{number}") for number in range(20)]
    values = [host.events(xid(1)) for host in hosts]
    for number in (3, 11):
        bad = Event(time_us=NOW_US, kind=EventKind.XID, message="a NUL \0 in a text")
        values[number] = FakeHost(f"bad-{number}").events(bad)
    shelf.store(Stream.EVENTS, *values)
    assert shelf.one("select count(*) from events") == 18
    rows = shelf.rows('select reason, "offset" from quarantine order by 2')
    assert rows == [("refused_by_database", 3), ("refused_by_database", 11)]
    assert shelf.one("select next_offset from stream_offsets") == 20
    gaps = "select first_seq, last_seq, reason from sequence_gaps"
    assert shelf.rows(gaps) == [(1, 1, "quarantined")] * 2


def test_f31_a_number_that_no_column_holds_is_refused_alone(shelf: Shelf) -> None:
    host = FakeHost()
    odd = Accelerator(uuid=host.uuids[0], index=0, slot_number=2**40)
    inventory = Inventory(time_us=NOW_US, accelerators=(odd,))
    shelf.store(Stream.EVENTS, host.events(xid(1)), host.events(inventory), host.events(xid(2)))
    assert shelf.rows("select code from events order by 1") == [(1,), (2,)]
    assert shelf.rows("select reason from quarantine") == [("refused_by_database",)]


def test_f26_a_collector_that_lost_its_partition_stores_nothing(shelf: Shelf) -> None:
    host = FakeHost()
    first = shelf.append(Stream.SAMPLES, host.samples([NOW_US]))
    ((partition, zombie),) = list(shelf.claims.items())
    shelf.claim(partition)  # another collector takes over
    with pytest.raises(FencedError):
        shelf.writer.store(first, {partition: zombie})
    assert shelf.one("select count(*) from samples") == 0
    assert shelf.one("select count(*) from host_marks") == 0
    shelf.writer.forget()
    shelf.writer.store(first, shelf.claims)
    assert shelf.one("select count(*) from samples") == 2


def test_f26_an_offset_that_is_not_the_expected_one_is_fenced(shelf: Shelf) -> None:
    records = shelf.append(Stream.SAMPLES, FakeHost().samples([NOW_US]))
    ((partition, claim),) = list(shelf.claims.items())
    wrong = Claim(claim.topic_id, claim.owner_epoch, Lanes(5), 5)
    with pytest.raises(FencedError):
        shelf.writer.store(records, {partition: wrong})
    assert shelf.one("select count(*) from samples") == 0


def test_f26_two_collectors_that_know_one_host_notice_each_other(
    shelf: Shelf, fixed_clock: FixedClock
) -> None:
    host = FakeHost()
    messages = [host.samples([NOW_US + n * S]) for n in range(4)]
    other = Shelf(shelf.url, fixed_clock)
    shelf.store(Stream.SAMPLES, messages[0], number=0)
    other.store(Stream.SAMPLES, messages[1], number=1)
    records = shelf.append(Stream.SAMPLES, messages[1], messages[2], number=0)
    with pytest.raises(RetryableError, match="same hosts"):
        shelf.writer.store(records, shelf.claims)
    shelf.writer.forget()
    shelf.writer.store(records, shelf.claims)
    other.connection.close()
    assert shelf.one("select count(*) from samples") == 6
    assert shelf.rows("select last_seq, stored_messages from host_marks") == [(3, 3)]


def test_a_start_that_succeeds_leaves_no_entry(shelf: Shelf) -> None:
    shelf.store(Stream.SAMPLES, FakeHost().samples([NOW_US]))
    assert shelf.one("select count(*) from lane_starts") == 0


def test_f32_late_rows_get_the_partition_that_they_need(shelf: Shelf) -> None:
    host = FakeHost()
    times = [NOW_US - days * 86_400 * S for days in (0, 1, 6)]
    shelf.store(Stream.SAMPLES, host.samples(sorted(times)))
    rows = shelf.rows("select time from samples order by time")
    assert [row[0] for row in rows[::2]] == [at(time_us) for time_us in sorted(times)]


def test_a_commit_is_told_once(shelf: Shelf) -> None:
    with psycopg.connect(shelf.url, autocommit=True) as listener:
        listener.execute("listen fleetgauge_stored")
        shelf.store(Stream.SAMPLES, FakeHost().samples([NOW_US]))
        shelf.store(Stream.EVENTS, FakeHost().events(xid(1)))
        payloads = [note.payload for note in listener.notifies(timeout=5, stop_after=2)]
    assert payloads == [
        '{"samples": 2, "events": 0, "queues": 0, "quarantined": 0}',
        '{"samples": 0, "events": 1, "queues": 0, "quarantined": 0}',
    ]


def test_messages_decode_the_same_here_and_there(shelf: Shelf) -> None:
    value = FakeHost().samples([NOW_US], 33)
    shelf.store(Stream.SAMPLES, value)
    sums = sum(v or 0 for v in unpack(decode(value)).columns["temperature_gpu_celsius"])
    assert shelf.one("select sum(temperature_gpu_celsius) from samples") == sums
