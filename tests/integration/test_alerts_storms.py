"""Many things at once, and one thing again and again: how often it rings."""

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.fix_alerts import Bench

LOST = 2


# F41: silence has one voice.


def test_f41_a_silent_facility_is_one_notice_and_not_one_a_host(bench: Bench) -> None:
    bench.make_fleet(facilities=2, hosts=20)
    for _ in range(30):
        bench.ledger.collector()
        for host in bench.ledger.hosts:
            if host.startswith("f1"):
                bench.ledger.state(host)
        bench.run(10)
    assert bench.states("facility_silent") == {"f0": "firing"}
    assert set(bench.states("host_silent").values()) == {"firing"}
    assert len(bench.states("host_silent")) == 20
    assert bench.kinds() == [("facility_silent", "opened", True)]
    muted = bench.rows("select count(*) as n from alerts where inhibited_by is not null")
    assert muted == [{"n": 20}]
    incident = bench.rows("select * from incidents where rule = 'host_silent'")[0]
    assert (incident["firing_count"], incident["muted_count"]) == (20, 20)
    assert incident["told_at"] is None


def test_f41_a_stopped_collector_is_one_notice_about_the_pipeline(bench: Bench) -> None:
    bench.make_fleet(facilities=3, hosts=5)
    for _ in range(30):
        bench.run(10)
    assert bench.kinds() == [("pipeline_silent", "opened", True)]


def test_f41_a_silent_host_explains_what_its_accelerators_said_before(bench: Bench) -> None:
    bench.make_fleet()
    bench.ledger.state("f0h0", temperature_margin_celsius=-1)
    bench.run(10)
    for _ in range(12):
        bench.ledger.collector()
        for host in ("f0h1", "f0h2", "f0h3"):
            bench.ledger.state(host)
        bench.run(10)
    rows = bench.rows("select rule, inhibited_by is not null as muted from alerts order by rule")
    assert {(row["rule"], row["muted"]) for row in rows} == {
        ("host_silent", False),
        ("thermal", True),
    }


# F50: a facility loses power and returns.


def test_f50_a_facility_that_loses_power_and_returns_rings_at_most_twice(bench: Bench) -> None:
    bench.make_fleet(facilities=4, hosts=6)
    away = [host for host in bench.ledger.hosts if host.startswith("f2")]
    returns_s = 1800
    for second in (*range(0, 600, 10), *range(600, 1750, 30), *range(1750, 2400, 10)):
        bench.clock.seconds = 20 + second
        bench.ledger.collector()
        for number, host in enumerate(bench.ledger.hosts):
            # Hosts come back one after the other, over a minute.
            if host not in away or second >= returns_s + number % 6 * 10:
                bench.ledger.state(host)
        if second == returns_s + 60:
            # What was spooled arrives late: Xids of long ago, of boards that are well.
            for host in away:
                bench.ledger.event(host, "xid", gpu=0, code=79, age_s=4000)
        bench.run()
        if second == 300:
            assert set(bench.states("facility_silent")) == {"f2"}
    assert 1 <= len(bench.pages()) <= 2
    assert bench.rows("select 1 from incidents where state <> 'resolved'") == []
    assert bench.rows("select 1 from alerts where rule = 'fatal_xid'") == []
    told = [(each["rule"], each["kind"]) for each in bench.notices()]
    assert ("facility_silent", "resolved") in told


# F45: a storm of alerts.


def lose(bench: Bench, gpus: int) -> None:
    """Let the first boards of the fleet be lost, eight a host, in one statement."""
    bench.connection.execute(
        "update host_state set reader_status_code = array_fill(2::smallint, array[8]), "
        "received_at = %s, time = %s where host_id in "
        "(select host_id from host_state order by host_id limit %s)",
        (bench.clock.now, bench.clock.now, gpus // 8),
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_f45_ten_thousand_lost_accelerators_are_few_notices(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    bench.connection.execute(
        """
        with f as (
            insert into facilities (tenant, facility)
            select 'lab', 'big' || n from generate_series(1, 4) n returning facility_id
        ),
        r as (
            insert into racks (facility_id, rack)
            select facility_id, 'r' || n from f, generate_series(1, 10) n
            returning rack_id, facility_id
        ),
        h as (
            insert into hosts (facility_id, rack_id, host)
            select facility_id, rack_id, 'h' || rack_id || '-' || n from r, generate_series(1, 50) n
            returning host_id
        ),
        a as (
            insert into accelerators (host_id, uuid, index, pci_address)
            select host_id, gen_random_uuid(), n, '0000:' || n from h, generate_series(0, 7) n
            returning host_id, gpu_id
        )
        insert into host_state
            (host_id, time, slow_time, received_at, boot_epoch, seq, gpu_ids, reader_status_code,
             temperature_margin_celsius, temperature_gpu_celsius)
        select host_id, %(now)s, %(now)s, %(now)s, 1, 1, array_agg(gpu_id),
            array_fill(0::smallint, array[8]), array_fill(20::smallint, array[8]),
            array_fill(60::smallint, array[8])
        from a group by host_id
        """,
        {"now": bench.clock.now},
    )
    for tick in range(20):
        bench.clock.seconds += 5 if tick < 6 else 20
        bench.ledger.collector()
        bench.connection.execute(
            "update host_state set received_at = %s, time = %s", (bench.clock.now,) * 2
        )
        if tick == 3:
            lose(bench, 4000)
        if tick == 4:
            lose(bench, 10_000)
        bench.run()
    counted = bench.rows("select count(*) as n from alerts where state = 'firing'")
    assert counted == [{"n": 10_000}]
    notices = bench.notices()
    assert len(notices) <= 30
    newest = {each["facility"]: each["counts"]["firing"] for each in notices}
    assert sum(newest.values()) == 10_000
    assert max(len(json.dumps(each)) for each in notices) < 64 * 1024


# F46: flapping at the threshold.


@pytest.mark.parametrize("period_s", [15, 300, 420])
def test_f46_a_square_wave_rings_at_most_once_in_half_an_hour_and_is_marked(
    bench: Bench, period_s: int
) -> None:
    bench.make_fleet(hosts=1)
    rings = []
    for second in range(0, 3600, 15 if period_s > 15 else 5):
        bench.clock.seconds = 100 + second
        bench.ledger.collector()
        bad = second % period_s < period_s / 2
        bench.ledger.state("f0h0", reader_status_code=[LOST if bad else 0, 0])
        before = len(bench.pages())
        bench.run()
        rings += [bench.clock.now] * (len(bench.pages()) - before)
    assert rings
    gaps = [later - earlier for earlier, later in pairwise(rings)]
    assert all(gap >= timedelta(minutes=30) for gap in gaps)
    alerts = bench.rows("select flapping, state from alerts where rule = 'gpu_lost'")
    # Faster than `clear`, it never ends and so does not flap; slower, it is marked.
    assert alerts == [{"flapping": period_s > 120, "state": "firing"}]
