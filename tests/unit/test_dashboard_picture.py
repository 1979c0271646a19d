"""The fleet in memory: places, seats, newest readings, mosaics and sums."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np

from dashboard import maps
from dashboard.inventory import Found
from dashboard.picture import READINGS, Picture
from dashboard.states import State
from dashboard.summary import summarise
from dashboard.ticks import Ticks

NOW_S = 1_700_000_000.0


def facility(number: int, name: str, **more: Any) -> SimpleNamespace:
    terms = dict.fromkeys(
        ("display_name", "provider", "region", "note", "contracted_accelerators",
         "contracted_power_watts")
    )  # fmt: skip
    return SimpleNamespace(facility_id=number, facility=name, tenant="acme", **{**terms, **more})


def host(number: int, name: str, rack: str = "r1", where: int = 1) -> SimpleNamespace:
    return SimpleNamespace(
        host_id=number, facility_id=where, rack_id=hash((where, rack)), host=name, tray="",
        hall="A", row="1", rack=rack, inventory_s=None,
    )  # fmt: skip


Gpu = tuple[int, int, int, bool, bool]


def gpu(
    number: int, owner: int, index: int = 0, *, present: bool = True, part: bool = False
) -> Gpu:
    return number, owner, index, present, part


def found(*gpus: Gpu) -> Found:
    numbers, owners, indices, present, parts = (np.array(c) for c in zip(*gpus, strict=True))
    slowdown, models = np.full(len(gpus), 87, np.float32), ["NVIDIA H100 80GB HBM3"] * len(gpus)
    return Found(numbers, owners, indices, present, parts, slowdown, models)


def reading(
    owner: int,
    gpu_ids: list[int],
    at_s: float = NOW_S,
    interval_s: float = 1.0,
    **columns: list[float | None],
) -> Ticks:
    """The newest tick of one host."""
    missing = np.full((1, len(gpu_ids)), np.nan, np.float32)
    told = {name: np.array([values], np.float32) for name, values in columns.items()}
    return Ticks(
        np.array([owner]), np.array([at_s]), np.array([interval_s]), np.array([gpu_ids]),
        dict.fromkeys(READINGS, missing) | told,
    )  # fmt: skip


def small_fleet() -> Picture:
    picture = Picture()
    picture.set_facilities([facility(1, "ohio", contracted_accelerators=6), facility(2, "texas")])
    picture.set_inventory(
        [host(10, "b", "r2"), host(11, "a", "r1"), host(12, "t", "r9", where=2)],
        found(gpu(1, 10, 0), gpu(2, 10, 1), gpu(3, 11, 1), gpu(4, 11, 0), gpu(5, 12)),
    )
    return picture


def test_seats_are_in_the_order_of_place_and_index() -> None:
    assert small_fleet().gpu_ids.tolist() == [4, 3, 1, 2, 5]


def test_readings_find_their_seats_whatever_their_order() -> None:
    picture = small_fleet()
    picture.set_readings(reading(10, [2, 1], temperature_gpu_celsius=[70, 50]))
    assert picture.readings["temperature_gpu_celsius"][2:4].tolist() == [50, 70]


def test_readings_move_along_when_the_fleet_grows() -> None:
    picture = small_fleet()
    picture.set_readings(reading(10, [1, 2], temperature_gpu_celsius=[50, 70]))
    picture.set_inventory([host(9, "new", "r0")], found(gpu(6, 9)))
    assert picture.gpu_ids.tolist() == [6, 4, 3, 1, 2, 5]
    heat = picture.readings["temperature_gpu_celsius"]
    assert heat[3:5].tolist() == [50, 70]
    assert np.isnan(heat[0])
    assert not picture.stale_hosts(NOW_S).any()


def test_a_host_with_accelerators_nobody_knows_is_told() -> None:
    picture = small_fleet()
    assert picture.set_readings(reading(10, [1, 2, 99])) == {10}
    assert picture.set_readings(reading(10, [1, 2])) == set()


def test_readings_of_unknown_hosts_are_left_out() -> None:
    picture = small_fleet()
    assert picture.set_readings(reading(77, [1], temperature_gpu_celsius=[50])) == {77}
    assert np.isnan(picture.readings["temperature_gpu_celsius"]).all()


def test_a_host_of_a_facility_not_read_yet_waits_without_touching_others() -> None:
    picture = small_fleet()
    picture.set_readings(reading(10, [1, 2], at_s=NOW_S))
    before = picture.time_s.copy()
    picture.set_inventory([host(20, "early", where=3)], found(gpu(8, 20)))
    picture.set_readings(reading(20, [8], at_s=NOW_S - 500))
    assert np.array_equal(picture.time_s, before, equal_nan=True)
    alone = Picture()
    alone.set_inventory([host(20, "early", where=3)], found(gpu(8, 20)))
    assert alone.set_readings(reading(20, [8])) == {20}


def test_silence_makes_a_host_stale_and_its_accelerators_with_it() -> None:
    picture = small_fleet()
    picture.set_readings(reading(10, [1, 2], utilization_gpu_percent=[90, 90]))
    assert picture.states(NOW_S + 29)[2:4].tolist() == [State.BUSY, State.BUSY]
    assert picture.states(NOW_S + 31)[2:4].tolist() == [State.STALE, State.STALE]
    assert picture.states(NOW_S)[0] == State.UNKNOWN


def test_a_slow_sampler_is_not_stale_too_soon() -> None:
    picture = small_fleet()
    picture.set_readings(reading(10, [1, 2], interval_s=60.0, utilization_gpu_percent=[90, 90]))
    assert picture.states(NOW_S + 170)[2] == State.BUSY
    assert picture.states(NOW_S + 190)[2] == State.STALE


def test_headroom_comes_from_the_limit_where_the_driver_tells_no_margin() -> None:
    picture = small_fleet()
    picture.set_readings(
        reading(10, [1, 2], temperature_gpu_celsius=[80, 60], temperature_margin_celsius=[None, 21])
    )
    assert picture.headroom_celsius()[2:4].tolist() == [7, 21]


def test_facilities_of_one_name_are_told_apart_by_tenant() -> None:
    picture = Picture()
    other = facility(2, "ohio")
    other.tenant = "globex"
    picture.set_facilities([facility(1, "ohio"), other])
    assert [f.slug for f in picture.facilities] == ["acme/ohio", "globex/ohio"]


def test_sums_count_what_is_seen_and_say_what_is_missing() -> None:
    picture = small_fleet()
    picture.set_readings(
        reading(10, [1, 2], utilization_gpu_percent=[80, 0], temperature_margin_celsius=[9, 30],
                power_milliwatts=[500_000, 100_000], temperature_gpu_celsius=[78, 40])
    )  # fmt: skip
    picture.set_readings(
        reading(11, [4, 3], utilization_gpu_percent=[60, None], reader_status_code=[0, 2],
                power_milliwatts=[400_000, 999_000])
    )  # fmt: skip
    [ohio, texas], _ = summarise(picture, NOW_S)
    assert (ohio.contracted, ohio.known, ohio.seen, ohio.healthy) == (6, 4, 3, 3)
    assert ohio.count(State.LOST) == 1
    assert ohio.power_mw == 1_000_000  # what a lost board drew last is not drawn now
    assert ohio.headroom_min == 9
    assert ohio.hottest_rack == "A / 1 / r2"
    assert texas.count(State.UNKNOWN) == 1
    assert np.isnan(texas.load[0])


def test_a_mosaic_has_a_cell_for_every_seat_and_pads_short_hosts() -> None:
    picture = small_fleet()
    picture.set_inventory([host(13, "c", "r2")], found(gpu(7, 13)))
    made = maps.Maps().of(picture, "ohio")
    assert made.seats.tolist() == [0, 1, 2, 3, 4, -1]
    [group] = json.loads(made.layout)["groups"]
    assert [rack[2:] for rack in group["racks"]] == [[1, 2], [2, 2]]
    assert group["absent"] == 1


def test_a_map_by_temperature_shows_who_cannot_be_seen() -> None:
    picture = small_fleet()
    picture.set_readings(
        reading(10, [1, 2], temperature_gpu_celsius=[95, None], reader_status_code=[0, 2])
    )
    states = picture.states(NOW_S)
    codes = maps.levels(picture, states, "temperature", NOW_S)
    assert codes[2] == maps.LEVELS
    assert codes[3] == maps.SIGHTLESS_BASE + State.LOST
    assert codes[0] == maps.SIGHTLESS_BASE + State.UNKNOWN


def test_a_cell_is_described_without_stale_numbers() -> None:
    picture = small_fleet()
    picture.set_readings(reading(10, [1, 2], temperature_gpu_celsius=[50, 70]))
    made = maps.Maps().of(picture)
    live = maps.describe(picture, made, 2, NOW_S)
    assert live is not None
    assert (live["host"], live["index"], live["readings"]["Temperature"]) == (
        "b",
        0,
        "50\N{NARROW NO-BREAK SPACE}°C",
    )
    old = maps.describe(picture, made, 2, NOW_S + 999)
    assert old is not None
    assert old["state"] == "stale"
    assert old["readings"] == {}
    assert maps.describe(picture, made, 99, NOW_S) is None


def test_a_mig_instance_is_known_and_not_counted_beside_its_board() -> None:
    picture = Picture()
    picture.set_facilities([facility(1, "one")])
    boards = [gpu(5, 10, 0), gpu(6, 10, 1)]
    instances = [gpu(7, 10, 0, part=True), gpu(8, 10, 0, part=True)]
    gone = gpu(9, 10, 0, present=False, part=True)
    picture.set_inventory([host(10, "a")], found(*boards, *instances, gone))
    ticks = reading(
        10, [5, 6, 7, 8],
        power_milliwatts=[300_000, 200_000, None, None],
        memory_used_mebibytes=[40_000, 10_000, 30_000, 10_000],
    )  # fmt: skip
    assert picture.set_readings(ticks) == set()
    assert picture.gpu_ids.tolist() == [5, 6]
    assert picture.readings["memory_used_mebibytes"].tolist() == [40_000, 10_000]
    summaries, states = summarise(picture, NOW_S)
    assert summaries[0].known == 2
    assert State.ABSENT not in states
    picture.set_inventory([], found(gpu(7, 10, 0)))
    assert picture.gpu_ids.tolist() == [5, 7, 6]
