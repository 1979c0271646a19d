"""Addresses: what they ask for, and what they cannot ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import wording
from dashboard.charts.series import Drain
from dashboard.view import POINTS_MAX, SPAN_S_MAX, View

NOW_S = 1_763_800_000.0


def test_an_address_holds_the_whole_view() -> None:
    view = View.parse("/facility", "?facility=memphis-1&range=6h&signal=power&junk=1")
    assert view.get("facility") == "memphis-1"
    assert view.href() == "/facility?facility=memphis-1&range=6h&signal=power"
    assert View.parse("/facility", view.href().partition("?")[2]) == view


def test_equal_views_are_equal_whatever_the_order_of_their_parameters() -> None:
    assert View.parse("/", "?signal=age&range=1h") == View.parse("/", "?range=1h&signal=age")


def test_a_fixed_range_is_taken_over_a_relative_one() -> None:
    view = View.parse("/", "?range=1h&from=2024-02-01T00:00:00Z&to=2024-02-02T00:00:00Z")
    window = view.window(NOW_S)
    assert view.range_name == "custom"
    assert not window.live
    assert window.end_s - window.start_s == 86_400


def test_f39_a_range_that_is_too_long_is_cut_and_said() -> None:
    window = View.parse("/", "?from=1000000000&to=1700000000").window(NOW_S)
    assert window.end_s - window.start_s <= SPAN_S_MAX + window.step_s
    assert "cut" in window.note


@pytest.mark.parametrize("name", ["15m", "1h", "6h", "24h", "7d", "forever", ""])
def test_f39_no_range_asks_for_more_points_than_a_screen_shows(name: str) -> None:
    assert View.parse("/", f"?range={name}").window(NOW_S).points <= POINTS_MAX + 1


@pytest.mark.parametrize(
    "search",
    ["?facility=<script>", "?facility=" + "a" * 500, "?from=1e999&to=nan", "?from=5&to=1",
     "?range=%00", "?facility=a%0A", "?facility=a'--",
     "?" + "&".join(f"a{n}=1" for n in range(60))],
)  # fmt: skip
def test_what_makes_no_sense_is_not_there(search: str) -> None:
    view = View.parse("/", search)
    assert view.get("facility") == ""
    assert view.window(NOW_S).live


@pytest.mark.parametrize(
    "search", ["?from=5&to=1", "?from=7&to=7", "?from=5&to=nan", "?to=1700000000", "?from=x&to=y"]
)
def test_f39_a_range_that_makes_no_sense_is_said(search: str) -> None:
    window = View.parse("/", search).window(NOW_S)
    assert window.live
    assert "no sense" in window.note


def test_what_is_beyond_the_first_fields_is_not_read() -> None:
    many = "&".join(f"a{n}=1" for n in range(63))
    assert View.parse("/", f"?{many}&facility=x").get("facility") == "x"
    assert View.parse("/", f"?{many}&b=1&facility=x").get("facility") == ""


@given(st.text(max_size=300))
def test_f39_any_text_makes_a_bounded_view(search: str) -> None:
    view = View.parse("/facility", search)
    window = view.window(NOW_S)
    assert 0 < window.points <= POINTS_MAX * 2
    assert window.end_s > window.start_s


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7.25, "7.2"), (999, "999"), (4589, "4,589"), (12_345, "12.3 k"),
     (412_000, "412 k"), (2_345_678, "2.3 M"), (None, "—"), (float("nan"), "—")],
)  # fmt: skip
def test_brief_numbers(value: float | None, text: str) -> None:
    assert wording.brief(value) == text.replace(",", wording.THIN).replace(" ", wording.THIN)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (61, "1 m 1 s"), (3600, "1 h"), (5400, "1 h 30 m"),
     (90_000, "1 d 1 h"), (None, "—"), (float("inf"), "—")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert wording.duration(seconds).replace(wording.THIN, " ") == text


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (wording.number(-1234.6), "\N{MINUS SIGN}1 235"),
        (wording.number(-0.4), "0"),
        (wording.number(287, sign="+"), "+287"),
        (wording.number(-287, sign="+"), "\N{MINUS SIGN}287"),
        (wording.with_unit(-2.0, "°C"), "\N{MINUS SIGN}2 °C"),
        (wording.brief(-412_000), "\N{MINUS SIGN}412 k"),
        (wording.brief(-1.5), "\N{MINUS SIGN}1.5"),
    ],
)
def test_below_zero_stands_a_minus_and_not_a_hyphen(shown: str, text: str) -> None:
    assert shown.replace(wording.THIN, " ") == text


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (wording.with_unit(1, "GPUs"), "1 GPU"), (wording.with_unit(11, "GPUs"), "11 GPUs"),
        (wording.with_unit(1.2, "jobs"), "1 job"), (wording.with_unit(0, "jobs"), "0 jobs"),
        (wording.with_unit(-1, "requests"), "\N{MINUS SIGN}1 request"),
        (wording.with_unit(1, "ms"), "1 ms"), (wording.with_unit(1, "GPU-h"), "1 GPU-h"),
        (wording.plural(1, "host"), "1 host"), (wording.plural(2, "host"), "2 hosts"),
    ],
)  # fmt: skip
def test_one_of_a_thing_is_told_in_the_singular(shown: str, text: str) -> None:
    assert shown.replace(wording.THIN, " ") == text


def test_an_outlook_is_honest() -> None:
    def say(size: float, trend: Drain | None, unit: str = "") -> str:
        return wording.drain_words(size, trend, unit).replace(wording.THIN, " ")

    assert say(0, None) == "nothing waits"
    assert say(5, None) == "no trend yet"
    assert say(100, Drain(-60, 6000, 3000, 9000)) == "empty in 1.7 h (50 m – 2.5 h)"  # noqa: RUF001
    assert say(100, Drain(-60, 6000, 3000, None)) == "empty in 1.7 h, if it holds"
    assert say(100, Drain(31, None, None, None)) == "grows by 31 an hour"
    assert say(100, Drain(1, None, None, None)) == "steady, not draining"
    assert say(1, Drain(1, None, None, None), "jobs") == "grows by 1 job/h"
    assert say(100, Drain(0, None, None, None)) == "steady, not draining"
