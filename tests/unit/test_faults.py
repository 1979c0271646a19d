"""docs/faults.md and the tests that carry its numbers agree."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
ROWS = re.findall(r"^\| (F\d\d) \|", (ROOT / "docs/faults.md").read_text("utf-8"), re.MULTILINE)
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
