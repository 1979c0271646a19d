"""docs/faults.md and the tests that carry its numbers agree."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/faults.md").read_text("utf-8")
ROWS = re.findall(r"^\| (F\d\d) \|", PAGE, re.MULTILINE)
TESTED = {
    number.upper()
    for path in (ROOT / "tests").rglob("test_*.py")
    for number in re.findall(r"^def test_(f\d\d)_", path.read_text("utf-8"), re.MULTILINE)
}


def test_every_number_is_written_once_and_in_order() -> None:
    assert [f"F{number:02}" for number in range(1, len(ROWS) + 1)] == ROWS


@pytest.mark.parametrize("number", sorted(TESTED))
def test_a_number_that_a_test_carries_has_its_row(number: str) -> None:
    assert number in ROWS


def test_a_row_has_a_test_or_is_said_to_have_none() -> None:
    head = PAGE.partition("| | fault |")[0]
    untested = re.findall(r"\bF\d\d\b", head.partition("without a number:")[2])
    assert untested == sorted(set(ROWS) - TESTED)
