"""Every built-in rule on the cases of its file: rows in, states out over time."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alerts.rules import load_rules
from tests.fix_alerts import Bench, subject

FOLDER = Path(__file__).parent.parent / "data" / "alerts"
RULES = load_rules().rules


def cases() -> Iterator[Any]:
    for path in sorted(FOLDER.glob("*.toml")):
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        for number, case in enumerate(document["case"]):
            yield pytest.param(document["rule"], case, id=f"{path.stem}-{number}")


def test_every_rule_has_a_case_file_and_every_file_a_rule() -> None:
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_the_cases_of_a_rule_see_it_both_firing_and_quiet(name: str) -> None:
    document = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    assert document["rule"] == name
    opened = [step["open"] for case in document["case"] for step in case["step"]]
    assert any("firing" in states.values() for states in opened)
    assert {} in opened


@pytest.mark.parametrize(("rule", "case"), list(cases()))
def test_a_rule_says_what_its_case_expects(bench: Bench, rule: str, case: dict[str, Any]) -> None:
    for host in case["hosts"]:
        bench.ledger.host(**host)
    for step in case["step"]:
        bench.clock.seconds = step["at_s"]
        for action in step["do"]:
            words = dict(action)
            getattr(bench.ledger, words.pop("call"))(**words)
        bench.run()
        failed = bench.rows("select rule, error from alert_rules where state <> 'ok'")
        assert failed == []
        where = f"{case['name']}, at {step['at_s']} s"
        assert bench.states(rule) == step["open"], where
        rows = bench.rows(
            "select labels, key, severity from alerts where rule = %s and state <> 'resolved'", rule
        )
        severities = {subject(row["labels"], row["key"]): row["severity"] for row in rows}
        for key, severity in step.get("severity", {}).items():
            assert severities[key] == severity, where
