"""The Xid policy: whole, sourced, and strict about copies of it."""

from pathlib import Path
from typing import Any

import pytest

from alerts.xid_policy import load_policy
from telemetry.errors import ConfigError

POLICY = load_policy()
BY_CODE: dict[int, dict[str, Any]] = {int(str(row["code"])): row for row in POLICY.rows()}


def test_every_code_of_the_catalogue_is_there_once() -> None:
    assert sorted(BY_CODE) == list(range(1, 174))


def test_every_row_has_its_meaning_action_and_source() -> None:
    for row in BY_CODE.values():
        assert row["meaning"]
        assert row["vendor_action"]
        assert row["source"]
        assert row["action"]


@pytest.mark.parametrize("code", [46, 48, 62, 64, 74, 79, 95, 109, 119, 120, 136, 140, 143, 158])
def test_codes_after_which_a_board_must_not_be_used_are_critical(code: int) -> None:
    assert BY_CODE[code]["severity"] == "critical"


@pytest.mark.parametrize("code", [8, 13, 31, 43, 45, 63, 92, 94, 137, 154, 171, 172])
def test_codes_of_programs_and_echoes_wake_nobody(code: int) -> None:
    assert BY_CODE[code]["severity"] is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not toml", "policy.toml"),
        ('[classes.A]\naction = "x"\nseverity = "awful"\n', "awful"),
        ("[classes]\nxid = 3\n", "policy.toml"),
        (
            (
                '[classes.A]\naction = "x"\n[[xid]]\ncodes = [1]\nmeaning = "m"\n'
                'vendor_action = "v"\nclass = "B"\nsource = "s"\n'
            ),
            "no class B",
        ),
        (
            (
                '[classes.A]\naction = "x"\n[[xid]]\ncodes = [1, 1]\nmeaning = "m"\n'
                'vendor_action = "v"\nclass = "A"\nsource = "s"\n'
            ),
            "stands twice",
        ),
    ],
)
def test_a_deployments_copy_is_checked(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_policy(str(path))


def test_a_copy_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load_policy(str(tmp_path / "nowhere.toml"))
