"""Run a facility of simulated hosts in one process, until stopped.

The hosts speak the same wire as real agents: samples, events, heartbeats, inventories, and the
backlog of a scheduler whose jobs load the boards, so that queue and utilisation tell one story.
`--real-hosts K` lets K of them run the agent's own sampler, spool and sink over a simulated NVML
driver. `--scenario` names what goes wrong: healthy, hot-rack, bad-day, or a TOML file of faults.

    fleetgauge simulate --facility alpha --hosts 32 --gpus 8
    fleetgauge simulate --facility big --hosts 27500 --profile h200 --scenario bad-day

It waits for a missing broker and says so. The topics are made by `fleetgauge migrate`.
"""

import argparse
import logging
import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from simulator.fleet import scenario
from simulator.fleet.facility import Cadence, SimulatedFacility
from simulator.fleet.jobs import Work
from simulator.fleet.layout import Plan
from simulator.nvml import profile
from simulator.nvml.profile import Profile
from simulator.pace import run_ticks
from simulator.sender import KafkaSender
from simulator.simulate_settings import SimulateSettings
from telemetry import logs, settings
from telemetry.clock import Clock, SystemClock
from telemetry.errors import ConfigError
from telemetry.stop import StopSignal

log = logging.getLogger(__name__)

CONFIRM_TIMEOUT_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one flag a setting."""
    settings.add_flags(parser, SimulateSettings)


def run(arguments: argparse.Namespace) -> int:
    """Run the facility until told to stop."""
    chosen = settings.load(SimulateSettings, arguments, os.environ)
    logs.configure("simulate", cast(logs.Level, chosen.log_level))
    board = _load_profile(chosen.profile)
    clock, stop = SystemClock(), StopSignal()
    facility = make_facility(chosen, board, clock)
    stop.install()
    sender = KafkaSender(chosen, stop)
    with ExitStack() as stack:
        stack.callback(sender.close)
        if chosen.real_hosts:
            # NVML's binding and the agent are loaded only where agents run.
            from simulator.real_hosts import real_hosts  # noqa: PLC0415

            spools = chosen.spool_folder or stack.enter_context(TemporaryDirectory())
            stack.enter_context(real_hosts(chosen, facility, board, Path(spools), clock))
        _run(chosen, facility, sender, clock, stop)
    return 0 if sender.failed == 0 else 1


def make_facility(chosen: SimulateSettings, board: Profile, clock: Clock) -> SimulatedFacility:
    """Return the facility that the settings describe."""
    return SimulatedFacility(
        Plan(chosen.tenant, chosen.facility, chosen.hosts, chosen.gpus, chosen.hosts_per_rack),
        board,
        seed=chosen.seed,
        boot_epoch=clock.now_us(),
        scenario=scenario.load(chosen.scenario),
        work=Work(pressure=chosen.pressure, day_s=chosen.day_s, job_mean_s=chosen.job_mean_s),
        cadence=Cadence(tick_s=1 / chosen.hz, ticks_per_message=chosen.ticks_per_message),
        provider=chosen.provider,
        first_host=chosen.real_hosts,
    )


def _run(
    chosen: SimulateSettings,
    facility: SimulatedFacility,
    sender: KafkaSender,
    clock: Clock,
    stop: StopSignal,
) -> None:
    def tick() -> None:
        for message in facility.tick(clock.now_us()):
            sender.send(message)

    for message in facility.start(clock.now_us()):
        sender.send(message)
    log.info(
        "simulating %s: %d hosts with %d %s each, scenario %s",
        *(chosen.facility, chosen.hosts, chosen.gpus, chosen.profile, chosen.scenario),
    )
    missed = run_ticks(tick, 1 / chosen.hz, chosen.seconds, clock, stop)
    for message in facility.stop(clock.now_us()):
        sender.send(message)
    sender.wait_confirmed(CONFIRM_TIMEOUT_S)
    log.info(
        "%d messages sent, %d confirmed, %d ticks left out", sender.sent, sender.confirmed, missed
    )


def _load_profile(name: str) -> Profile:
    try:
        return profile.load(name)
    except KeyError as error:
        raise ConfigError([f"--profile:profile: {error.args[0]}"]) from error
