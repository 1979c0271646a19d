"""The outbox keeps what was written until it is confirmed, whatever happens in between."""

import logging
from pathlib import Path

import pytest

from agent.counters import Counters
from agent.drafts import EventDraft, HostMemory, QueueDraft
from agent.outbox import Outbox
from agent.spool import ranges
from agent.spool_file import SpoolFile
from agent.spool_keeper import DISK_RETRY_S
from agent.spool_rows import Slot
from telemetry.errors import ConfigError
from telemetry.packing import unpack
from telemetry.records import Dropped, Event, EventKind, Heartbeat, QueueSnapshot
from telemetry.streams import Stream
from telemetry.wire import SamplesHeader, decode, decode_queues, split_uuids
from tests.fix_agent import (
    IDENTITY,
    START_US,
    FlakyDisk,
    HandClock,
    MakeOutbox,
    accelerator,
    everything,
    make_tick,
    records_in,
    times_in,
)


def xid(number: int = 0) -> EventDraft:
    return EventDraft([Event(time_us=START_US, kind=EventKind.XID, code=number)])


def seqs(outbox: Outbox, stream: Stream) -> list[int]:
    return [slot.seq for slot, _ in outbox.pending(stream, 1000)]


def dropped_in(outbox: Outbox) -> list[Dropped]:
    return [
        record
        for payload in everything(outbox, Stream.EVENTS)
        for record in records_in(payload)
        if isinstance(record, Dropped)
    ]


def test_ten_ticks_make_one_message(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    for number in range(25):
        outbox.write([make_tick(number)])
    messages = everything(outbox, Stream.SAMPLES)
    assert [times_in(m) for m in messages] == [list(range(10)), list(range(10, 20))]
    outbox.flush()
    assert times_in(everything(outbox, Stream.SAMPLES)[2]) == [20, 21, 22, 23, 24]


def test_an_urgent_tick_ends_its_message(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    outbox.write([make_tick(0)])
    outbox.write([make_tick(1, urgent=True)])
    assert [times_in(m) for m in everything(outbox, Stream.SAMPLES)] == [[0, 1]]


def test_each_stream_counts_from_one_and_a_header_says_who(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(ticks_per_message=1)
    snapshot = QueueSnapshot(time_us=START_US, source="vllm", queue="m", waiting=3.0)
    for number in range(3):
        outbox.write([make_tick(number), xid(number), QueueDraft([snapshot])])
    assert [seqs(outbox, stream) for stream in Stream] == [[1, 2, 3]] * 3
    message = decode(everything(outbox, Stream.QUEUES)[0])
    assert decode_queues(message) == [snapshot]
    assert (message.header.tenant, message.header.host) == (IDENTITY.tenant, IDENTITY.host)
    assert message.header.boot_epoch == outbox.boot_epoch


def test_confirmed_messages_are_gone_and_others_keep_their_order(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    for number in range(5):
        outbox.write([xid(number)])
    slots = [slot for slot, _ in outbox.pending(Stream.EVENTS, 10)]
    outbox.confirm([slots[1], slots[0]])
    assert seqs(outbox, Stream.EVENTS) == [3, 4, 5]
    assert [s.seq for s, _ in outbox.pending(Stream.EVENTS, 1, {slots[2]})] == [4]
    outbox.confirm(slots)
    assert outbox.state().messages == 0


def test_f06_a_restart_keeps_everything_and_raises_the_epoch(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    for number in range(13):
        outbox.write([make_tick(number)])
    before = outbox.boot_epoch
    outbox.close()
    outbox = make_outbox()
    assert outbox.boot_epoch > before
    outbox.write([make_tick(13, urgent=True)])
    found = [times_in(m) for m in everything(outbox, Stream.SAMPLES)]
    assert found == [list(range(10)), [10, 11, 12], [13]]
    epochs = [slot.boot_epoch for slot, _ in outbox.pending(Stream.SAMPLES, 10)]
    assert epochs == [before, outbox.boot_epoch, outbox.boot_epoch]


def test_f09_the_epoch_rises_when_the_wall_clock_is_years_back(
    make_outbox: MakeOutbox, hand_clock: HandClock
) -> None:
    first = make_outbox()
    first.close()
    hand_clock.wall_us = 5_000_000
    assert make_outbox().boot_epoch > first.boot_epoch


def test_the_epoch_rises_when_the_file_is_gone(
    make_outbox: MakeOutbox, hand_clock: HandClock, tmp_path: Path
) -> None:
    first = make_outbox()
    first.close()
    (tmp_path / "spool.sqlite3").unlink()
    hand_clock.pass_s(0.01)
    assert make_outbox().boot_epoch > first.boot_epoch


def test_what_is_known_of_the_host_survives(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    assert outbox.memory is None
    memory = HostMemory(driver_version="590", accelerators=(accelerator(0),))
    outbox.write([memory])
    outbox.close()
    assert make_outbox().memory == memory


def test_a_heartbeat_knows_the_spool_and_its_own_number(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(ticks_per_message=1)
    outbox.write([make_tick(0), make_tick(1)])
    outbox.write([xid(), EventDraft([Heartbeat(time_us=START_US)])])
    (beat,) = records_in(everything(outbox, Stream.EVENTS)[1])
    assert isinstance(beat, Heartbeat)
    assert beat.last_seqs == {"samples": 2, "events": 2}
    assert beat.spool_messages == 3
    assert beat.spool_bytes > 0
    assert beat.spool_oldest_us == START_US


def test_f10_a_second_agent_on_the_same_spool_is_refused(
    make_outbox: MakeOutbox, hand_clock: HandClock, tmp_path: Path
) -> None:
    outbox = make_outbox()
    with pytest.raises(ConfigError, match=r"in use by another agent \(process \d+\)"):
        Outbox(IDENTITY, SpoolFile(tmp_path / "spool.sqlite3", 1 << 20), hand_clock, Counters())
    outbox.close()
    make_outbox()


def test_a_path_that_cannot_be_used_stops_the_start(hand_clock: HandClock, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    file = SpoolFile(tmp_path / "file" / "spool.sqlite3", 1 << 20)
    with pytest.raises(ConfigError, match="spool_path"):
        Outbox(IDENTITY, file, hand_clock, Counters())


def test_f08_a_full_spool_drops_samples_first_and_says_which(make_outbox: MakeOutbox) -> None:
    counters = Counters()
    outbox = make_outbox(bytes_max=256 << 10, ticks_per_message=1, counters=counters)
    for number in range(400):
        outbox.write([make_tick(number, gpus=8), xid(number)])
        assert outbox.state().used_bytes <= (256 << 10) + (16 << 10)
    kept = seqs(outbox, Stream.SAMPLES)
    dropped = dropped_in(outbox)
    assert {d.reason for d in dropped} == {"spool_full"}
    gone = [seq for d in dropped for seq in range(d.first_seq, d.last_seq + 1)]
    assert gone + kept == list(range(1, 401))
    assert counters["messages_dropped_spool_full"] == len(gone) > 0
    codes = [
        record.code
        for payload in everything(outbox, Stream.EVENTS)
        for record in records_in(payload)
        if isinstance(record, Event)
    ]
    assert codes == list(range(400))


def test_f08_events_go_last_but_go(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(bytes_max=256 << 10)
    for number in range(3000):
        outbox.write([xid(number)])
        assert outbox.state().used_bytes <= (256 << 10) + (16 << 10)
    gone = [s for d in dropped_in(outbox) for s in range(d.first_seq, d.last_seq + 1)]
    assert gone
    assert gone[-1] < seqs(outbox, Stream.EVENTS)[0]


def test_a_refused_message_is_out_of_the_way_and_said(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(ticks_per_message=1)
    for number in range(3):
        outbox.write([make_tick(number)])
    (_, _), (slot, _), _ = outbox.pending(Stream.SAMPLES, 3)
    outbox.refuse(slot, "spool_corrupt")
    assert seqs(outbox, Stream.SAMPLES) == [1, 3]
    (dropped,) = dropped_in(outbox)
    assert (dropped.first_seq, dropped.last_seq, dropped.reason) == (2, 2, "spool_corrupt")


def test_f18_a_message_that_is_too_large_is_cut_until_it_fits_and_no_value_is_lost(
    make_outbox: MakeOutbox,
) -> None:
    counters = Counters()
    outbox = make_outbox(ticks_per_message=3, counters=counters)
    for number in range(3):
        outbox.write([make_tick(number, gpus=5)])
    whole = cells_of(everything(outbox, Stream.SAMPLES))
    assert len(whole) == 15
    while large := [
        slot
        for slot, payload in outbox.pending(Stream.SAMPLES, 100)
        if len(cells_of([payload])) > 1
    ]:
        outbox.refuse(large[0], "too_large")
        assert cells_of(everything(outbox, Stream.SAMPLES)) == whole
    assert len(seqs(outbox, Stream.SAMPLES)) == 15
    assert {d.reason for d in dropped_in(outbox)} == {"split"}
    assert counters.snapshot()["messages_split"] == 14
    (slot, _), *_ = outbox.pending(Stream.SAMPLES, 1)
    outbox.refuse(slot, "too_large")
    assert len(seqs(outbox, Stream.SAMPLES)) == 14
    assert dropped_in(outbox)[-1].reason == "too_large"


def test_f18_events_that_are_too_large_together_are_sent_in_parts(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    outbox.write([EventDraft([*xid(1).records, *xid(2).records, *xid(3).records])])
    (slot, _), *_ = outbox.pending(Stream.EVENTS, 1)
    outbox.refuse(slot, "too_large")
    told = [records_in(payload) for payload in everything(outbox, Stream.EVENTS)]
    assert [[r.code for r in part if isinstance(r, Event)] for part in told] == [[1], [2, 3], []]
    assert [d.reason for d in dropped_in(outbox)] == ["split"]


def cells_of(payloads: list[bytes]) -> dict[tuple[int, bytes], dict[str, int | None]]:
    """Return every value by time and accelerator."""
    found: dict[tuple[int, bytes], dict[str, int | None]] = {}
    for payload in payloads:
        message = decode(payload)
        assert isinstance(message.header, SamplesHeader)
        samples, uuids = unpack(message), split_uuids(message.header.accelerators)
        for place, time_us in enumerate(samples.times_us):
            for number, uuid in enumerate(uuids):
                at = place * len(uuids) + number
                found[time_us, uuid] = {name: c[at] for name, c in samples.columns.items()}
    return found


def test_f07_a_broken_disk_moves_the_spool_to_memory_and_back(
    hand_clock: HandClock, tmp_path: Path
) -> None:
    counters = Counters()
    disk = FlakyDisk(tmp_path / "spool.sqlite3", 1 << 20, sync="normal")
    outbox = Outbox(IDENTITY, disk, hand_clock, counters, ticks_per_message=2)
    for number in range(3):
        outbox.write([make_tick(number)])
    first = outbox.boot_epoch
    disk.broken = True
    for number in range(3, 6):
        outbox.write([make_tick(number)])
    assert counters["spool_failures"] == 1
    assert outbox.boot_epoch > first
    assert [times_in(m) for m in everything(outbox, Stream.SAMPLES)] == [[3, 4]]
    disk.broken = False
    hand_clock.pass_s(DISK_RETRY_S)
    outbox.write([make_tick(6)])
    # What was on disk comes back; the tick that waited there makes a message of its own.
    found = sorted(times_in(m) for m in everything(outbox, Stream.SAMPLES))
    assert found == [[0, 1], [2], [3, 4], [5, 6]]
    outbox.close()


def test_f07_in_memory_the_oldest_go_first_and_are_counted(
    hand_clock: HandClock, tmp_path: Path
) -> None:
    counters = Counters()
    disk = FlakyDisk(tmp_path / "spool.sqlite3", 1 << 20)
    disk.broken = True
    outbox = Outbox(
        IDENTITY, disk, hand_clock, counters, ticks_per_message=1, memory_bytes_max=256 << 10
    )
    for number in range(600):
        outbox.write([make_tick(number, gpus=8)])
    gone = [s for d in dropped_in(outbox) for s in range(d.first_seq, d.last_seq + 1)]
    assert gone + seqs(outbox, Stream.SAMPLES) == list(range(1, 601))
    assert {d.reason for d in dropped_in(outbox)} == {"memory_full"}
    outbox.close()


def test_f07_trouble_with_the_disk_is_said_once(
    hand_clock: HandClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FlakyDisk(tmp_path / "spool.sqlite3", 1 << 20)
    outbox = Outbox(IDENTITY, disk, hand_clock, Counters())
    disk.broken = True
    with caplog.at_level(logging.INFO):
        for number in range(200):
            outbox.write([make_tick(number)])
            hand_clock.pass_s(1.0)
    assert [record.message for record in caplog.records] == [
        "the spool fails: spool: disk I/O error"
    ]
    outbox.close()


def test_ranges_join_only_what_follows_each_other() -> None:
    slots = [Slot(Stream.SAMPLES, 1, n) for n in (3, 1, 2, 7)] + [Slot(Stream.SAMPLES, 2, 4)]
    assert [(r.boot_epoch, r.first_seq, r.last_seq) for r in ranges(slots)] == [
        (1, 1, 3),
        (1, 7, 7),
        (2, 4, 4),
    ]


def test_who_sends_is_not_woken_for_a_tick_that_waits_for_others(make_outbox: MakeOutbox) -> None:
    outbox, woken = make_outbox(), list[int]()
    outbox.on_change(lambda: woken.append(1))
    for number in range(9):
        outbox.write([make_tick(number)])
    assert not woken
    outbox.write([make_tick(9)])
    assert woken == [1]
