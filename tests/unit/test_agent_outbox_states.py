"""Any order of writing, confirming, dying and failing loses nothing and invents nothing."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.counters import Counters
from agent.drafts import EventDraft
from agent.outbox import Outbox
from agent.spool_keeper import DISK_RETRY_S
from agent.spool_rows import Slot
from telemetry.records import Dropped, Event, EventKind
from telemetry.streams import Stream
from tests.fix_agent import (
    IDENTITY,
    START_US,
    FlakyDisk,
    HandClock,
    make_tick,
    records_in,
    times_in,
)

BYTES_MAX = 1 << 18


class OutboxMachine(RuleBasedStateMachine):
    """The test is the broker; what it was given is in `delivered`."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="fleetgauge-outbox-"))
        self.clock = HandClock()
        self.path = self.folder / "spool-0" / "spool.sqlite3"
        self.lives = 0
        self.ticks = 0
        self.events = 0
        self.delivered: dict[Slot, bytes] = {}
        self.epoch = 0
        self.disk_failed = False

    @initialize()
    def start(self) -> None:
        self.disk = FlakyDisk(self.path, BYTES_MAX, sync="normal")
        self.outbox = Outbox(
            IDENTITY, self.disk, self.clock, Counters(), ticks_per_message=3,
            memory_bytes_max=BYTES_MAX,
        )  # fmt: skip
        assert self.outbox.boot_epoch > self.epoch
        self.epoch = self.outbox.boot_epoch
        self.clock.pass_s(0.001)

    @rule(count=st.integers(1, 7), gpus=st.integers(1, 3), pause_s=st.floats(0, 5))
    def write_ticks(self, count: int, gpus: int, pause_s: float) -> None:
        for _ in range(count):
            self.outbox.write([make_tick(self.ticks, gpus)])
            self.ticks += 1
        self.clock.pass_s(pause_s)

    @rule()
    def write_event(self) -> None:
        event = Event(time_us=START_US, kind=EventKind.XID, code=self.events)
        self.outbox.write([EventDraft([event])])
        self.events += 1

    @rule(stream=st.sampled_from(list(Stream)), count=st.integers(1, 8), data=st.data())
    def deliver(self, stream: Stream, count: int, data: st.DataObject) -> None:
        """The broker takes some messages; not all confirmations come back, nor in order."""
        pending = self.outbox.pending(stream, count)
        for slot, payload in pending:
            assert self.delivered.setdefault(slot, payload) == payload
        if pending:
            slots = data.draw(st.permutations([slot for slot, _ in pending]))
            self.outbox.confirm(slots[: data.draw(st.integers(0, len(slots)))])

    @rule(seconds=st.sampled_from([-1e9, -60.0, 60.0]))
    def set_wall_clock(self, seconds: float) -> None:
        if self.clock.wall_us + seconds * 1e6 > 0:
            self.clock.step_wall_s(seconds)

    @rule()
    def flush(self) -> None:
        self.outbox.flush()

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        if self.disk.broken:
            # What is in memory alone dies with the process, and so does its epoch.
            self.forget_undelivered()
            self.epoch = 0
        self.start()

    @precondition(lambda self: not self.disk.broken and not self.outbox._keeper.in_memory)
    @rule()
    def die(self) -> None:
        """As after kill -9: the next life starts from the files as they are at this moment."""
        self.lives += 1
        now = self.folder / f"spool-{self.lives}"
        shutil.copytree(self.path.parent, now)
        self.outbox.close()
        self.path = now / self.path.name
        self.start()

    @precondition(lambda self: not self.disk.broken)
    @rule()
    def break_disk(self) -> None:
        self.disk.broken = True
        self.disk_failed = True

    @precondition(lambda self: self.disk.broken)
    @rule()
    def mend_disk(self) -> None:
        self.disk.broken = False
        self.clock.pass_s(DISK_RETRY_S + 1)

    @invariant()
    def is_bounded(self) -> None:
        if not self.disk.broken:
            assert self.outbox.state().used_bytes <= BYTES_MAX + (1 << 16)

    def forget_undelivered(self) -> None:
        self.disk.broken = False
        self.lost_allowed = True

    lost_allowed = False

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.disk.broken = False
            self.clock.pass_s(DISK_RETRY_S + 1)
            self.write_event()
            self.outbox.flush()
            for stream in Stream:
                for slot, payload in self.outbox.pending(stream, 100_000):
                    assert self.delivered.setdefault(slot, payload) == payload
            self.check()
            self.outbox.close()
        shutil.rmtree(self.folder)

    def check(self) -> None:
        ticks: list[int] = []
        events: list[int | None] = []
        dropped: set[Slot] = set()
        for slot, payload in self.delivered.items():
            if slot.stream is Stream.SAMPLES:
                ticks += times_in(payload)
                continue
            for record in records_in(payload):
                if isinstance(record, Event):
                    events.append(record.code)
                elif isinstance(record, Dropped):
                    stream = Stream(record.stream)
                    for seq in range(record.first_seq, record.last_seq + 1):
                        dropped.add(Slot(stream, record.boot_epoch, seq))
        assert len(set(ticks)) == len(ticks)
        assert len(set(events)) == len(events)
        assert set(ticks) <= set(range(self.ticks))
        assert set(events) <= set(range(self.events))
        if not dropped and not self.lost_allowed:
            assert sorted(ticks) == list(range(self.ticks))
            assert sorted(code for code in events if code is not None) == list(range(self.events))
        if not self.lost_allowed:
            for stream in Stream:
                self.check_sequence(stream, dropped)

    def check_sequence(self, stream: Stream, dropped: set[Slot]) -> None:
        """Every number that was given out has come, or is said never to come."""
        known = {slot for slot in {*self.delivered, *dropped} if slot.stream is stream}
        for epoch in {slot.boot_epoch for slot in known}:
            numbers = {slot.seq for slot in known if slot.boot_epoch == epoch}
            assert numbers == set(range(1, max(numbers) + 1))


OutboxMachine.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_outbox = OutboxMachine.TestCase
