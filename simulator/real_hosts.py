"""Simulated hosts that run the agent itself: its reader, sampler, spool and sink, over NVML.

Owns the agents of the first hosts of a simulated facility, one thread each. Their boards get the
load that the facility's scheduler gives them, and the faults that its scenario has for them, as
faults of the simulated driver. The other hosts are `fleet`'s.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.accelerators.nvidia import NvidiaReader
from agent.beside import Beside, BesideSettings
from agent.boards import in_process
from agent.counters import Counters
from agent.drafts import Identity
from agent.kafka import KafkaSink
from agent.observer import Plan as AgentPlan
from agent.outbox import Outbox
from agent.run import Agent, Parts
from agent.spool_file import SpoolFile
from simulator.fleet.facility import SimulatedFacility
from simulator.fleet.scenario import Change
from simulator.host_jobs import HostJobs
from simulator.nvml import faults
from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.install import binding_for
from simulator.nvml.load import IDLE, Load
from simulator.nvml.profile import Profile
from simulator.simulate_settings import SimulateSettings
from simulator.voice import AGENT_VERSION
from telemetry.clock import Clock
from telemetry.metrics import Group
from telemetry.stop import StopSignal

log = logging.getLogger(__name__)

READ_DEADLINE_S = 0.8
SPOOL_BYTES_MAX = 16 << 20
END_S = 15.0
# A hot rack warms the air of the packed boards; the simulated driver has a share of cooling.
HOT_RACK_COOLING_PERCENT = 45


class FacilityLoad:
    """What the facility's scheduler asks of one host's boards."""

    def __init__(self, facility: SimulatedFacility, host: int, gpus: int) -> None:
        self._facility, self._first = facility, host * gpus

    def load(self, gpu: int, monotonic_s: float) -> Load:  # noqa: ARG002 - it is that of now
        """Return the demand on a board in the facility's latest tick."""
        demand = self._facility.demand
        if demand is None:
            return IDLE
        at = self._first + gpu
        return Load(
            activity=float(demand.activity[at]),
            intensity=float(demand.intensity[at]),
            memory_activity=float(demand.memory_activity[at]),
            memory_used=float(demand.memory_used[at]),
            link=float(demand.link[at]),
            pcie=float(demand.pcie[at]),
        )


@contextmanager
def real_hosts(
    chosen: SimulateSettings,
    facility: SimulatedFacility,
    board: Profile,
    spools: Path,
    clock: Clock,
) -> Iterator[None]:
    """Run an agent for each of the first hosts inside the block.

    Raises:
        ConfigError: another process uses a spool in that folder.
    """
    with TemporaryDirectory(prefix="fleetgauge-proc-") as procs:
        yield from _running(chosen, facility, board, spools, Path(procs), clock)


def _running(
    chosen: SimulateSettings,
    facility: SimulatedFacility,
    board: Profile,
    spools: Path,
    procs: Path,
    clock: Clock,
) -> Iterator[None]:
    stop = StopSignal()
    drivers = [
        _make_driver(chosen, facility, host, board, clock) for host in range(chosen.real_hosts)
    ]
    jobs = [
        HostJobs(facility, host, driver, procs / str(host)) for host, driver in enumerate(drivers)
    ]
    facility.on_work = lambda host: jobs[host].renew() if host < len(jobs) else None
    facility.on_change = lambda change: _pass_on(change, drivers, chosen.hosts_per_rack)
    threads = [
        threading.Thread(
            target=_make_agent(chosen, facility, host, driver, spools, procs, clock).run,
            args=(stop,),
            name=f"agent {host}",
            daemon=True,
        )
        for host, driver in enumerate(drivers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(END_S)


def _make_driver(
    chosen: SimulateSettings, facility: SimulatedFacility, host: int, board: Profile, clock: Clock
) -> SimulatedDriver:
    return SimulatedDriver(
        [board] * chosen.gpus,
        clock,
        seed=f"{chosen.tenant}/{facility.hosts[host].name}",
        load=FacilityLoad(facility, host, chosen.gpus),
    )


def _make_agent(
    chosen: SimulateSettings,
    facility: SimulatedFacility,
    host: int,
    driver: SimulatedDriver,
    spools: Path,
    procs: Path,
    clock: Clock,
) -> Agent:
    planned, counters = facility.hosts[host], Counters()
    outbox = Outbox(
        Identity.checked(chosen.tenant, chosen.facility, planned.name),
        SpoolFile(spools / f"{planned.name}.sqlite3", SPOOL_BYTES_MAX, sync="normal"),
        clock,
        counters,
        ticks_per_message=chosen.ticks_per_message,
    )
    return Agent(
        AgentPlan(
            agent_version=AGENT_VERSION,
            place=planned.place,
            provider=chosen.provider,
            sample_interval_s=1 / chosen.hz,
        ),
        Parts(
            in_process(NvidiaReader(clock, binding_for(driver)), clock, counters),
            outbox,
            KafkaSink(chosen, clock, counters),
            beside=lambda put: Beside(
                # The machine's own kernel log is about other boards.
                BesideSettings(kernel_log_path="", proc_path=str(procs / str(host))),
                clock,
                put,
                host=planned.name,
                spool_folder=spools,
                interval_s={Group.FAST: 1 / chosen.hz, Group.SLOW: 30.0},
            ),
        ),
        clock,
        counters,
        read_deadline_s=READ_DEADLINE_S,
        queue_interval_s=60.0,
    )


def _pass_on(change: Change, drivers: list[SimulatedDriver], hosts_per_rack: int) -> None:
    """Let a fault of the scenario happen to the boards of the hosts that it is about."""
    fault, act = change.fault, faults.begin if change.begins else faults.end
    if fault.kind == "hot_rack":
        first = fault.rack * hosts_per_rack
        for driver in drivers[first : first + hosts_per_rack]:
            for gpu in range(len(driver.gpus)):
                value = HOT_RACK_COOLING_PERCENT
                act(driver, faults.Fault(at_s=0, kind="runaway", gpu=gpu, value=value))
    elif fault.kind == "silent":
        log.debug("a host with an agent of its own is not silenced")
    elif fault.host < len(drivers):
        driver = drivers[fault.host]
        gpu = min(fault.gpu, len(driver.gpus) - 1)
        act(driver, faults.Fault(at_s=0, kind=fault.kind, gpu=gpu, value=fault.value))
