"""The kernel log as a file, and its lines as events of boards."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.kernel_log.device import KernelLogDevice
from agent.kernel_log.position import Position
from agent.kernel_log.witness import KernelLogSettings, KernelLogWitness
from telemetry.records import Accelerator
from tests.fix_accelerators import ManualClock

UUIDS = [bytes([n]) * 16 for n in range(1, 4)]
LINE = b"3,%d,%d,-;NVRM: Xid (PCI:0000:%02x:00): %d, pid=1, name=a, words"
BOOT = "11111111-2222"


def line(sequence: int, bus: int = 1, code: int = 79, since_boot_s: float = 990.0) -> bytes:
    return LINE % (sequence, round(since_boot_s * 1e6), bus, code)


def board(index: int, bus: int) -> Accelerator:
    return Accelerator(uuid=UUIDS[index], index=index, pci_address=f"00000000:{bus:02X}:00.0")


def make_witness(folder: Path, clock: ManualClock, boot_id: str = BOOT) -> KernelLogWitness:
    settings = KernelLogSettings(
        kernel_log_path=str(folder / "kmsg"),
        kernel_log_position_path=str(folder / "position.json"),
    )
    return KernelLogWitness(settings, clock, boot_id)


@pytest.fixture
def witness(tmp_path: Path, manual_clock: ManualClock) -> Iterator[KernelLogWitness]:
    made = make_witness(tmp_path, manual_clock)
    yield made
    made.close()


def test_a_line_becomes_an_event_of_its_board_at_its_own_time(
    witness: KernelLogWitness, manual_clock: ManualClock
) -> None:
    witness.know([board(0, 1), board(1, 2)], "590.48.01")
    (event,) = witness.take([b"6,1,0,-;something else", line(7, bus=2, since_boot_s=990)])
    assert (event.accelerator, event.code) == (UUIDS[1], 79)
    assert event.time_us == manual_clock.now_us() - 10_000_000
    assert event.detail["witness"] == "kernel_log"
    assert event.detail["pci_address"] == "0000:02:00"
    assert event.detail["kernel_log_sequence"] == 7


def test_a_board_that_nvml_forgot_keeps_its_address(witness: KernelLogWitness) -> None:
    witness.know([board(0, 1), board(1, 2)])
    witness.know([board(0, 1)])
    assert witness.take([line(1, bus=2)])[0].accelerator == UUIDS[1]


def test_another_board_at_the_same_address_takes_it(witness: KernelLogWitness) -> None:
    witness.know([board(0, 1)])
    witness.know([board(2, 1)])
    assert witness.take([line(1, bus=1)])[0].accelerator == UUIDS[2]


def test_a_board_that_nobody_knows_is_told_by_its_address(witness: KernelLogWitness) -> None:
    (event,) = witness.take([line(1, bus=9)])
    assert event.accelerator == b""
    assert event.detail["pci_address"] == "0000:09:00"


def test_the_drivers_own_note_names_a_board_that_nvml_never_saw(witness: KernelLogWitness) -> None:
    note = b"3,1,5,-;NVRM: GPU at PCI:0000:09:00: GPU-01010101-0101-0101-0101-010101010101"
    (event,) = witness.take([note, line(2, bus=9)])
    assert event.accelerator == UUIDS[0]


def test_a_line_of_a_program_is_no_witness(witness: KernelLogWitness) -> None:
    assert witness.take([line(1).replace(b"3,", b"12,", 1)]) == []


def test_lines_are_told_once_over_a_restart(tmp_path: Path, manual_clock: ManualClock) -> None:
    first = make_witness(tmp_path, manual_clock)
    assert len(first.take([line(1), line(2)])) == 2
    first.remember()
    assert len(first.take([line(3)])) == 1  # and dies before it is safe
    second = make_witness(tmp_path, manual_clock)
    told = second.take([line(1), line(2), line(3), line(4)])
    assert [event.detail["kernel_log_sequence"] for event in told] == [3, 4]


def test_sequence_numbers_start_anew_with_each_boot(
    tmp_path: Path, manual_clock: ManualClock
) -> None:
    before = make_witness(tmp_path, manual_clock)
    before.take([line(50)])
    before.remember()
    after = make_witness(tmp_path, manual_clock, boot_id="another")
    assert len(after.take([line(1)])) == 1


def test_a_spoilt_position_file_means_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "position").write_bytes(b'{"boot_id": 7')
    assert Position.load(tmp_path / "position", BOOT).sequence == -1


def test_a_position_that_cannot_be_written_is_survived(tmp_path: Path) -> None:
    position = Position(tmp_path / "missing" / "position", BOOT, 5)
    position.save()
    assert Position.load(position.path, BOOT).sequence == -1


def test_lines_of_more_than_a_day_ago_are_left(
    witness: KernelLogWitness, manual_clock: ManualClock
) -> None:
    manual_clock.pass_s(100_000)
    assert witness.take([line(1, since_boot_s=1), line(2, since_boot_s=100_500)])[0].code == 79
    assert witness.counters["kernel_log_faults"] == 1


def test_a_plain_file_is_read_to_its_end_and_then_on(
    tmp_path: Path, manual_clock: ManualClock
) -> None:
    path = tmp_path / "kmsg"
    path.write_bytes(line(1) + b"\n SUBSYSTEM=pci\n" + line(2) + b"\n" + line(3)[:20])
    witness = make_witness(tmp_path, manual_clock)
    assert len(witness.wait(0)) == 2
    assert witness.wait(0) == []
    with path.open("ab") as file:
        file.write(line(3)[20:] + b"\n")
    assert len(witness.wait(0)) == 1
    witness.close()


def test_a_missing_log_is_said_once_and_tried_again(
    tmp_path: Path, manual_clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    witness = make_witness(tmp_path, manual_clock)
    for _ in range(3):
        assert witness.wait(0) == []
        manual_clock.pass_s(61)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert witness.counters["kernel_log_failures"] == 3
    (tmp_path / "kmsg").write_bytes(line(1) + b"\n")
    assert len(witness.wait(0)) == 1
    witness.close()


def test_a_forbidden_log_names_the_way_out(
    tmp_path: Path,
    manual_clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_arguments: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("agent.kernel_log.device.os.open", refuse)
    assert KernelLogDevice(tmp_path / "kmsg", manual_clock).read(0) == []
    assert "CAP_SYSLOG" in caplog.text


def test_an_overrun_is_counted_and_reading_goes_on(
    tmp_path: Path, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kmsg").write_bytes(line(9) + b"\n")
    read, failed = os.read, list[bool]()

    def overrun_once(descriptor: int, size: int) -> bytes:
        if not failed:
            failed.append(True)
            raise BrokenPipeError(32, "Broken pipe")
        return read(descriptor, size)

    monkeypatch.setattr("agent.kernel_log.device.os.read", overrun_once)
    witness = make_witness(tmp_path, manual_clock)
    assert len(witness.wait(0)) == 1
    assert witness.counters["kernel_log_overruns"] == 1
    witness.close()


def test_a_device_that_hands_out_one_record_a_read_is_drained(
    tmp_path: Path, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    monkeypatch.setattr("agent.kernel_log.device.os.open", lambda *_: os.dup(ours.fileno()))
    witness = make_witness(tmp_path, manual_clock)
    for sequence in (1, 2, 3):
        theirs.send(line(sequence) + b"\n")
    assert len(witness.wait(1.0)) == 3
    assert witness.wait(0) == []
    witness.close()
    ours.close()
    theirs.close()


@pytest.mark.skipif(not os.access("/dev/kmsg", os.R_OK), reason="/dev/kmsg cannot be read here")
def test_the_real_kernel_log_opens_and_never_blocks(manual_clock: ManualClock) -> None:
    device = KernelLogDevice(Path("/dev/kmsg"), manual_clock)
    records = device.read(0)
    assert device.failures == 0
    assert all(b";" in record or record.startswith(b" ") for record in records)
    device.close()
