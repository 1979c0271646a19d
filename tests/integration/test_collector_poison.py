"""Bad input by the thousand between good rows: all of the good is stored, nothing restarts."""

import random

from collector.intake import Rejected, open_record
from telemetry.records import Event, EventKind, QueueSnapshot
from telemetry.streams import Stream
from telemetry.wire import PREFIX, VERSION
from tests.fix_collector import NOW_US, FakeHost, S, Shelf
from tests.fix_poison import as_version, damaged, poison, poisoned_events

POISON_MIN = 2000


def test_f21_thousands_of_bad_values_cost_only_themselves(shelf: Shelf) -> None:
    chance = random.Random(21)
    bad = list(poison(chance))
    assert len(bad) >= POISON_MIN
    flipped = list(damaged(chance, 500))
    chance.shuffle(bad)
    good_host = FakeHost("good")
    values: list[bytes] = []
    bad_at: set[int] = set()
    good = 0
    for number, value in enumerate(bad + flipped):
        if number % 25 == 0:
            values.append(good_host.samples([NOW_US - good * S], good % 90))
            good += 1
        if number < len(bad):
            bad_at.add(len(values))
        values.append(value)
    epoch = shelf.report.run_id
    for start in range(0, len(values), 251):
        shelf.store(Stream.SAMPLES, *values[start : start + 251])
    assert shelf.report.run_id == epoch  # one process, from the first to the last
    assert shelf.one("select next_offset from stream_offsets") == len(values)
    stored = shelf.rows(
        "select count(*), sum(temperature_gpu_celsius) from samples"
        " join accelerators using (gpu_id) join hosts using (host_id) where host = 'good'"
    )
    assert stored == [(2 * good, 2 * sum(n % 90 for n in range(good)))]
    marks = "select last_seq, stored_messages from host_marks join hosts using (host_id)"
    assert shelf.rows(f"{marks} where host = 'good'") == [(good, good)]
    quarantined = {offset for (offset,) in shelf.rows('select "offset" from quarantine')}
    assert bad_at - quarantined == set()
    assert shelf.one("select count(*) from lane_starts") == 0


def test_f21_bad_events_and_queues_cost_only_themselves(shelf: Shelf) -> None:
    bad = list(poisoned_events())
    host = FakeHost("good")
    values: list[bytes] = []
    for number, value in enumerate(bad):
        event = Event(time_us=NOW_US, kind=EventKind.XID, code=number)
        values += [host.events(event), value]
    shelf.store(Stream.EVENTS, *values)
    codes = shelf.rows("select code from events join hosts using (host_id) where host = 'good'")
    assert sorted(code for (code,) in codes) == list(range(len(bad)))
    assert shelf.one("select count(*) from quarantine") == len(bad)
    assert shelf.one("select next_offset from stream_offsets") == len(values)


def test_f31_the_bad_among_many_are_found_wherever_they_are(shelf: Shelf) -> None:
    chance = random.Random(31)
    for round_ in range(6):
        count = chance.randrange(1, 80)
        bad = set(chance.sample(range(count), min(count, chance.randrange(4))))
        values = []
        for number in range(count):
            host = FakeHost(f"node-{round_}-{number}")
            text = "a NUL \0 in a text" if number in bad else "fine"
            values.append(
                host.events(Event(time_us=NOW_US, kind=EventKind.XID, code=round_, message=text))
            )
        before = shelf.one("select count(*) from quarantine")
        shelf.store(Stream.EVENTS, *values)
        stored = shelf.one(f"select count(*) from events where code = {round_}")
        assert stored == count - len(bad)
        assert shelf.one("select count(*) from quarantine") == before + len(bad)


def test_f23_the_next_version_is_stored_and_the_one_after_it_can_be_looked_at(
    shelf: Shelf,
) -> None:
    host = FakeHost()
    newer = as_version(host.samples([NOW_US]), VERSION + 1)
    too_new = as_version(host.samples([NOW_US]), VERSION + 2)
    shelf.store(Stream.SAMPLES, newer, too_new, host.samples([NOW_US]))
    assert shelf.one("select count(*) from samples") == 4
    assert shelf.rows("select reason, payload from quarantine") == [("version", too_new)]
    assert shelf.rows("select first_seq, last_seq, reason from sequence_gaps") == [(2, 2, None)]


def test_f34_queue_figures_that_are_no_numbers_are_refused_twice_over(shelf: Shelf) -> None:
    """By the decoder, and where that were to fail, by the table."""
    host = FakeHost()
    for value in (float("nan"), float("inf"), float("-inf")):
        snapshot = QueueSnapshot(time_us=NOW_US, source="vllm", queue="q", waiting=value)
        (received,) = shelf.append(Stream.QUEUES, host.queues(snapshot))
        outcome = open_record(received, shelf.writer._store._windows())
        assert isinstance(outcome, Rejected)
        assert outcome.reason == "not_finite"
    honest = QueueSnapshot(time_us=NOW_US, source="vllm", queue="q", waiting=1.5)
    shelf.store(Stream.QUEUES, host.queues(honest))
    for column in ("waiting", "running", "oldest_wait_seconds", "arrivals_per_second"):
        for word in ("NaN", "Infinity", "-Infinity"):
            statement = f"update queue_samples set {column} = '{word}'::double precision"
            assert shelf.refuses(statement), statement


def test_f34_a_mask_and_a_range_stand_between_a_wild_value_and_a_mean(shelf: Shelf) -> None:
    """The largest, smallest and negative values that the wire can carry are NULL, and counted."""
    host = FakeHost(gpus=1)
    whole = bytearray(host.samples([NOW_US], 50))
    size = PREFIX.unpack_from(whole)[3]
    body = PREFIX.size + size + 8
    for length in range(2, 40, 2):
        whole[body + length - 2 : body + length] = b"\xff\x7f" if length % 4 else b"\x00\x80"
    shelf.store(Stream.SAMPLES, bytes(whole))
    assert shelf.report.values_out_of_range > 0
    assert shelf.one("select count(*) from samples where utilization_gpu_percent > 100") == 0
    assert shelf.one("select count(*) from samples where temperature_gpu_celsius < -100") == 0
