"""The ledger of starts: a record that kills is found and set aside, an innocent one never."""

from collections.abc import Callable

import pytest

from collector import attempts, intake
from collector.consumer import Received
from collector.lanes import Lane, Lanes
from collector.store import Store
from telemetry.errors import PermanentError, RetryableError
from telemetry.streams import Stream
from tests.fix_collector import NOW_US, FakeHost, S, Shelf

KILLER = b"kills whoever opens it"
STARTS = "select coalesce(max(cardinality(runs)), 0) from lane_starts"


class ProcessDiedError(BaseException):
    """Stands for a kill by the system: nothing of ours hears of it."""


@pytest.fixture
def killing_intake(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_or_die(received: Received, *arguments: object, **options: object) -> object:
        if received.value == KILLER:
            raise ProcessDiedError
        return real(received, *arguments, **options)

    real: Callable[..., object] = intake.open_record
    monkeypatch.setattr("collector.store.open_record", open_or_die)


def deaths_until_all_is_stored(shelf: Shelf, records: list[Received]) -> int:
    """Start again after each death, as a supervisor does."""
    deaths = 0
    while True:
        claim = shelf.claims[records[0].partition]
        left = [record for record in records if record.offset >= claim.lanes.next_offset]
        if not left:
            return deaths
        try:
            shelf.writer.store(left, shelf.claims)
        except ProcessDiedError:
            deaths += 1
            assert deaths < 20
            shelf.start()


@pytest.mark.usefixtures("killing_intake")
@pytest.mark.parametrize(("at", "deaths"), [(0, 3), (2, 5), (5, 5)])
def test_f22_a_record_that_kills_the_process_is_skipped_after_three_starts(
    shelf: Shelf, at: int, deaths: int
) -> None:
    host = FakeHost()
    values = [host.samples([NOW_US + n * S]) for n in range(5)]
    values.insert(at, KILLER)
    records = shelf.append(Stream.SAMPLES, *values)
    # Two starts that die with a whole batch in hand, then three at the record; those at a batch
    # that begins with it count.
    assert deaths_until_all_is_stored(shelf, records) == deaths
    assert shelf.one("select count(*) from samples") == 10
    rows = shelf.rows('select reason, "offset", payload from quarantine')
    assert rows == [("kills_the_collector", at, KILLER)]
    assert shelf.one("select count(*) from lane_starts") == 0


@pytest.mark.usefixtures("killing_intake")
def test_f22_two_records_that_kill_cost_only_themselves(shelf: Shelf) -> None:
    host = FakeHost()
    good = [host.samples([NOW_US + n * S]) for n in range(3)]
    records = shelf.append(Stream.SAMPLES, good[0], KILLER, KILLER, good[1], good[2])
    assert deaths_until_all_is_stored(shelf, records) <= 10
    assert shelf.one("select count(*) from samples") == 6
    assert shelf.one("select count(*) from quarantine") == 2


@pytest.mark.usefixtures("killing_intake")
@pytest.mark.parametrize("at", [1, 5])
def test_f22_a_record_that_kills_is_found_in_either_lane(shelf: Shelf, at: int) -> None:
    """The other lane is stored meanwhile, by each process that comes to it."""
    host = FakeHost()
    values = [host.samples([NOW_US + n * S]) for n in range(7)]
    values.insert(at, KILLER)
    records = shelf.append(Stream.SAMPLES, *values)
    shelf.leave_behind(records, 0, 4)
    deaths = 0
    while (lanes := shelf.claims[records[0].partition].lanes) != Lanes(8):
        live = [record for record in records if record.offset >= lanes.next_offset]
        behind = [r for r in records if any(s.first <= r.offset < s.end for s in lanes.backlog)]
        try:
            for lane in filter(None, (live, behind)):
                shelf.writer.store(lane, shelf.claims)
        except ProcessDiedError:
            deaths += 1
            assert deaths < 20
            shelf.start()
    assert deaths == 5
    assert shelf.one("select count(*) from samples") == 14
    assert shelf.rows('select "offset" from quarantine') == [(at,)]
    assert shelf.one("select count(*) from lane_starts") == 0


def test_a_lane_leaves_offsets_at_which_the_log_holds_nothing(shelf: Shelf) -> None:
    host = FakeHost()
    records = shelf.append(Stream.SAMPLES, *[host.samples([NOW_US + n * S]) for n in range(6)])
    shelf.leave_behind(records, 0, 4)
    shelf.writer.store(records[4:], shelf.claims)
    shelf.writer.store(records[:2], shelf.claims)
    partition = records[0].partition
    shelf.writer.pass_over(partition, shelf.claims[partition], 3)
    assert shelf.rows("select next_offset, backlog::text from stream_offsets") == [(6, "{}")]
    assert shelf.claims[partition].lanes == Lanes(6)


@pytest.mark.parametrize("error", [RetryableError, PermanentError])
@pytest.mark.parametrize("is_same_process", [True, False])
def test_f29_what_cannot_be_stored_for_long_is_not_taken_for_a_killer(
    shelf: Shelf,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
    is_same_process: bool,
) -> None:
    records = shelf.append(Stream.SAMPLES, FakeHost().samples([NOW_US]))
    with monkeypatch.context() as patch:
        patch.setattr(Store, "commit", lambda *_: (_ for _ in ()).throw(error("locked")))
        for _ in range(3 * attempts.STARTS_MAX):
            with pytest.raises(error):
                shelf.writer.store(records, shelf.claims)
            assert shelf.one(STARTS) == 0
            if is_same_process:
                shelf.writer.forget()
            else:
                shelf.start()
    shelf.writer.store(records, shelf.claims)
    assert shelf.one("select count(*) from samples") == 2
    assert shelf.one("select count(*) from quarantine") == 0


def test_f28_a_database_that_goes_away_in_the_middle_counts_once_for_a_process(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the start cannot be taken back, but the same process does not count again."""
    records = shelf.append(Stream.SAMPLES, FakeHost().samples([NOW_US]))
    with monkeypatch.context() as patch:
        patch.setattr(Store, "commit", lambda *_: (_ for _ in ()).throw(RetryableError("gone")))
        patch.setattr(attempts, "take_back", lambda *_: None)
        for _ in range(3 * attempts.STARTS_MAX):
            with pytest.raises(RetryableError):
                shelf.writer.store(records, shelf.claims)
            shelf.writer.forget()
        assert shelf.one(STARTS) == 1
    shelf.writer.store(records, shelf.claims)
    assert shelf.one("select count(*) from samples") == 2


def test_f26_collectors_that_fence_each_other_off_are_not_taken_for_killed(shelf: Shelf) -> None:
    """While a group is of two minds, two may begin at one record again and again, and go on."""
    records = shelf.append(Stream.SAMPLES, FakeHost().samples([NOW_US]))
    claim = shelf.claims[records[0].partition]
    entry = attempts.Entry(records[0].partition, claim, Lane.LIVE)
    for _ in range(2 * attempts.STARTS_MAX):
        for run_id in ("one", "other"):
            assert attempts.begin(shelf.connection, entry, run_id) <= 2
        for run_id in ("one", "other"):
            attempts.take_back(shelf.connection, [entry], run_id)
    assert shelf.one(STARTS) == 0
    assert attempts.begin(shelf.connection, entry, "third") == 1
