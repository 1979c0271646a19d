"""Both witnesses on their threads: each fault is put once."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.kernel_log.witness import KernelLogSettings, KernelLogWitness
from agent.witnesses import REMEMBER_AFTER_S, Witnesses
from agent.xid_join import XidJoiner, XidSettings
from telemetry.clock import SystemClock
from telemetry.records import Accelerator, Detail, Event, EventKind
from tests.fix_accelerators import ManualClock

GPU = b"\x01" * 16


class FakeKernelLog:
    def __init__(self, *told: list[Event]) -> None:
        self.told = list(told)
        self.remembered = 0
        self.closed = False

    def wait(self, timeout_s: float) -> list[Event]:
        return self.told.pop(0) if self.told else []

    def wake(self) -> None:
        self.woken = True

    def remember(self) -> None:
        self.remembered += 1

    def close(self) -> None:
        self.closed = True


def xid(code: int, **detail: str) -> Event:
    whole: Detail = {**detail}
    return Event(time_us=1, kind=EventKind.XID, accelerator=GPU, code=code, detail=whole)


def test_a_fault_of_both_witnesses_is_put_once(manual_clock: ManualClock) -> None:
    put: list[Event] = []
    kernel_log = FakeKernelLog([xid(79, witness="kernel_log")])
    witnesses = Witnesses(XidJoiner(XidSettings()), kernel_log, manual_clock, put.extend)
    witnesses.heard([xid(79)])
    assert put == []
    witnesses.step(0)
    assert [event.detail["witness"] for event in put] == ["kernel_log nvml"]


def test_without_a_kernel_log_a_fault_leaves_after_its_hold(manual_clock: ManualClock) -> None:
    put: list[Event] = []
    witnesses = Witnesses(XidJoiner(XidSettings()), None, manual_clock, put.extend)
    witnesses.heard([xid(79)])
    manual_clock.pass_s(0.5)
    witnesses.step(0)
    assert [event.code for event in put] == [79]


def test_a_fault_wakes_the_thread_that_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.witnesses.LISTEN_S", 600.0)
    arrived, put = threading.Event(), list[Event]()

    def take(events: Sequence[Event]) -> None:
        put.extend(events)
        arrived.set()

    witnesses = Witnesses(XidJoiner(XidSettings(xid_hold_s=0.01)), None, SystemClock(), take)
    ending = threading.Event()
    thread = threading.Thread(target=witnesses.listen, args=(ending,), daemon=True)
    thread.start()
    witnesses.heard([xid(79)])
    assert arrived.wait(20)
    ending.set()
    witnesses.wake()
    thread.join(20)
    assert [event.code for event in put] == [79]


def test_the_position_is_remembered_when_events_had_time_to_be_stored(
    manual_clock: ManualClock,
) -> None:
    kernel_log = FakeKernelLog([xid(79, witness="kernel_log")])
    witnesses = Witnesses(XidJoiner(XidSettings()), kernel_log, manual_clock, lambda _events: None)
    for _ in range(3):
        witnesses.step(0)
    assert kernel_log.remembered == 0
    manual_clock.pass_s(REMEMBER_AFTER_S)
    for _ in range(3):
        witnesses.step(0)
    assert kernel_log.remembered == 1


def test_what_is_held_is_told_at_the_end(manual_clock: ManualClock) -> None:
    put: list[Event] = []
    kernel_log = FakeKernelLog()
    witnesses = Witnesses(XidJoiner(XidSettings()), kernel_log, manual_clock, put.extend)
    witnesses.heard([xid(79)])
    ending = threading.Event()
    ending.set()
    witnesses.listen(ending)
    assert [event.code for event in put] == [79]
    assert kernel_log.closed


def test_a_line_in_the_log_becomes_an_event_on_threads(tmp_path: Path) -> None:
    clock, path = SystemClock(), tmp_path / "kmsg"
    path.touch()
    settings = KernelLogSettings(kernel_log_path=str(path), kernel_log_position_path="")
    kernel_log = KernelLogWitness(settings, clock, "boot")
    kernel_log.know([Accelerator(uuid=GPU, index=0, pci_address="00000000:1B:00.0")])
    arrived, put = threading.Event(), list[Event]()

    def take(events: Sequence[Event]) -> None:
        put.extend(events)
        arrived.set()

    witnesses = Witnesses(XidJoiner(XidSettings()), kernel_log, clock, take)
    ending = threading.Event()
    thread = threading.Thread(target=witnesses.listen, args=(ending,), daemon=True)
    thread.start()
    now_us = time.monotonic_ns() // 1000
    path.write_text(f"3,1,{now_us},-;NVRM: Xid (PCI:0000:1b:00): 94, pid=5, name=a, Contained\n")
    assert arrived.wait(20)
    ending.set()
    witnesses.wake()
    thread.join(20)
    assert not thread.is_alive()
    assert [(event.code, event.accelerator) for event in put] == [(94, GPU)]
