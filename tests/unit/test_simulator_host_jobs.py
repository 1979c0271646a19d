"""Jobs of a real host: what the agent's own reading makes of the simulated driver and its /proc."""

from pathlib import Path

from agent.accelerators.nvidia import NvidiaReader
from agent.workloads.watch import WorkloadWatch
from simulator.fleet import scenario
from simulator.fleet.facility import Cadence, SimulatedFacility
from simulator.fleet.jobs import Work
from simulator.fleet.layout import Plan
from simulator.host_jobs import HostJobs
from simulator.nvml import profile
from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.install import binding_for
from simulator.real_hosts import FacilityLoad
from telemetry.clock import SystemClock
from telemetry.metrics import Group

START_US = 1_800_000_000_000_000
GPUS = 4


def test_the_agent_sees_the_jobs_that_the_scheduler_has_placed(tmp_path: Path) -> None:
    facility = SimulatedFacility(
        Plan("t", "site", 6, GPUS, 2), profile.load("h100"), seed=1, boot_epoch=7,
        scenario=scenario.load("healthy"), work=Work(pressure=1.5, job_mean_s=60.0),
        cadence=Cadence(), first_host=6,
    )  # fmt: skip
    clock = SystemClock()
    driver = SimulatedDriver(
        [profile.load("h100")] * GPUS, clock, seed="x", load=FacilityLoad(facility, 0, GPUS)
    )
    jobs = HostJobs(facility, 0, driver, tmp_path)
    reader, watch = NvidiaReader(clock, binding_for(driver)), WorkloadWatch(tmp_path, "jobs")
    list(facility.start(START_US))
    seen = set()
    for second in range(0, 240, 30):
        for tick in range(30):
            list(facility.tick(START_US + (second + tick) * 1_000_000))
        jobs.renew()
        for gpu in driver.gpus:
            gpu.physics.advance(1.0, FacilityLoad(facility, 0, GPUS).load(gpu.slot, 0.0))
        reader.open()
        readings = [reader.read(n, Group.SLOW) for n in range(GPUS)]
        told = watch.note(readings, START_US, float(second) * 1e4)
        assert told is not None
        held = facility.scheduler.held(0)
        assert sorted((holder.source, holder.job) for holder in told.holders) == sorted(
            ("slurm", str(job.number)) for _, job in held
        )
        starts = {str(job.number): job.started_s for _, job in held}
        for holder in told.holders:
            assert abs((holder.since_us or 0) / 1e6 - starts[holder.job]) < 1
        seen |= {job.number for _, job in held}
        assert len(list(tmp_path.glob("[0-9]*"))) == len(held)
    assert len(seen) > 2
