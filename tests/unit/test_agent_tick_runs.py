"""Samples and heartbeats that are due equally often make one trip to the broker, not two."""

from agent.drafts import Draft, EventDraft
from agent.outbox import Outbox
from telemetry.records import Heartbeat
from telemetry.streams import Stream
from tests.fix_agent import START_US, MakeOutbox, everything, make_tick, times_in


def write(outbox: Outbox, numbers: range, *, heartbeat_every: int, urgent: int = -1) -> None:
    for number in numbers:
        drafts: list[Draft] = [make_tick(number, urgent=number == urgent)]
        if number % heartbeat_every == 0:
            drafts.append(EventDraft([Heartbeat(time_us=START_US)]))
        outbox.write(drafts)


def last_ticks(outbox: Outbox) -> list[int]:
    return [times_in(message)[-1] for message in everything(outbox, Stream.SAMPLES)]


def test_a_message_of_samples_is_full_when_a_heartbeat_is_due(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    write(outbox, range(41), heartbeat_every=10)
    assert last_ticks(outbox) == [9, 10, 20, 30, 40]
    ticks = [time for m in everything(outbox, Stream.SAMPLES) for time in times_in(m)]
    assert ticks == list(range(41))


def test_samples_that_could_not_wait_meet_the_next_heartbeat_again(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    write(outbox, range(51), heartbeat_every=10, urgent=24)
    assert last_ticks(outbox) == [9, 10, 20, 24, 30, 40, 50]


def test_a_heartbeat_of_another_pace_makes_no_message_shorter(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    write(outbox, range(30), heartbeat_every=7)
    assert last_ticks(outbox) == [9, 19, 29]


def test_nothing_waits_for_a_heartbeat(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    write(outbox, range(1, 30), heartbeat_every=100)
    assert last_ticks(outbox) == [10, 20]
