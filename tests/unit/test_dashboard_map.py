"""The map's past and its choice of racks."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dashboard import chosen, maps, rewind
from dashboard.picture import Picture
from dashboard.places import Rack
from dashboard.view import View

NOW_S = 1_800_000_000.0


def racks(*rack_ids: int) -> Any:
    """A picture of racks of four seats, two hosts each."""
    found = [
        Rack(
            rack_id, 1, ("A", "01", f"R{rack_id}"), slice(2 * n, 2 * n + 2), slice(4 * n, 4 * n + 4)
        )
        for n, rack_id in enumerate(rack_ids)
    ]
    gpu_ids = np.arange(4 * len(found))
    return SimpleNamespace(racks=found, gpu_ids=gpu_ids)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", [3]),
        ("3-5,9", [3, 4, 5, 9]),
        ("9,3", [3, 9]),
        ("77", []),
        ("", None),
        ("-", None),
        ("5-", [5]),
        ("x-9", None),
        ("999999999999", None),
    ],
)
def test_an_address_chooses_racks_by_number_and_what_makes_no_sense_chooses_all(
    text: str, expected: list[int] | None
) -> None:
    picture: Picture = racks(3, 4, 5, 9)
    found = chosen.racks(picture, View.of("/map", {"racks": text}))
    assert (None if found is None else [rack.rack_id for rack in found]) == expected


def test_the_seats_and_hosts_of_a_choice_are_those_of_its_racks() -> None:
    picture = racks(3, 4, 5)
    found = [picture.racks[0], picture.racks[2]]
    assert chosen.seats(found).tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert chosen.hosts(found).tolist() == [0, 1, 4, 5]
    assert chosen.seats([]).tolist() == []


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (f"{NOW_S - 3600:.0f}", NOW_S - 3600),
        (f"{NOW_S - 3571:.0f}", NOW_S - 3600),
        (f"{NOW_S - 20:.0f}", None),
        (f"{NOW_S + 900:.0f}", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_time_past_is_a_whole_minute_and_the_present_is_live(
    at: str, expected: float | None
) -> None:
    assert rewind.time_of(View.of("/map", {"at": at}), NOW_S) == expected


def test_states_are_not_kept_by_the_minute_so_the_past_shows_the_load() -> None:
    assert rewind.signal_of("state") == "utilisation"
    assert rewind.signal_of("headroom") == "headroom"


def test_a_rack_of_the_past_lends_its_value_to_all_its_seats_and_silence_is_not_zero() -> None:
    codes = rewind._levels(racks(3, 4, 5), "utilisation", {3: 50.0, 4: 0.0, 5: None})
    assert codes.tolist() == [100] * 4 + [0] * 4 + [maps.NOT_TOLD] * 4


def test_a_value_beyond_the_scale_is_drawn_at_its_end() -> None:
    codes = rewind._levels(racks(3, 4), "headroom", {3: -6.0, 4: 71.0})
    assert codes.tolist() == [0] * 4 + [maps.LEVELS] * 4
