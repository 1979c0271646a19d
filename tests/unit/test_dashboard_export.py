"""Downloads: nothing in a CSV is a formula, and nothing breaks its lines."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from dashboard.export import FORMULA_STARTS, cell, line


def parsed(text: bytes) -> list[str]:
    [row] = csv.reader(io.StringIO(text.decode(), newline=""))
    return row


def test_t16_what_a_spreadsheet_takes_for_a_formula_is_text() -> None:
    for text in ("=HYPERLINK(1)", "+1", "-2+3", "@SUM", "\t=1", "\r=1", "\uff1d1", "\uff0b1"):
        assert parsed(line([text])) == [f"'{text}"]


def test_t16_numbers_stay_numbers_and_nothing_stays_empty() -> None:
    assert line([-5, 0.25, None, True]) == b"-5,0.25,,true\r\n"


def test_t16_separators_and_quotes_are_quoted() -> None:
    assert cell('a,"b"') == '"a,""b"""'
    assert parsed(line(["a,b", "c\nd"])) == ["a,b", "c\nd"]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_any_text_comes_back_as_it_was_but_for_the_mark_before_a_formula(texts: list[str]) -> None:
    for back, text in zip(parsed(line(["x", *texts]))[1:], texts, strict=True):
        assert back in (text, f"'{text}")
        assert not back.startswith(FORMULA_STARTS)
