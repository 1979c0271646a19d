"""Reading rules: what a file must say, and that a bad one stands alone."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.rules import RULE_BYTES_MAX, RuleError, load_rules, parse_rule
from telemetry.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent

GOOD = """\
-- Something is
-- wrong.
--
-- title: wrong things
-- severity: critical
-- for: 90s
-- clear: 2m
-- evaluate: on data
-- wait: 1h
-- key: host_id, gpu_id
-- group by: facility_id
-- inhibited by: host_silent
-- summary: {host} is wrong: because
--     of {reason}
-- action: Look.
-- runbook: Think: then look again.
--
-- Notes: not a field.

select 1
"""


def test_a_rule_says_all_its_head_says() -> None:
    rule = parse_rule("wrong", GOOD)
    assert rule.description == "Something is wrong."
    assert (rule.severity, rule.for_s, rule.clear_s, rule.wait_s) == ("critical", 90, 120, 3600)
    assert (rule.on_data, rule.key, rule.group_by) == (
        True,
        ("host_id", "gpu_id"),
        ("facility_id",),
    )
    assert rule.inhibited_by == ("host_silent",)
    assert rule.summary == "{host} is wrong: because of {reason}"
    assert rule.runbook == "Think: then look again."
    assert rule.body == "select 1"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("-- severity: critical\n", "", "lacks severity"),
        ("severity: critical", "severity: awful", "awful is none of"),
        ("for: 90s", "for: soon", "no duration"),
        ("for: 90s", "for: -1s", "no duration"),
        ("clear: 2m", "clear: 2 m", "no duration"),
        ("evaluate: on data", "evaluate: whenever", "evaluate"),
        ("evaluate: on data", "evaluate: every day", "no duration"),
        ("key: host_id, gpu_id", "key: host_id; drop table", "is no column"),
        ("title: wrong things", "titel: wrong things", "there is no such field"),
        ("wait: 1h", "for: 1h", "stands twice"),
        ("select 1\n", "", "no statement"),
    ],
)
def test_what_is_wrong_with_a_head_is_said(old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(RuleError, match=words):
        parse_rule("wrong", GOOD.replace(old, new))


@pytest.mark.parametrize("name", ["", "Wrong", "wrong.one", "../wrong", "w" * 70, "1wrong"])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(RuleError, match="name"):
        parse_rule(name, GOOD)


@given(st.text(max_size=400))
def test_any_text_is_a_rule_or_a_rule_error(text: str) -> None:
    with pytest.raises(RuleError):
        parse_rule("wrong", text)


@given(st.integers(0, len(GOOD) - 1), st.text(max_size=20))
def test_a_damaged_rule_never_breaks_more_than_itself(position: int, junk: str) -> None:
    text = GOOD[:position] + junk + GOOD[position:]
    try:
        rule = parse_rule("wrong", text)
    except RuleError:
        return
    assert rule.severity in ("info", "warning", "critical")
    assert rule.key


def test_one_bad_file_disables_one_rule_and_a_good_one_replaces_a_built_in(tmp_path: Path) -> None:
    (tmp_path / "wrong.sql").write_text(GOOD)
    (tmp_path / "thermal.sql").write_text(GOOD)
    (tmp_path / "empty.sql").write_text("")
    (tmp_path / "latin.sql").write_bytes(b"-- caf\xe9")
    (tmp_path / "huge.sql").write_text(GOOD + " " * RULE_BYTES_MAX)
    (tmp_path / "notes.txt").write_text("not a rule")
    rule_set = load_rules(str(tmp_path))
    assert set(rule_set.broken) == {"empty", "latin", "huge"}
    assert rule_set.rules["thermal"].title == "wrong things"
    assert {"wrong", "gpu_lost"} <= set(rule_set.rules)


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rules_folder"):
        load_rules(str(tmp_path / "nowhere"))


RULES = load_rules()


def test_every_built_in_rule_can_be_read() -> None:
    assert RULES.broken == {}
    assert set(RULES.rules) == {path.stem for path in (ROOT / "sql/alerts").glob("*.sql")}


@pytest.mark.parametrize("name", RULES.rules)
def test_a_built_in_rule_is_inhibited_by_rules_that_exist(name: str) -> None:
    rule = RULES.rules[name]
    assert set(rule.inhibited_by) <= set(RULES.rules)
    assert rule.description
    assert len(rule.summary) < 200


@pytest.mark.parametrize("name", RULES.rules)
def test_a_built_in_rule_is_documented_as_it_is(name: str) -> None:
    rule = RULES.rules[name]
    text = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")
    match = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert match is not None, f"docs/alerts.md has no heading {name}"
    section = " ".join(match[1].split())
    assert rule.description in section
    assert rule.action in section
    assert rule.severity in section
    assert f"for {rule.for_s:g} s" in section
    assert f"clear {rule.clear_s:g} s" in section
