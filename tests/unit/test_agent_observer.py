"""What a host says, tick by tick, when things happen to it."""

import pytest

from agent.drafts import HostMemory
from agent.observer import Observer, Plan
from telemetry.errors import PermanentError, RetryableError
from telemetry.metrics import Group
from telemetry.records import Event, EventKind, Heartbeat, Inventory, ReaderStatus
from tests.fix_agent import (
    HandClock,
    HostUnderTest,
    accelerator,
    kinds_of,
    records_of,
    samples_of,
    statuses_in,
    uuid_of,
)


@pytest.fixture
def host(hand_clock: HandClock) -> HostUnderTest:
    return HostUnderTest(hand_clock)


def test_the_first_tick_has_inventory_and_both_groups(host: HostUnderTest) -> None:
    drafts = host.tick()
    assert len(samples_of(drafts)) == 1
    assert len(samples_of(drafts, Group.SLOW)) == 1
    (inventory,) = [r for r in records_of(drafts) if isinstance(r, Inventory)]
    assert inventory.accelerators == host.reader.accelerators
    assert inventory.driver_version == "590.48.01"


def test_slow_metrics_and_heartbeats_keep_their_own_intervals(host: HostUnderTest) -> None:
    drafts = [draft for _ in range(121) for draft in host.tick()]
    assert len(samples_of(drafts)) == 121
    assert len(samples_of(drafts, Group.SLOW)) == 5
    assert len([r for r in records_of(drafts) if isinstance(r, Heartbeat)]) == 13


def test_f01_a_lost_accelerator_is_an_event_at_once_and_hides_no_other(host: HostUnderTest) -> None:
    host.tick()
    host.reader.statuses[uuid_of("gpu-1")] = ReaderStatus.LOST
    drafts = host.tick()
    assert kinds_of(drafts) == [EventKind.GPU_LOST]
    assert statuses_in(drafts) == [ReaderStatus.WHOLE, ReaderStatus.LOST]
    assert samples_of(drafts)[0].urgent
    assert kinds_of(host.tick()) == []
    host.reader.statuses.clear()
    assert kinds_of(host.tick()) == [EventKind.GPU_BACK]


def test_no_answer_is_neither_lost_nor_back(host: HostUnderTest) -> None:
    host.tick()
    host.reader.statuses[uuid_of("gpu-1")] = ReaderStatus.TIMEOUT
    assert kinds_of(host.tick()) == []
    host.reader.statuses[uuid_of("gpu-1")] = ReaderStatus.LOST
    assert kinds_of(host.tick()) == [EventKind.GPU_LOST]
    host.reader.statuses[uuid_of("gpu-1")] = ReaderStatus.TIMEOUT
    assert kinds_of(host.tick()) == []


def test_a_board_that_is_missing_at_start_is_known_from_before(hand_clock: HandClock) -> None:
    host = HostUnderTest(hand_clock)
    memory = HostMemory(
        driver_version="590.48.01", accelerators=(accelerator(0), accelerator(1), accelerator(2))
    )
    host.driver.accelerators = memory.accelerators
    host.reader.accelerators = (accelerator(0), accelerator(1))
    host.reader.missing = (2,)
    host.observer = Observer(
        Plan(agent_version="1"), host.driver, hand_clock, host.counters, memory
    )
    drafts = host.tick()
    assert kinds_of(drafts) == [EventKind.GPU_LOST]
    assert statuses_in(drafts) == [0, 0, ReaderStatus.LOST]


def test_f05_an_exchanged_board_takes_the_place_of_the_old_one(host: HostUnderTest) -> None:
    host.tick()
    host.reader.statuses[uuid_of("gpu-1")] = ReaderStatus.LOST
    host.tick()
    host.reader.accelerators = (accelerator(0), accelerator(1, "other"))
    host.reader.statuses.clear()
    drafts = [draft for _ in range(70) for draft in host.tick()]
    inventories = [r for r in records_of(drafts) if isinstance(r, Inventory)]
    assert [a.uuid for a in inventories[0].accelerators] == [uuid_of("gpu-0"), uuid_of("other")]
    assert host.reader.opened == 2


def test_a_board_that_stays_away_is_looked_for_ever_more_rarely(host: HostUnderTest) -> None:
    host.tick()
    host.reader.statuses[uuid_of("gpu-1")] = ReaderStatus.LOST
    for _ in range(7200):
        host.driver.poll()
        host.driver.read(Group.FAST)
        host.clock.pass_s(1.0)
    assert 4 <= host.reader.opened <= 8


def test_a_driver_that_is_away_is_told_once_and_tried_again(host: HostUnderTest) -> None:
    host.reader.open_errors = [RetryableError("no driver")] * 4
    drafts = [draft for _ in range(30) for draft in host.tick()]
    assert kinds_of(drafts) == [EventKind.DRIVER_HUNG, EventKind.DRIVER_BACK]
    (hung, _) = [r for r in records_of(drafts) if isinstance(r, Event)]
    assert hung.message == "no driver"
    assert host.counters["driver_open_failures"] == 4
    assert len(samples_of(drafts)) > 10


def test_f02_a_driver_that_hangs_is_told_once(host: HostUnderTest) -> None:
    host.tick()
    for uuid in (uuid_of("gpu-0"), uuid_of("gpu-1")):
        host.reader.statuses[uuid] = ReaderStatus.TIMEOUT
    drafts = [draft for _ in range(10) for draft in host.tick()]
    assert kinds_of(drafts) == [EventKind.DRIVER_HUNG]
    assert statuses_in(host.tick()) == [ReaderStatus.TIMEOUT] * 2
    host.reader.statuses.clear()
    assert kinds_of(host.tick()) == [EventKind.DRIVER_BACK]


def test_f04_a_mismatch_opens_anew_and_another_driver_version_is_an_event(
    host: HostUnderTest,
) -> None:
    host.tick()
    host.reader.driver_version = "600.1"
    host.reader.statuses[uuid_of("gpu-0")] = ReaderStatus.DRIVER_MISMATCH
    assert statuses_in(host.tick())[0] == ReaderStatus.DRIVER_MISMATCH
    host.reader.statuses.clear()
    assert kinds_of([d for _ in range(5) for d in host.tick()]) == [EventKind.DRIVER_CHANGED]


def test_f04_a_driver_that_was_replaced_is_waited_for_and_named(host: HostUnderTest) -> None:
    host.tick()
    host.reader.open_errors = [PermanentError("library and kernel module differ")] * 3
    host.reader.statuses[uuid_of("gpu-0")] = ReaderStatus.DRIVER_MISMATCH
    host.reader.driver_version = "600.1"
    drafts = [draft for _ in range(6) for draft in host.tick()]
    assert [ReaderStatus.DRIVER_MISMATCH] * 2 in [statuses_in([d]) for d in samples_of(drafts)]
    host.reader.statuses.clear()
    drafts += [draft for _ in range(20) for draft in host.tick()]
    assert EventKind.DRIVER_CHANGED in kinds_of(drafts)
    assert statuses_in(host.tick()) == [ReaderStatus.WHOLE] * 2


def test_f04_a_driver_that_is_wrong_from_the_start_is_waited_for(host: HostUnderTest) -> None:
    host.reader.open_errors = [PermanentError("library and kernel module differ")]
    for _ in range(70):
        host.tick()
    assert host.reader.opened == 1


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0, -1.6e9, 2.0])
def test_f09_a_wall_clock_step_is_an_event_and_neither_burst_nor_stall(
    host: HostUnderTest, step_s: float
) -> None:
    for _ in range(5):
        host.tick()
    host.clock.step_wall_s(step_s)
    drafts = [draft for _ in range(20) for draft in host.tick()]
    assert kinds_of(drafts) == [EventKind.CLOCK_STEPPED]
    assert len(samples_of(drafts)) == 20
    (event,) = [r for r in records_of(drafts) if isinstance(r, Event)]
    assert event.detail["step_s"] == pytest.approx(step_s)


def test_a_repair_that_the_driver_asks_for_is_told_once(host: HostUnderTest) -> None:
    host.tick()
    host.reader.slow_values = {"recovery_action_code": 2, "remap_pending_flag": 0}
    drafts = [draft for _ in range(130) for draft in host.tick()]
    assert kinds_of(drafts) == [EventKind.RECOVERY_ACTION] * 2  # one a board
    (event, _) = [r for r in records_of(drafts) if isinstance(r, Event)]
    assert event.code == 2


def test_the_inventory_is_sent_again_every_hour(host: HostUnderTest) -> None:
    drafts = [draft for _ in range(720) for draft in host.tick(seconds=10.0)]
    assert len([r for r in records_of(drafts) if isinstance(r, Inventory)]) == 2


def test_counts_travel_in_the_heartbeat(host: HostUnderTest) -> None:
    host.reader.failed = {"power_milliwatts": "busy"}
    beats = [r for _ in range(11) for r in records_of(host.tick()) if isinstance(r, Heartbeat)]
    assert beats[-1].counters["read_failures"] == 2 * (11 + 1)  # two boards; one slow reading
    assert beats[-1].resident_bytes > 0
