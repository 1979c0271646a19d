"""A damaged spool file never stops the agent, and what can be read of it is not lost."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.counters import Counters
from agent.drafts import EventDraft
from agent.outbox import Outbox
from agent.spool_file import SpoolFile
from telemetry.records import Dropped, Event, EventKind
from telemetry.streams import Stream
from tests.fix_agent import (
    IDENTITY,
    START_US,
    HandClock,
    everything,
    make_tick,
    records_in,
    times_in,
)

MESSAGES = 40


def open_outbox(path: Path, clock: HandClock) -> Outbox:
    file = SpoolFile(path, 1 << 20, sync="normal")
    return Outbox(IDENTITY, file, clock, Counters(), ticks_per_message=1)


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A spool with messages and a waiting tick, and its epoch."""
    path = tmp_path_factory.mktemp("sound") / "spool.sqlite3"
    outbox = open_outbox(path, HandClock())
    for number in range(MESSAGES):
        outbox.write([make_tick(number)])
    event = Event(time_us=START_US, kind=EventKind.XID, code=79)
    outbox.write([EventDraft([event])])
    outbox.close()
    return path, outbox.boot_epoch


def reopened(path: Path, epoch: int) -> list[bytes]:
    """Start twice on the file, and return the samples messages."""
    clock = HandClock()
    clock.pass_s(60)
    outbox = open_outbox(path, clock)
    assert outbox.boot_epoch > epoch
    outbox.write([make_tick(MESSAGES)])
    found = everything(outbox, Stream.SAMPLES)
    everything(outbox, Stream.EVENTS)
    outbox.close()
    clock.pass_s(1)
    again = open_outbox(path, clock)
    assert everything(again, Stream.SAMPLES) == found
    again.close()
    return found


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_f06_any_flipped_bytes_leave_an_agent_that_runs(
    sound_file: tuple[Path, int], tmp_path: Path, data: st.DataObject
) -> None:
    path, epoch = sound_file
    content = bytearray(path.read_bytes())
    flips = st.tuples(st.integers(0, len(content) - 1), st.integers(1, 255))
    for at, mask in data.draw(st.lists(flips, min_size=1, max_size=20)):
        content[at] ^= mask
    copy = tmp_path / "spool.sqlite3"
    for old in tmp_path.iterdir():
        old.unlink()
    copy.write_bytes(content)
    for payload in reopened(copy, epoch):
        # What was stored, or nothing: never something else.
        assert times_in(payload) in [[number] for number in range(MESSAGES + 1)]


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(share=st.floats(0, 1))
def test_f06_any_truncation_leaves_an_agent_that_runs(
    sound_file: tuple[Path, int], tmp_path: Path, share: float
) -> None:
    path, epoch = sound_file
    for old in tmp_path.iterdir():
        old.unlink()
    copy = tmp_path / "spool.sqlite3"
    copy.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    reopened(copy, epoch)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"SQLite format 3\0", b"not a database at all " * 500, os.urandom(8192)],
    ids=["empty", "one byte", "magic only", "text", "random"],
)
def test_a_file_that_is_no_spool_is_set_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "spool.sqlite3"
    path.write_bytes(content)
    assert len(reopened(path, 0)) == 1
    aside = list(tmp_path.glob("*.damaged-*"))
    assert [file.read_bytes() for file in aside] == ([content] if len(content) > 1 else [])


def test_a_spool_of_a_later_version_is_set_aside_and_read_as_far_as_possible(
    sound_file: tuple[Path, int], tmp_path: Path
) -> None:
    path = tmp_path / "spool.sqlite3"
    shutil.copy(sound_file[0], path)
    connection = sqlite3.connect(path)
    connection.execute("pragma user_version = 99")
    connection.close()
    assert len(reopened(path, sound_file[1])) == MESSAGES + 1
    assert list(tmp_path.glob("*.damaged-*"))


def test_only_the_newest_damaged_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    clock = HandClock()
    for _ in range(3):
        path.write_bytes(b"no database " * 500)
        open_outbox(path, clock).close()
        clock.pass_s(1)
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_a_message_whose_bytes_changed_is_dropped_and_said(
    sound_file: tuple[Path, int], tmp_path: Path
) -> None:
    path = tmp_path / "spool.sqlite3"
    shutil.copy(sound_file[0], path)
    connection = sqlite3.connect(path)
    connection.execute(
        "update messages set payload = zeroblob(length(payload)) where stream = ? and seq = 7",
        ("samples",),
    )
    connection.commit()
    connection.close()
    outbox = open_outbox(path, HandClock())
    found = [times_in(payload) for payload in everything(outbox, Stream.SAMPLES)]
    assert found == [[number] for number in range(MESSAGES) if number != 6]
    (dropped,) = [
        record
        for payload in everything(outbox, Stream.EVENTS)
        for record in records_in(payload)
        if isinstance(record, Dropped)
    ]
    assert (dropped.first_seq, dropped.last_seq, dropped.reason) == (7, 7, "spool_corrupt")
    outbox.close()


def test_f06_damage_while_running_goes_on_in_a_new_file_and_says_what_is_lost(
    tmp_path: Path,
) -> None:
    path = tmp_path / "spool.sqlite3"
    clock = HandClock()
    outbox = open_outbox(path, clock)
    for number in range(300):
        outbox.write([make_tick(number)])
    slots = [slot for slot, _ in outbox.pending(Stream.SAMPLES, 5)]
    outbox.confirm(slots)
    epoch = outbox.boot_epoch
    damage(path, outbox)
    clock.pass_s(1)
    outbox.write([make_tick(300)])
    assert outbox.boot_epoch > epoch
    samples = [slot for slot, _ in outbox.pending(Stream.SAMPLES, 1000)]
    lost = [
        seq
        for payload in everything(outbox, Stream.EVENTS)
        for record in records_in(payload)
        if isinstance(record, Dropped) and record.stream == "samples"
        for seq in range(record.first_seq, record.last_seq + 1)
    ]
    saved = [slot.seq for slot in samples if slot.boot_epoch == epoch]
    assert sorted(lost + saved) == list(range(6, 301))
    assert lost
    outbox.close()


def damage(path: Path, outbox: Outbox) -> None:
    """Overwrite the middle of the file, and let SQLite read it again."""
    connection = outbox._keeper.spool._connection
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.execute("pragma cache_size = 0")
    connection.execute("pragma shrink_memory")
    content = bytearray(path.read_bytes())
    content[4096 * 5 : -4096 * 2] = os.urandom(len(content) - 4096 * 7)
    with path.open("r+b") as file:
        file.write(content)


def damaged_at(content: bytes, at: int) -> tuple[bytes, bytes]:
    """Return the same file with one bit turned, and cut off there."""
    flipped = bytearray(content)
    flipped[at] ^= 1 << (at % 8)
    return bytes(flipped), content[:at]


@pytest.mark.slow
def test_f06_a_small_spool_damaged_anywhere_leaves_an_agent_that_sends_what_is_intact(
    tmp_path: Path,
) -> None:
    """Each byte of SQLite's header that says what it is, then a few of each page."""
    original, copy = tmp_path / "sound.sqlite3", tmp_path / "damaged" / "spool.sqlite3"
    copy.parent.mkdir()
    outbox = open_outbox(original, HandClock())
    for number in range(3):
        outbox.write([make_tick(number)])
    outbox.close()
    content = original.read_bytes()
    kept: list[int] = []
    for at in (*range(40), *range(40, len(content), 1009)):
        for place, damaged in enumerate(damaged_at(content, at)):
            for old in copy.parent.iterdir():
                old.unlink()
            copy.write_bytes(damaged)
            found = [times_in(payload) for payload in reopened(copy, outbox.boot_epoch)]
            # What was stored, or nothing; what is written now is there whatever was before.
            assert [MESSAGES] in found
            assert all(times in ([0], [1], [2], [MESSAGES]) for times in found)
            if place == 0 and at >= 40:
                kept.append(len(found))
    # Beyond the header, one bit nearly always costs one message or none.
    assert sum(count >= 3 for count in kept) >= 0.9 * len(kept)


def test_f06_a_header_that_forbids_writing_is_damage_and_not_a_disk_that_may_recover(
    sound_file: tuple[Path, int], tmp_path: Path
) -> None:
    content = bytearray(sound_file[0].read_bytes())
    content[18] = 6
    path = tmp_path / "spool.sqlite3"
    path.write_bytes(content)
    assert len(reopened(path, sound_file[1])) == MESSAGES + 1
