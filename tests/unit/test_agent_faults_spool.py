"""The spool under a killed agent, a disk that is full or read-only, and a very long outage."""

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.counters import Counters
from agent.drafts import EventDraft
from agent.outbox import Outbox
from agent.spool_file import SpoolFile
from agent.spool_keeper import DISK_RETRY_S
from telemetry.clock import SystemClock
from telemetry.records import Dropped, Event, EventKind
from telemetry.streams import Stream
from telemetry.wire import decode
from tests.fix_agent import (
    IDENTITY,
    START_US,
    HandClock,
    MakeOutbox,
    everything,
    make_tick,
    records_in,
    times_in,
)

KILLS = 40
TICKS_PER_MESSAGE = 4


def open_spool(path: Path, clock: SystemClock | HandClock, **options: int) -> Outbox:
    file = SpoolFile(path, options.pop("bytes_max", 64 << 20), sync="full")
    return Outbox(IDENTITY, file, clock, Counters(), ticks_per_message=TICKS_PER_MESSAGE, **options)


def write_until_killed(path: Path, first: int, told: int) -> None:
    """Write one tick after the other and tell each that is safe; run in a process of its own."""
    outbox = open_spool(path, SystemClock())
    number = first
    while True:
        outbox.write([make_tick(number, gpus=1)])
        os.write(told, number.to_bytes(4, "little"))
        number += 1


def killed_writer(path: Path, first: int, written: int, chance: random.Random) -> int:
    """Kill a writer somewhere after so many ticks; return the last tick that it told as safe."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            write_until_killed(path, first, theirs)
        finally:
            os._exit(1)
    os.close(theirs)
    last = first - 1
    try:
        for _ in range(written):
            last = int.from_bytes(os.read(ours, 4), "little")
        for _ in range(chance.randrange(20_000)):
            pass
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while rest := os.read(ours, 4):
            last = int.from_bytes(rest, "little")
    finally:
        os.close(ours)
    return last


def test_f06_a_kill_at_any_moment_costs_at_most_the_tick_that_was_being_written(
    tmp_path: Path,
) -> None:
    chance, path = random.Random(6), tmp_path / "spool.sqlite3"
    safe: list[int] = []
    first = 0
    for _ in range(KILLS):
        last = killed_writer(path, first, chance.randrange(1, 8), chance)
        safe += range(first, last + 1)
        first = last + 2  # the tick after the last one may be there, whole
    outbox = open_spool(path, SystemClock())
    outbox.flush()
    payloads = everything(outbox, Stream.SAMPLES)
    stored = [number for payload in payloads for number in times_in(payload)]
    assert outbox.note == ""
    outbox.close()
    assert stored == sorted(set(stored))
    assert set(safe) <= set(stored) <= set(range(first))
    slots = [(h.boot_epoch, h.seq) for h in (decode(payload).header for payload in payloads)]
    assert slots == sorted(set(slots))


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of one mebibyte inside the block."""
    disk = folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "fleetgauge-test", str(disk)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this machine does not let the test mount a file system: {error}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True, capture_output=True)


def balance(outbox: Outbox) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Return what of the samples is there, and what is said to be gone, by epoch and number."""
    stored = {
        (header.boot_epoch, header.seq)
        for header in (decode(payload).header for payload in everything(outbox, Stream.SAMPLES))
    }
    gone = {
        (record.boot_epoch, seq)
        for payload in everything(outbox, Stream.EVENTS)
        for record in records_in(payload)
        if isinstance(record, Dropped) and record.stream == str(Stream.SAMPLES)
        for seq in range(record.first_seq, record.last_seq + 1)
    }
    return stored, gone


def assert_balanced(outbox: Outbox) -> None:
    """Every number that was given out is there or said to be gone, and none is both."""
    stored, gone = balance(outbox)
    assert not stored & gone
    for epoch in {epoch for epoch, _ in stored | gone}:
        seqs = sorted(seq for found, seq in stored | gone if found == epoch)
        assert seqs == list(range(1, len(seqs) + 1))


def test_f07_a_full_disk_costs_no_reading_while_memory_lasts(
    tmp_path: Path, hand_clock: HandClock
) -> None:
    with small_disk(tmp_path) as disk:
        outbox = open_spool(disk / "spool.sqlite3", hand_clock, memory_bytes_max=1 << 20)
        (disk / "ballast").write_bytes(b"x" * (500 << 10))
        written = 0
        while not outbox._keeper.in_memory:
            outbox.write([make_tick(written, gpus=8)])
            written += 1
            assert written < 20_000
        for _ in range(200):
            outbox.write([make_tick(written, gpus=8)])
            written += 1
        assert outbox._counters["spool_failures"] >= 1
        (disk / "ballast").unlink()
        hand_clock.pass_s(DISK_RETRY_S)
        outbox.write([make_tick(written, gpus=8)])
        written += 1
        assert not outbox._keeper.in_memory
        outbox.flush()
        assert_balanced(outbox)
        _, gone = balance(outbox)
        stored = {n for payload in everything(outbox, Stream.SAMPLES) for n in times_in(payload)}
        assert gone or stored == set(range(written))
        outbox.close()


def test_f07_a_disk_that_becomes_read_only_costs_no_reading(
    tmp_path: Path, hand_clock: HandClock
) -> None:
    with small_disk(tmp_path) as disk:
        outbox = open_spool(disk / "spool.sqlite3", hand_clock)
        outbox.write([make_tick(0)])
        outbox.close()
        mount = ["mount", "-o", "remount"]
        subprocess.run([*mount, "-o", "ro", str(disk)], check=True, capture_output=True)
        outbox = open_spool(disk / "spool.sqlite3", hand_clock)
        assert outbox._keeper.in_memory
        for number in range(1, 9):
            outbox.write([make_tick(number)])
        subprocess.run([*mount, "-o", "rw", str(disk)], check=True, capture_output=True)
        hand_clock.pass_s(DISK_RETRY_S)
        outbox.write([make_tick(9)])
        assert not outbox._keeper.in_memory
        outbox.flush()
        payloads = everything(outbox, Stream.SAMPLES)
        assert sorted(n for payload in payloads for n in times_in(payload)) == list(range(10))
        assert_balanced(outbox)
        outbox.close()


def test_f08_an_outage_beyond_the_cap_keeps_every_event_and_accounts_for_every_sample(
    make_outbox: MakeOutbox,
) -> None:
    outbox = make_outbox(bytes_max=1 << 18, ticks_per_message=1)
    events = 0
    for number in range(1200):
        outbox.write([make_tick(number, gpus=8)])
        if number % 20 == 0:
            outbox.write(
                [EventDraft([Event(time_us=START_US + number, kind=EventKind.XID, code=events)])]
            )
            events += 1
        assert outbox.state().used_bytes <= 1 << 18
    stored, gone = balance(outbox)
    assert gone
    assert len(stored) + len(gone) == 1200
    assert_balanced(outbox)
    codes = [
        record.code
        for payload in everything(outbox, Stream.EVENTS)
        for record in records_in(payload)
        if isinstance(record, Event)
    ]
    assert codes == list(range(events))
