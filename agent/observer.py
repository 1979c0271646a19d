"""One host, tick by tick: reads everything that is due and returns what is to be sent.

Owns what happens in a tick and at which interval. It makes no thread, catches no signal and
writes nothing, so a simulator may run thousands of hosts in one process; `run.py` runs one on
threads.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.accelerators import AcceleratorReading
from agent.counters import Counters
from agent.drafts import Draft, EventDraft, HostMemory
from agent.driver import Driver
from agent.events import Watch
from agent.heartbeat import heartbeat
from agent.sampler import Sampler
from agent.schedule import Schedule
from telemetry.clock import Clock
from telemetry.metrics import Group
from telemetry.records import (
    Event,
    EventKind,
    EventRecord,
    Heartbeat,
    Inventory,
    Place,
    ReaderStatus,
)

_NO_PLACE = Place()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is said about a host, and how often it is read."""

    agent_version: str
    place: Place = _NO_PLACE
    provider: str = ""
    sample_interval_s: float = 1.0
    slow_interval_s: float = 30.0
    heartbeat_interval_s: float = 10.0
    inventory_interval_s: float = 3600.0
    signed: bool = False


class Listener(Protocol):
    """Who wants to know of readings before they are packed, and adds to the heartbeat."""

    def note_readings(
        self, group: Group, readings: Sequence[AcceleratorReading], now_s: float
    ) -> None:
        """See what was read."""

    def counts(self) -> dict[str, int]:
        """Return what the heartbeat is to tell as well."""


class Observer:
    """What one host has to say."""

    def __init__(
        self,
        plan: Plan,
        driver: Driver,
        clock: Clock,
        counters: Counters,
        memory: HostMemory | None = None,
        listener: Listener | None = None,
    ) -> None:
        memory = memory or HostMemory()
        self._listener = listener
        self._plan = plan
        self._driver = driver
        self._clock = clock
        self._counters = counters
        self._sampler = Sampler()
        self._watch = Watch(memory.driver_version, memory.accelerators)
        self._memory = memory
        self._library_version = ""
        now_s = clock.monotonic_s()
        self._slow = Schedule(plan.slow_interval_s, now_s)
        self._heartbeat = Schedule(plan.heartbeat_interval_s, now_s)
        self._inventory = Schedule(plan.inventory_interval_s, now_s + plan.inventory_interval_s)
        self._tick_us = 0

    def start(self, boot_epoch: int, spool_note: str = "") -> list[Draft]:
        """The event with which an agent announces itself."""
        event = Event(
            time_us=self._clock.now_us(),
            kind=EventKind.AGENT_START,
            code=boot_epoch,
            message=f"agent {self._plan.agent_version} started",
            detail={"spool": spool_note} if spool_note else {},
        )
        return [EventDraft([event])]

    def stop(self) -> list[Draft]:
        """The event with which an agent says that it was told to stop."""
        event = Event(
            time_us=self._clock.now_us(), kind=EventKind.AGENT_STOP, message="agent stopped"
        )
        return [EventDraft([event, self._heartbeat_record()])]

    def tick(self) -> list[Draft]:
        """Read what is due now."""
        time_us, now_s = self._clock.now_us(), self._clock.monotonic_s()
        records: list[EventRecord] = [*self._watch.clock(time_us, now_s)]
        drafts: list[Draft] = []
        inspection = self._driver.poll()
        if inspection is not None:
            records += self._watch.opened(inspection, time_us)
            self._library_version = inspection.library_version
            self._sampler.learn(self._driver.accelerators)
            drafts.append(self._remember(inspection.driver_version))
            records.append(self._inventory_record())
        readings = self._read(Group.FAST, now_s)
        silence = self._driver.silence(readings)
        changes = self._watch.fast(readings, time_us, now_s, silence)
        records += changes
        if readings:
            self._counters.add("ticks")
            drafts.append(self._sampler.tick(Group.FAST, time_us, readings, urgent=bool(changes)))
            if self._take(self._slow, now_s):
                readings = self._read(Group.SLOW, now_s)
                records += self._watch.slow(readings, time_us)
                drafts.append(self._sampler.tick(Group.SLOW, time_us, readings))
        if self._take(self._inventory, now_s):
            records.append(self._inventory_record())
        self._tick_us = int((self._clock.monotonic_s() - now_s) * 1e6)
        if self._take(self._heartbeat, now_s):
            records.append(self._heartbeat_record())
        if records:
            drafts.append(EventDraft(records))
        return drafts

    def _take(self, schedule: Schedule, now_s: float) -> bool:
        if not schedule.due(now_s):
            return False
        schedule.advance(now_s)
        return True

    def _read(self, group: Group, now_s: float) -> list[AcceleratorReading]:
        readings = self._driver.read(group)
        self._counters.add("read_failures", sum(len(reading.failed) for reading in readings))
        self._counters.add(
            "read_timeouts", sum(reading.status is ReaderStatus.TIMEOUT for reading in readings)
        )
        if self._listener is not None and readings:
            self._listener.note_readings(group, readings, now_s)
        return readings

    def _remember(self, driver_version: str) -> HostMemory:
        self._memory = HostMemory(
            driver_version=driver_version, accelerators=self._driver.accelerators
        )
        return self._memory

    def _inventory_record(self) -> Inventory:
        return Inventory(
            time_us=self._clock.now_us(),
            accelerators=self._driver.accelerators,
            place=self._plan.place,
            driver_version=self._memory.driver_version,
            library_version=self._library_version,
            kernel_version=os.uname().release,
            agent_version=self._plan.agent_version,
            provider=self._plan.provider,
        )

    def _heartbeat_record(self) -> Heartbeat:
        more = self._listener.counts() if self._listener is not None else {}
        return heartbeat(
            time_us=self._clock.now_us(),
            agent_version=self._plan.agent_version,
            sample_interval_s=self._plan.sample_interval_s,
            tick_us=self._tick_us,
            counters=more | self._counters.snapshot(),
            signed=self._plan.signed,
            process_ids=self._driver.process_ids(),
        )
