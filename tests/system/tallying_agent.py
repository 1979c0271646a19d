"""The real agent, whose every stored tick is also written to a file of the test's own.

Run as a program by the crash test. The tally is made outside the product: each line is appended
and flushed by this file, before a tick is given to the outbox (`intent`) and after the outbox has
returned (`kept`). What is kept must be stored once; what was never intended must not be.
"""

import argparse
import json
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.accelerators import AcceleratorReading, Inspection
from agent.counters import Counters
from agent.drafts import Draft, Identity, SampleTick
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
from telemetry.records import Accelerator, Event, Place, ReaderStatus
from telemetry.stop import StopSignal
from telemetry.wire import Message, MessageKind, SamplesHeader

ACCELERATORS = 2
INTERVAL_S = 0.1


class NoisyReader:
    """Accelerators whose power is random, so that two rows are never alike by chance."""

    def __init__(self, host: str) -> None:
        self._uuids = [
            f"{host:_<15.15}{index}".encode() for index in range(ACCELERATORS)
        ]  # 16 bytes each
        self._random = random.Random(os.urandom(8))

    def open(self) -> Inspection:
        return Inspection(
            "1", "1", tuple(Accelerator(uuid=u, index=i) for i, u in enumerate(self._uuids))
        )

    def read(self, position: int, group: Group) -> AcceleratorReading:
        values = {} if group is Group.SLOW else {"power_milliwatts": self._random.randrange(10**6)}
        return AcceleratorReading(self._uuids[position], ReaderStatus.WHOLE, values)

    def wait_events(self, timeout_s: float) -> list[Event]:
        StopSignal().wait(timeout_s)
        return []

    def close(self) -> None:
        """Nothing is open."""


class TallyingOutbox(Outbox):
    """An outbox whose ticks are also written down."""

    tally: int

    def write(self, drafts: Sequence[Draft]) -> None:
        ticks = [d for d in drafts if isinstance(d, SampleTick) and d.group is Group.FAST]
        self._note("intent", ticks)
        super().write(drafts)
        self._note("kept", ticks)

    def _note(self, word: str, ticks: list[SampleTick]) -> None:
        for tick in ticks:
            line = json.dumps([word, tick.time_us, powers(tick)]) + "\n"
            os.write(self.tally, line.encode())


def powers(tick: SampleTick) -> list[int | None]:
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
    message = Message(MessageKind.SAMPLES, header, memoryview(tick.body))
    return unpack(message).columns["power_milliwatts"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("bootstrap")
    parser.add_argument("prefix")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    logs.configure("agent", "info")
    settings = AgentSettings(
        host=arguments.host,
        facility="crash",
        kafka_bootstrap=arguments.bootstrap,
        kafka_topic_prefix=arguments.prefix,
    )
    clock, counters = SystemClock(), Counters()
    folder: Path = arguments.folder
    outbox = TallyingOutbox(
        Identity.checked("default", "crash", arguments.host),
        SpoolFile(folder / f"{arguments.host}.spool", 64 << 20, sync="full"),
        clock,
        counters,
        ticks_per_message=5,
    )
    outbox.tally = os.open(
        folder / f"{arguments.host}.tally", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
    )
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
        Parts(NoisyReader(arguments.host), outbox, sink),
        clock,
        counters,
        read_deadline_s=INTERVAL_S,
        queue_interval_s=10.0,
    )
    stop = StopSignal()
    stop.install()
    agent.run(stop)


if __name__ == "__main__":
    main()
    sys.exit(0)
