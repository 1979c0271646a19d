"""Read this host's accelerators and queues, and send what is read to Kafka.

It needs no privilege, listens on nothing, and writes nothing but its spool: a file that holds what
the broker has not confirmed, so that an outage costs nothing while it is shorter than the spool.

  fleetgauge agent --once --sink stdout      one reading as JSON, for a person
  fleetgauge agent --config agent.toml       read every second, send every ten, until stopped
  fleetgauge agent --queue-endpoints vllm=http://127.0.0.1:8000/metrics
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from agent.accelerators import AcceleratorReader, AcceleratorReading, load_reader
from agent.boards import in_process
from agent.counters import Counters
from agent.drafts import Identity
from agent.settings import AgentSettings
from agent.stdout import print_readings
from telemetry import logs, settings
from telemetry.clock import Clock, SystemClock
from telemetry.errors import ConfigError, RetryableError
from telemetry.metrics import Group
from telemetry.records import ReaderStatus
from telemetry.stop import StopSignal

if TYPE_CHECKING:
    from agent.child.boards import ChildBoards
    from agent.kafka_client import Signer
    from agent.run import Agent

# Activity counters are the difference of two readings at least 0.1 s apart.
WARM_UP_S = 0.5
PRINT_OPEN_DEADLINE_S = 20.0
# `-P`: what happens to lie in the working directory is not imported.
CHILD = (sys.executable, "-P", "-c", "from agent.child.serve import main; main()")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this program."""
    parser.add_argument(
        "--once", action="store_true", help="print one reading and end; with --sink stdout"
    )
    settings.add_flags(parser, AgentSettings)


def run(
    arguments: argparse.Namespace,
    child: Sequence[str] = CHILD,
    prepare: Callable[[], None] = lambda: None,
) -> int:
    """Read until stopped.

    Args:
        arguments: as parsed.
        child: command of the process that reads the driver; it is told the reader's name, the log
            level and its sockets.
        prepare: called before the driver is read in this process, which only printing does.
    """
    chosen = settings.load(AgentSettings, arguments, os.environ)
    if arguments.once and chosen.sink != "stdout":
        raise ConfigError(["--once: goes with --sink stdout only"])
    identity = Identity.checked(chosen.tenant, chosen.facility, chosen.host_name())
    logs.configure("agent", cast("logs.Level", chosen.log_level))
    clock = SystemClock()
    stop = StopSignal()
    stop.install()
    if chosen.sink == "stdout":
        prepare()
        make_reader = cast("Callable[[Clock], AcceleratorReader]", load_reader(chosen.reader))
        return _print(chosen, identity, make_reader(clock), clock, stop, once=arguments.once)
    return _send(chosen, identity, [*child, chosen.reader, chosen.log_level], clock, stop)


def _print(
    chosen: AgentSettings,
    identity: Identity,
    reader: AcceleratorReader,
    clock: Clock,
    stop: StopSignal,
    *,
    once: bool,
) -> int:
    # A driver that hangs is to be said, and nothing is to be waited for longer than that.
    boards = in_process(reader, clock, Counters())
    try:
        opening = boards.open()
        if opening is None or not opening.wait(PRINT_OPEN_DEADLINE_S):
            why = f"the driver hangs while it is opened, for {PRINT_OPEN_DEADLINE_S:.0f} s"
            raise RetryableError(f"cannot read any accelerator: {why}")
        try:
            inspection = opening.result()
        except RetryableError as error:
            raise RetryableError(f"cannot read any accelerator: {error}") from error
        boards.adopt(opening)
        accelerators = inspection.accelerators

        def read(group: Group) -> list[AcceleratorReading]:
            answers = boards.read(range(len(accelerators)), group, chosen.read_deadline_s)
            return [
                answer or AcceleratorReading(accelerator.uuid, ReaderStatus.TIMEOUT)
                for accelerator, answer in zip(accelerators, answers, strict=True)
            ]

        read(Group.FAST)
        interval_s = WARM_UP_S if once else chosen.sample_interval_s
        while not stop.wait(interval_s):
            time_us = clock.now_us()
            readings = [read(Group.FAST), read(Group.SLOW)]
            print_readings(
                sys.stdout,
                host=identity.host,
                time_us=time_us,
                accelerators=accelerators,
                readings=readings,
                indent=2 if once else None,
            )
            if not once:
                continue
            if accelerators and all(r.status is ReaderStatus.TIMEOUT for r in readings[0]):
                raise RetryableError("the driver hangs: no accelerator answers in time")
            break
    finally:
        boards.close()
    return 0


def _send(
    chosen: AgentSettings,
    identity: Identity,
    child: Sequence[str],
    clock: Clock,
    stop: StopSignal,
) -> int:
    from agent.child.boards import ChildBoards  # noqa: PLC0415
    from agent.settled import share_arena  # noqa: PLC0415

    share_arena()
    chosen.client_options()  # what is wrong with its files is said before anything starts
    signer: Signer | None = None
    if chosen.signing_key_file:
        # The library is only loaded by an agent that has a key.
        from agent.key_file import KeySigner, read_key_file  # noqa: PLC0415

        signer = KeySigner(read_key_file(Path(chosen.signing_key_file)))
    counters = Counters()
    boards = ChildBoards(child, clock, counters)
    # The first sample waits for the driver, and the driver takes as long as the rest of the agent.
    boards.start_early()
    try:
        agent = _assemble(chosen, identity, boards, clock, counters, signer)
    except BaseException:
        boards.close()
        raise
    agent.run(stop)
    return 0


def _assemble(
    chosen: AgentSettings,
    identity: Identity,
    boards: "ChildBoards",
    clock: Clock,
    counters: Counters,
    signer: "Signer | None",
) -> "Agent":
    # Kafka's client is imported only by an agent that sends, and takes long.
    from importlib.metadata import version  # noqa: PLC0415

    from agent.beside import Beside  # noqa: PLC0415
    from agent.kafka import KafkaSink  # noqa: PLC0415
    from agent.observer import Plan  # noqa: PLC0415
    from agent.outbox import Outbox  # noqa: PLC0415
    from agent.queues import load_sources  # noqa: PLC0415
    from agent.run import Agent, Parts  # noqa: PLC0415
    from agent.spool_file import SpoolFile  # noqa: PLC0415

    queues = load_sources(chosen.queue_endpoints)
    outbox = Outbox(
        identity,
        SpoolFile(Path(chosen.spool_path), chosen.spool_bytes_max, sync=chosen.spool_sync),
        clock,
        counters,
        ticks_per_message=chosen.ticks_per_message,
        memory_bytes_max=chosen.spool_memory_bytes_max,
    )
    sink = KafkaSink(
        chosen,
        clock,
        counters,
        in_flight_bytes_max=chosen.kafka_in_flight_bytes_max,
        drain_messages_per_second_max=chosen.drain_messages_per_second_max,
        compression=chosen.kafka_compression,
    )
    plan = Plan(
        agent_version=version("fleetgauge"),
        place=chosen.place,
        provider=chosen.provider,
        sample_interval_s=chosen.sample_interval_s,
        slow_interval_s=chosen.slow_interval_s,
        heartbeat_interval_s=chosen.heartbeat_interval_s,
        inventory_interval_s=chosen.inventory_interval_s,
        signed=signer is not None,
    )
    return Agent(
        plan,
        Parts(
            boards,
            outbox,
            sink,
            queues,
            lambda put: Beside(
                chosen,
                clock,
                put,
                host=identity.host,
                spool_folder=Path(chosen.spool_path).parent,
                interval_s={
                    Group.FAST: chosen.sample_interval_s,
                    Group.SLOW: chosen.slow_interval_s,
                },
            ),
            signer,
        ),
        clock,
        counters,
        read_deadline_s=chosen.read_deadline_s,
        queue_interval_s=chosen.queue_interval_s,
    )
