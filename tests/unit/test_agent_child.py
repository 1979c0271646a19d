"""A driver that hangs, crashes or is replaced costs its child process and nothing else."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from agent.child import process
from agent.child.frames import FRAME_BYTES_MAX, Channel, Events, Read
from agent.drafts import Draft
from telemetry.errors import DecodeError
from telemetry.metrics import Group
from telemetry.records import EventKind, Heartbeat, Inventory, ReaderStatus
from tests.fix_agent import kinds_of, records_of, samples_of, statuses_in, uuid_of
from tests.fix_child import PATIENCE_S, ChildHost

WHOLE, TIMEOUT, LOST = ReaderStatus.WHOLE, ReaderStatus.TIMEOUT, ReaderStatus.LOST
MISMATCH = ReaderStatus.DRIVER_MISMATCH


def until_gone(pid: int) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end_s, f"process {pid} is still there"
        time.sleep(0.02)


def beats_in(drafts: list[Draft]) -> list[Heartbeat]:
    return [record for record in records_of(drafts) if isinstance(record, Heartbeat)]


SIMULATED = """
import sys, threading, time
from pathlib import Path
from agent.child import serve
from simulator.nvml.host import make_driver
from simulator.nvml.install import install
from telemetry.clock import SystemClock
driver = make_driver("h100x8", SystemClock(), host="simulated")
install(driver)
def lose_a_board():
    while not Path(sys.argv[1]).exists():
        time.sleep(0.01)
    driver.lose(3)
threading.Thread(target=lose_a_board, daemon=True).start()
serve.main(sys.argv[2:])
"""


def test_f01_a_board_that_falls_off_the_bus_is_told_in_that_tick_and_hides_no_other(
    tmp_path: Path,
) -> None:
    command = (sys.executable, "-c", SIMULATED, str(tmp_path / "lost"), "nvidia", "info")
    host = ChildHost(tmp_path, command)
    try:
        host.until_whole()
        host.say("lost")
        drafts = host.until(lambda drafts: LOST in statuses_in(drafts))
        assert statuses_in(drafts) == [LOST if at == 3 else WHOLE for at in range(8)]
        assert EventKind.GPU_LOST in kinds_of(drafts)
        assert samples_of(drafts)[0].urgent
    finally:
        host.driver.close()


def test_f02_a_board_that_hangs_times_out_and_the_others_are_read(child_host: ChildHost) -> None:
    child_host.until_whole()
    child_host.say("hang-1", "all")
    for _ in range(5):
        assert child_host.statuses() == [WHOLE, TIMEOUT, WHOLE]
    child_host.unsay("hang-1")
    child_host.until_whole()
    assert child_host.counters["reader_starts"] == 1


def test_f02_a_child_that_hangs_is_replaced_without_a_gap_for_the_boards_that_answer(
    child_host: ChildHost,
) -> None:
    child_host.until_whole()
    (hung,) = child_host.boards.process_ids()
    child_host.say("hang-1", str(hung))
    assert child_host.statuses() == [WHOLE, TIMEOUT, WHOLE]
    child_host.heard.clear()
    child_host.clock.pass_s(3.0)
    child_host.until_whole()
    ticks = [statuses_in([draft]) for draft in samples_of(child_host.heard)]
    assert all((tick[0], tick[2]) == (WHOLE, WHOLE) for tick in ticks)
    child_host.until(lambda _: len(child_host.boards.process_ids()) == 1)
    assert child_host.boards.process_ids() != [hung]
    assert not psutil.pid_exists(hung)
    assert kinds_of(child_host.heard) == []


def test_f02_a_replacement_that_hangs_too_is_tried_ever_more_rarely(child_host: ChildHost) -> None:
    child_host.until_whole()
    child_host.say("hang-1", "all")
    for _ in range(200):
        child_host.statuses(seconds=0.0 if child_host.driver._opening else 4.0)
        time.sleep(0.01)
    assert 2 <= child_host.counters["reader_starts"] <= 6
    assert child_host.statuses() == [WHOLE, TIMEOUT, WHOLE]


def test_f02_an_opening_that_hangs_is_given_up_and_tried_again(child_host: ChildHost) -> None:
    child_host.say("hang-open", "all")
    child_host.until(lambda _: bool(child_host.boards.process_ids()))
    (hung,) = child_host.boards.process_ids()
    child_host.clock.pass_s(process.OPEN_DEADLINE_S)
    child_host.until(lambda _: "hangs while it is opened" in child_host.driver.trouble)
    child_host.unsay("hang-open")
    child_host.until_whole(seconds=0.5)
    until_gone(hung)
    assert EventKind.DRIVER_BACK in kinds_of(child_host.heard)


def test_f02_a_child_that_stands_still_delays_one_tick_and_is_killed(
    child_host: ChildHost,
) -> None:
    child_host.until_whole()
    (stopped,) = child_host.boards.process_ids()
    os.kill(stopped, signal.SIGSTOP)
    assert child_host.statuses() == [TIMEOUT] * 3
    before_s = time.thread_time()
    assert child_host.statuses() == [TIMEOUT] * 3
    assert time.thread_time() - before_s < PATIENCE_S
    child_host.until_whole(seconds=0.5)
    child_host.until(lambda _: stopped not in child_host.boards.process_ids(), seconds=0.5)
    assert not psutil.pid_exists(stopped)


def test_f02_a_child_that_crashes_is_replaced_with_the_next_tick(child_host: ChildHost) -> None:
    child_host.until_whole()
    child_host.say("crash")
    assert child_host.statuses() == [TIMEOUT] * 3
    child_host.until_whole()
    assert child_host.counters["reader_ends"] == 1
    assert kinds_of(child_host.heard) == []


def test_f02_a_child_that_always_crashes_is_not_started_all_the_time(child_host: ChildHost) -> None:
    child_host.until_whole()
    for _ in range(120):
        child_host.say("crash")
        child_host.statuses(seconds=1.0)
        time.sleep(0.01)
    assert child_host.counters["reader_starts"] <= 10
    hung = [kind for kind in kinds_of(child_host.heard) if kind is EventKind.DRIVER_HUNG]
    assert hung


@contextmanager
def frozen_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own that is frozen inside the block: who writes to it hangs in D."""
    image, mount = folder / "disk.img", folder / "disk"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    try:
        for command in (
            ["mkfs.ext4", "-q", str(image)],
            ["mount", "-o", "loop", str(image), str(mount)],
        ):
            subprocess.run(command, check=True, capture_output=True)
        subprocess.run(["fsfreeze", "-f", str(mount)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        with suppress(OSError):
            subprocess.run(["umount", str(mount)], check=False, capture_output=True)
        pytest.skip(f"this machine cannot freeze a file system: {error}")
    try:
        yield mount
    finally:
        subprocess.run(["fsfreeze", "-u", str(mount)], check=False, capture_output=True)
        subprocess.run(["umount", "-l", str(mount)], check=True, capture_output=True)


def hang_for_good(host: ChildHost) -> None:
    """Bring a host to where its driver hangs for all, and see what it does meanwhile."""

    def no_more_than_two(_: list[Draft]) -> bool:
        assert len(host.boards.process_ids()) <= 2
        return host.boards.hang_note().count("killed in vain") == 1

    host.until(no_more_than_two, seconds=0.5)
    assert EventKind.DRIVER_HUNG in kinds_of(host.heard)
    host.heard.clear()
    starts = host.counters["reader_starts"]
    for _ in range(100):
        assert host.statuses(seconds=0.5) == [TIMEOUT] * 3
    assert len(beats_in(host.heard)) >= 45
    assert kinds_of(host.heard) == []
    assert len(host.boards.process_ids()) == 2
    assert host.counters["reader_starts"] == starts


def test_f03_a_driver_that_no_signal_ends_is_told_and_survived_with_two_children(
    child_host: ChildHost,
) -> None:
    child_host.until_whole()
    with frozen_disk(child_host.folder) as disk:
        child_host.say("frozen", str(disk / "file"))
        hang_for_good(child_host)
        child_host.unsay("frozen")
    child_host.until_whole(seconds=0.5)
    assert EventKind.DRIVER_BACK in kinds_of(child_host.heard)
    child_host.until(lambda _: len(child_host.boards.process_ids()) == 1, seconds=0.5)


def test_f03_children_that_do_not_end_when_killed_are_two_and_no_more(
    child_host: ChildHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without a frozen disk: the signal that should end them does nothing."""
    child_host.until_whole()
    (first,) = child_host.boards.process_ids()
    kill = os.kill
    monkeypatch.setattr(os, "kill", lambda pid, number: None)
    kill(first, signal.SIGSTOP)
    child_host.say("hang-open", "all")
    child_host.until(lambda _: len(child_host.boards.process_ids()) == 2, seconds=0.5)
    _, second = child_host.boards.process_ids()
    kill(second, signal.SIGSTOP)
    hang_for_good(child_host)
    monkeypatch.undo()
    child_host.unsay("hang-open")
    for pid in (first, second):
        kill(pid, signal.SIGCONT)
    child_host.until_whole(seconds=0.5)
    assert EventKind.DRIVER_BACK in kinds_of(child_host.heard)


def test_f04_a_replaced_driver_is_told_waited_for_and_named_without_a_restart(
    child_host: ChildHost,
) -> None:
    child_host.until_whole()
    child_host.say("mismatch")
    child_host.say("version", "600.1")
    for _ in range(60):
        assert child_host.statuses(seconds=1.0) == [MISMATCH] * 3
        time.sleep(0.005)
    child_host.unsay("mismatch")
    child_host.until(lambda drafts: EventKind.DRIVER_CHANGED in kinds_of(drafts), seconds=0.5)
    child_host.until_whole()
    inventories = [r for r in records_of(child_host.heard) if isinstance(r, Inventory)]
    assert [inventory.driver_version for inventory in inventories] == ["590.48.01", "600.1"]
    child_host.until(lambda _: len(child_host.boards.process_ids()) == 1, seconds=0.5)


def test_f05_boards_that_are_others_after_a_reload_are_new_accelerators(
    child_host: ChildHost,
) -> None:
    child_host.until_whole()
    child_host.say("boards", "gpu-0 other")
    child_host.say("mismatch")
    child_host.tick()
    child_host.unsay("mismatch")
    child_host.until(lambda drafts: len(statuses_in(drafts)) == 2, seconds=0.5)
    found = [accelerator.uuid for accelerator in child_host.driver.accelerators]
    assert found == [uuid_of("gpu-0"), uuid_of("other")]


def test_a_driver_that_is_not_there_yet_is_tried_again(child_host: ChildHost) -> None:
    child_host.say("absent")
    child_host.until(lambda _: child_host.counters["driver_open_failures"] >= 2, seconds=0.5)
    child_host.unsay("absent")
    child_host.until_whole(seconds=0.5)


def test_events_come_by_themselves_from_whichever_child_serves(child_host: ChildHost) -> None:
    child_host.until_whole()
    codes: list[int | None] = []
    for number in (79, 48):
        child_host.say("event", str(number))
        end_s = time.monotonic() + PATIENCE_S
        while number not in codes and time.monotonic() < end_s:
            codes += [event.code for event in child_host.driver.wait_events(1.0)]
        child_host.say("crash")
        child_host.tick()
        child_host.until_whole()
    assert codes == [79, 48]


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tests.fix_child import ChildHost\n"
        "host = ChildHost(Path(sys.argv[1]))\n"
        "host.until_whole()\n"
        "print(*host.boards.process_ids(), flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    until_gone(child)


def test_a_signal_to_all_processes_of_the_agent_leaves_the_child_to_its_parent(
    child_host: ChildHost,
) -> None:
    child_host.until_whole()
    (pid,) = child_host.boards.process_ids()
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(pid, number)
    assert child_host.statuses() == [WHOLE] * 3
    assert child_host.boards.process_ids() == [pid]


def test_settings_in_the_environment_are_not_passed_on(
    child_host: ChildHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETGAUGE_KAFKA_SASL_PASSWORD", "s3cret")
    child_host.until_whole()
    (pid,) = child_host.boards.process_ids()
    assert b"s3cret" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_what_is_no_frame_is_refused() -> None:
    ours, theirs = os.pipe()
    channel = Channel(ours, Events)
    os.write(theirs, (FRAME_BYTES_MAX + 1).to_bytes(4, "little"))
    with pytest.raises(DecodeError):
        channel.receive(PATIENCE_S)
    channel.close()
    os.close(theirs)
    ours, theirs = os.pipe()
    channel, other = Channel(ours, Events), Channel(theirs, Read)
    other.send(Read(1, Group.FAST, (0,), 1.0))
    with pytest.raises(DecodeError):
        channel.receive(PATIENCE_S)
    other.close()
    with pytest.raises(EOFError):
        channel.receive(PATIENCE_S)
    channel.close()
