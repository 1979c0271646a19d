"""Probes of the pipe: agents that say when they read what, and have an Xid when they are told to.

One host with eight boards sends each tick by itself and prints the tick's time; any number of
others, each alone in a facility of its own so that its alert is an incident of its own, wait for an
Xid. All run the agent's reader, sampler, spool and sink. Run as a program of its own; a line
`xid N` on standard input lets host N have one, the end of the input ends all of them. Prints one
JSON object a line: `{"tick_s": …}` and `{"facility": …, "xid_s": …}`.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from agent.accelerators.nvidia import NvidiaReader
from agent.boards import in_process
from agent.counters import Counters
from agent.drafts import Draft, Identity, SampleTick
from agent.kafka import KafkaSink
from agent.observer import Plan
from agent.outbox import Outbox
from agent.run import Agent, Parts
from agent.spool_file import SpoolFile
from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.host import make_driver
from simulator.nvml.install import binding_for
from telemetry import logs
from telemetry.clock import Clock, SystemClock
from telemetry.metrics import Group
from telemetry.stop import StopSignal
from telemetry.streams import KafkaSettings

FACILITY = "probe"
SPOOL_BYTES_MAX = 16 << 20
READ_DEADLINE_S = 0.8
END_S = 15.0
# A double-bit error: fatal by every policy, and the board goes on answering.
XID = 48

_printing = threading.Lock()


class TellingOutbox(Outbox):
    """An outbox that prints the time of each fast tick that it is given."""

    def write(self, drafts: Sequence[Draft]) -> None:
        """Tell, and store."""
        for draft in drafts:
            if isinstance(draft, SampleTick) and draft.group is Group.FAST:
                tell({"tick_s": draft.time_us / 1e6})
        super().write(drafts)


def xid_facility(number: int) -> str:
    """Return the facility that has nothing but Xid host `number`."""
    return f"xid-{number:03}"


def tell(record: dict[str, object]) -> None:
    """Print one line."""
    with _printing:
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()


def main(words: Sequence[str]) -> None:
    """Run the probes until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("spools", type=Path)
    parser.add_argument("xid_hosts", type=int)
    parser.add_argument("ticks_per_message", type=int)
    chosen = parser.parse_args(words)
    logs.configure("probe", "error")
    clock, stop = SystemClock(), StopSignal()
    settings = KafkaSettings(kafka_bootstrap=chosen.bootstrap)
    sampled = make_driver("h100x8", clock, host=FACILITY)
    drivers = [make_driver("h100x1", clock, host=xid_facility(n)) for n in range(chosen.xid_hosts)]
    made = [_agent(settings, FACILITY, sampled, chosen.spools, clock, chosen.ticks_per_message)]
    made += [
        _agent(settings, xid_facility(number), driver, chosen.spools, clock, 10)
        for number, driver in enumerate(drivers)
    ]
    threads = [threading.Thread(target=agent.run, args=(stop,), daemon=True) for agent in made]
    for thread in threads:
        thread.start()
        time.sleep(1 / len(threads))  # agents that start together would read together for ever
    for line in sys.stdin:
        number = int(line.split()[1])
        tell({"facility": xid_facility(number), "xid_s": time.time()})
        drivers[number].raise_xid(0, XID)
    stop.set()
    for thread in threads:
        thread.join(END_S)


def _agent(
    settings: KafkaSettings,
    facility: str,
    driver: SimulatedDriver,
    spools: Path,
    clock: Clock,
    ticks_per_message: int,
) -> Agent:
    counters = Counters()
    kind = TellingOutbox if facility == FACILITY else Outbox
    outbox = kind(
        Identity.checked("default", facility, f"{facility}-1"),
        SpoolFile(spools / f"{facility}.sqlite3", SPOOL_BYTES_MAX, sync="full"),
        clock,
        counters,
        ticks_per_message=ticks_per_message,
    )
    return Agent(
        Plan(agent_version="bench"),
        Parts(
            in_process(NvidiaReader(clock, binding_for(driver)), clock, counters),
            outbox,
            KafkaSink(settings, clock, counters),
        ),
        clock,
        counters,
        read_deadline_s=READ_DEADLINE_S,
        queue_interval_s=60.0,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
