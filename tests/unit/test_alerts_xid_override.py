"""A site's override of the Xid policy: small, checked, and shown as what it is."""

from pathlib import Path
from typing import Any

import pytest

from alerts.xid_override import apply_override
from alerts.xid_policy import load_policy
from telemetry.errors import ConfigError

POLICY = load_policy()


def rows_with(tmp_path: Path, text: str) -> dict[int, dict[str, Any]]:
    path = tmp_path / "site.toml"
    path.write_text(text)
    rows = apply_override(POLICY, str(path)).rows()
    return {int(str(row["code"])): row for row in rows}


def test_without_a_file_the_policy_stands() -> None:
    assert apply_override(POLICY, "") is POLICY


def test_a_code_takes_the_class_of_the_site_and_says_whose_word_it_is(tmp_path: Path) -> None:
    before = {int(str(row["code"])): row for row in POLICY.rows()}
    found = rows_with(
        tmp_path, '[[xid]]\ncodes = [63]\nclass = "RESET"\nreason = "our provider replaces"\n'
    )
    assert (found[63]["class"], found[63]["severity"]) == ("RESET", "critical")
    assert found[63]["meaning"] == before[63]["meaning"]
    source = str(found[63]["source"])
    assert source.startswith("override in site.toml: our provider replaces")
    assert str(before[63]["class"]) in source
    assert str(before[63]["source"]) in source
    assert {code: row for code, row in found.items() if code != 63} == {
        code: row for code, row in before.items() if code != 63
    }


def test_a_class_may_wake_nobody_here(tmp_path: Path) -> None:
    found = rows_with(tmp_path, '[classes.HANDS]\nseverity = "none"\n')
    assert found[54]["severity"] is None
    assert found[54]["action"] == POLICY.classes["HANDS"].action


def test_a_site_may_have_a_class_and_a_code_of_its_own(tmp_path: Path) -> None:
    found = rows_with(
        tmp_path,
        '[classes.SWAP]\nseverity = "critical"\naction = "Swap it."\n'
        '[[xid]]\ncodes = [999]\nclass = "SWAP"\nreason = "seen here"\nmeaning = "new"\n',
    )
    assert (found[999]["action"], found[999]["meaning"]) == ("Swap it.", "new")
    assert found[999]["source"] == "override in site.toml: seen here"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("not toml", "site.toml: "),
        ("xids = 1\n", "site.toml:xids: there is no such key"),
        ("xid = 1\n", "site.toml:xid: is no list of tables"),
        ("classes = 1\n", "site.toml:classes: is no table"),
        ('[[xid]]\ncodes = [1]\nclass = "RESET"\n', "site.toml:xid.0.: .*reason"),
        (
            '[[xid]]\ncodes = [1]\nclass = "NONE"\nreason = "r"\n',
            "site.toml:xid.0..class: there is no class NONE",
        ),
        (
            '[[xid]]\ncodes = [1, 1]\nclass = "RESET"\nreason = "r"\n',
            "site.toml:xid.0..codes: 1 stands twice",
        ),
        (
            '[[xid]]\ncodes = [998]\nclass = "RESET"\nreason = "r"\n',
            "site.toml:xid.0..meaning: the policy has no 998",
        ),
        ('[classes.RESET]\nseverity = "awful"\n', "site.toml:classes.RESET: .*awful"),
        ('[classes.NEW]\nseverity = "critical"\n', "site.toml:classes.NEW.action"),
        ("[classes]\nRESET = 1\n", "site.toml:classes.RESET: "),
    ],
)
def test_a_wrong_file_stops_the_start_with_place_key_and_reason(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        rows_with(tmp_path, text)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = '[[xid]]\ncodes = [1]\nclass = "A"\nreason = "r"\n' * 2
    with pytest.raises(ConfigError) as caught:
        rows_with(tmp_path, text)
    assert len(caught.value.problems) == 3  # no class twice, and the code twice


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        apply_override(POLICY, str(tmp_path / "nowhere.toml"))
