"""State intervals: what an accelerator went through, whatever the order in which it was told."""

import random
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from telemetry.packing import Reading
from telemetry.records import Event, EventKind
from telemetry.streams import Stream
from tests.fix_collector import NOW_US, FakeHost, S, Shelf

TICKS = 4
INTERVALS = (
    "select gpu_id, subject, state, started_at, ended_at from state_intervals order by 1, 2, 4"
)
HEAT = 0x40


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(NOW_US / 1e6 + seconds, UTC)


def message(host: FakeHost, n: int, status: int = 0, reasons: int = 0) -> bytes:
    """The n-th message of a host that sends every four seconds; its last tick is the worst."""
    plain: Reading = {"reader_status_code": 0, "clock_event_reasons_bitmask": 0}
    worst: Reading = {"reader_status_code": status, "clock_event_reasons_bitmask": reasons}
    rows = [[plain] * host.gpus] * (TICKS - 1) + [[worst] * host.gpus]
    times = [NOW_US + (TICKS * n + tick) * S for tick in range(TICKS)]
    metrics = [CATALOGUE.by_name[name] for name in plain]
    return host.samples(times, rows=rows, metrics=metrics)


def expected(states: list[str]) -> list[tuple[str, datetime, datetime | None]]:
    """What a list of states, one a message, comes to."""
    found: list[tuple[str, datetime, datetime | None]] = []
    for n, state in enumerate(states):
        if state == "ok":
            continue
        last = n == len(states) - 1
        until = None if last else at(TICKS * (n + 1))
        if n and states[n - 1] == state:
            found[-1] = (state, found[-1][1], until)
        else:
            found.append((state, at(TICKS * n), until))
    return found


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    codes=st.lists(st.sampled_from([0, 0, 0, 2, 3]), min_size=1, max_size=12),
    order=st.integers(0, 10**6),
    size=st.integers(1, 5),
)
def test_intervals_are_those_of_the_messages_in_order_of_time(
    shelf: Shelf, codes: list[int], order: int, size: int
) -> None:
    host = FakeHost(f"node-{order}-{size}-{'-'.join(map(str, codes))}", gpus=1)
    messages = [message(host, n, status) for n, status in enumerate(codes)]
    random.Random(order).shuffle(messages)
    for start in range(0, len(messages), size):
        shelf.store(Stream.SAMPLES, *messages[start : start + size])
    words = {0: "ok", 2: "lost", 3: "timeout"}
    wanted = expected([words[code] for code in codes])
    query = (
        "select state, started_at, ended_at from state_intervals join hosts using (host_id) "
        "where host = %(host)s order by started_at"
    )
    assert shelf.rows(query, {"host": host.name}) == wanted
    shelf.replay()
    assert shelf.rows(query, {"host": host.name}) == wanted


def test_each_subject_has_intervals_of_its_own(shelf: Shelf) -> None:
    host = FakeHost(gpus=1)
    shelf.store(Stream.SAMPLES, message(host, 0, status=1, reasons=HEAT), message(host, 1))
    remap = CATALOGUE.by_name["remap_pending_flag"]
    shelf.store(
        Stream.SAMPLES,
        host.samples([NOW_US], rows=[[{remap.name: 1}]], group=Group.SLOW, metrics=[remap]),
    )
    assert [row[1:] for row in shelf.rows(INTERVALS)] == [
        ("health", "predicted_failure", at(0), None),
        ("reader", "partial", at(0), at(4)),
        ("slowdown", "heat", at(0), at(4)),
    ]


def test_what_goes_on_is_one_interval_over_a_restart(shelf: Shelf) -> None:
    host = FakeHost(gpus=2)
    shelf.store(Stream.SAMPLES, message(host, 0, status=3))
    shelf.start()
    shelf.store(Stream.SAMPLES, message(host, 1, status=3))
    assert [row[3:] for row in shelf.rows(INTERVALS)] == [(at(0), None)] * 2
    shelf.start()
    shelf.store(Stream.SAMPLES, message(host, 2))
    assert [row[3:] for row in shelf.rows(INTERVALS)] == [(at(0), at(8))] * 2


def test_events_of_loss_and_return_open_and_close(shelf: Shelf) -> None:
    host = FakeHost(gpus=1)
    board = host.uuids[0]
    shelf.store(Stream.SAMPLES, message(host, 0))
    lost = Event(time_us=NOW_US + 5 * S, kind=EventKind.GPU_LOST, accelerator=board)
    shelf.store(Stream.EVENTS, host.events(lost))
    one_minute = timedelta(seconds=60)
    assert [row[2:] for row in shelf.rows(INTERVALS)] == [("lost", at(5), at(5) + one_minute)]
    shelf.store(Stream.SAMPLES, message(host, 2, status=2))  # a reading bears it out
    assert [row[2:] for row in shelf.rows(INTERVALS)] == [("lost", at(5), None)]
    back = Event(time_us=NOW_US + 14 * S, kind=EventKind.GPU_BACK, accelerator=board)
    shelf.store(Stream.EVENTS, host.events(back))
    assert [row[2:] for row in shelf.rows(INTERVALS)] == [("lost", at(5), at(14))]
    shelf.store(Stream.SAMPLES, message(host, 4))
    shelf.replay()
    assert [row[2:] for row in shelf.rows(INTERVALS)] == [("lost", at(5), at(14))]


def test_a_site_that_slows_down_at_once_takes_few_locks(shelf: Shelf) -> None:
    hosts = [FakeHost(f"node-{number}", gpus=64) for number in range(4)]
    shelf.store(Stream.SAMPLES, *(message(host, 0) for host in hosts))
    with shelf.connection.transaction():
        shelf.connection.execute(
            "select put_state(host_id, gpu_id, 'slowdown', 'heat', now(), null, '0 s') "
            "from accelerators"
        )
        held = (
            "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
        )
        assert shelf.connection.execute(held).fetchone() in [(4,), (5,)]
    assert shelf.one("select count(*) from state_intervals") == 4 * 64


def test_what_was_normal_and_comes_late_asks_nothing_of_the_database(shelf: Shelf) -> None:
    calm, hot = FakeHost("calm"), FakeHost("hot")
    late = [message(host, 0) for host in (calm, hot)]
    shelf.store(Stream.SAMPLES, message(calm, 1), message(hot, 1, reasons=HEAT))
    count = "alter function put_state rename to put_state_really"
    shelf.connection.execute("create table asked (gpu integer)")
    shelf.connection.execute(count)
    shelf.connection.execute(
        "create function put_state(host integer, gpu integer, told_subject text, told_state text, "
        "from_at timestamptz, until_at timestamptz, slack interval) returns void "
        "language sql begin atomic insert into asked values (gpu); "
        "select put_state_really(host, gpu, told_subject, told_state, from_at, until_at, slack); "
        "end"
    )
    shelf.store(Stream.SAMPLES, *late)
    asked = "select distinct host_id from asked join accelerators on gpu_id = gpu"
    names = f"select host from hosts where host_id in ({asked})"
    assert shelf.rows(names) == [("hot",)], "its interval begins within half a tick"
    assert shelf.one("select count(*) from state_intervals where state = 'heat'") == hot.gpus
