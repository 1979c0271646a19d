"""The real agent, whose every tick, event and queue snapshot is also written to the test's tally.

Run as a program by the torture. The tally is made outside the product: each line is appended by
this file before a draft is given to the outbox (`intent`) and after the outbox has returned
(`kept`). What is kept must be stored once; what was never intended must not be.
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agent.accelerators import AcceleratorReading, Inspection
from agent.boards import in_process
from agent.counters import Counters
from agent.drafts import Draft, EventDraft, Identity, QueueDraft, SampleTick
from agent.kafka import KafkaSink
from agent.observer import Plan
from agent.outbox import Outbox
from agent.run import Agent, Parts
from agent.settings import AgentSettings
from agent.spool_file import SpoolFile
from telemetry import logs
from telemetry.clock import SystemClock
from telemetry.metrics import Group
from telemetry.packing import unpack
from telemetry.records import (
    Accelerator,
    Event,
    EventKind,
    Place,
    QueueSnapshot,
    ReaderStatus,
)
from telemetry.stop import StopSignal
from telemetry.wire import Message, MessageKind, SamplesHeader

FACILITY = "torture"
ACCELERATORS = 2
INTERVAL_S = 0.5
METRICS = ("power_milliwatts", "temperature_gpu_celsius", "energy_millijoules")
LARGEST = (10**6, 120, 2**62)
EVENT_WORD = "torture"
Line = tuple[str, list[int | float | str | None]]


class NoisyHost:
    """Accelerators, events and queues whose values are random, so that no two rows are alike."""

    def __init__(self, host: str) -> None:
        # 16 bytes each
        self._uuids = [f"{host:_<15.15}{index}".encode() for index in range(ACCELERATORS)]
        self._chance = random.Random(os.urandom(8))

    def open(self) -> Inspection:
        return Inspection(
            "1", "1", tuple(Accelerator(uuid=u, index=i) for i, u in enumerate(self._uuids))
        )

    def read(self, position: int, group: Group) -> AcceleratorReading:
        values = {
            name: self._chance.randrange(largest)
            for name, largest in zip(METRICS, LARGEST, strict=True)
            if group is Group.FAST and self._chance.random() > 0.1
        }
        return AcceleratorReading(self._uuids[position], ReaderStatus.WHOLE, values)

    def wait_events(self, timeout_s: float) -> list[Event]:
        time.sleep(timeout_s)
        return [
            Event(
                time_us=SystemClock().now_us(),
                kind=EventKind.XID,
                accelerator=self._chance.choice(self._uuids),
                code=self._chance.randrange(10**9),
                message=f"{EVENT_WORD} {self._chance.randrange(10**9)}",
            )
        ]

    def close(self) -> None:
        """Nothing is open."""


class NoisyQueues:
    """Two queues of random length."""

    def __init__(self, host: str) -> None:
        self._names = [f"{host}-chat", f"{host}-code"]
        self._chance = random.Random(os.urandom(8))

    def read(self, time_us: int, now_s: float) -> list[QueueSnapshot]:
        return [
            QueueSnapshot(
                time_us=time_us,
                source=EVENT_WORD,
                queue=name,
                waiting=float(self._chance.randrange(10**6)),
            )
            for name in self._names
        ]


class TallyingOutbox(Outbox):
    """An outbox whose drafts are also written down.

    Attributes:
        tally: a file descriptor.
        mistake: a way in which the agent under test is broken, for the test of the test.
    """

    tally: int
    mistake: Callable[[Sequence[Draft]], Sequence[Draft]] | None = None

    def write(self, drafts: Sequence[Draft]) -> None:
        lines = list(_lines(drafts))
        self._note("intent", lines)
        super().write(drafts if self.mistake is None else self.mistake(drafts))
        self._note("kept", lines)

    def _note(self, word: str, lines: list[Line]) -> None:
        for line in lines:
            os.write(self.tally, (json.dumps([word, *line]) + "\n").encode())


def _lines(drafts: Sequence[Draft]) -> Iterator[Line]:
    for draft in drafts:
        if isinstance(draft, SampleTick) and draft.group is Group.FAST:
            for position, cells in enumerate(_cells(draft)):
                yield "samples", [draft.time_us, position, *cells]
        elif isinstance(draft, EventDraft):
            for record in draft.records:
                if isinstance(record, Event) and record.message.startswith(EVENT_WORD):
                    yield "events", [record.time_us, record.code, record.message]
        elif isinstance(draft, QueueDraft):
            for snapshot in draft.snapshots:
                yield "queues", [snapshot.time_us, snapshot.queue, snapshot.waiting]


def _cells(tick: SampleTick) -> list[list[int | None]]:
    """Return the values of each accelerator, in the order of `METRICS`."""
    header = SamplesHeader(
        tenant="t",
        facility="f",
        host="h",
        boot_epoch=1,
        seq=1,
        ticks=1,
        accelerators=tick.accelerators,
        layout=tick.layout,
    )
    columns = unpack(Message(MessageKind.SAMPLES, header, memoryview(tick.body))).columns
    absent: list[int | None] = [None] * ACCELERATORS
    return [list(cells) for cells in zip(*(columns.get(n, absent) for n in METRICS), strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("bootstrap")
    parser.add_argument("prefix")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mutant", default="")
    arguments = parser.parse_args()
    logs.configure("agent", "info")
    settings = AgentSettings(
        host=arguments.host,
        facility=FACILITY,
        kafka_bootstrap=arguments.bootstrap,
        kafka_topic_prefix=arguments.prefix,
    )
    clock, counters = SystemClock(), Counters()
    folder: Path = arguments.folder
    outbox = TallyingOutbox(
        Identity.checked("default", FACILITY, arguments.host),
        SpoolFile(folder / f"{arguments.host}.spool", 64 << 20, sync="full"),
        clock,
        counters,
        ticks_per_message=3,
    )
    outbox.tally = os.open(
        folder / f"{arguments.host}.tally", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
    )
    if arguments.mutant:
        from tests.torture import mutants  # noqa: PLC0415 - only the test of the test has them

        mutants.AGENTS[arguments.mutant](outbox)
    sink = KafkaSink(
        settings,
        clock,
        counters,
        in_flight_bytes_max=4 << 20,
        drain_messages_per_second_max=100.0,
        compression="none",
    )
    plan = Plan(
        agent_version="test",
        place=Place(),
        sample_interval_s=INTERVAL_S,
        heartbeat_interval_s=1.0,
    )
    agent = Agent(
        plan,
        Parts(
            in_process(NoisyHost(arguments.host), clock, counters),
            outbox,
            sink,
            queues=[NoisyQueues(arguments.host)],
        ),
        clock,
        counters,
        read_deadline_s=INTERVAL_S,
        queue_interval_s=1.0,
    )
    stop = StopSignal()
    stop.install()
    agent.run(stop)


if __name__ == "__main__":
    main()
    sys.exit(0)
