"""The command line of the benches."""

import argparse
import json

import pytest

from benchmarks import command
from benchmarks.report import Figures, Report
from telemetry.errors import PermanentError


@pytest.fixture(autouse=True)
def _keep_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_quieten", lambda: None)


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("words", [("--json", "agent"), ("agent", "--json")])
def test_what_all_benches_know_may_stand_before_or_after_the_name(words: tuple[str, ...]) -> None:
    assert parsed(*words).json
    assert not parsed("agent").json
    assert parsed("--runs", "5", "wall").runs == 5
    assert parsed("wall").runs == 1


def test_without_a_name_all_run_and_one_that_fails_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = parsed("--json", "--runs", "3")
    for name, parser in arguments.parsers.items():

        def measure(chosen: argparse.Namespace, name: str = name) -> Report:
            if name == "wall":
                raise PermanentError("no wall here")
            return Report(bench=name, parameters={"runs": chosen.runs}, runs=[{"ms": 1.0}])

        parser.set_defaults(measure=measure)
    assert command.run(arguments) == 1
    out, err = capsys.readouterr()
    documents = [json.loads(line) for line in out.splitlines()]
    assert [document["bench"] for document in documents] == [
        name for name in command.BENCHES if name != "wall"
    ]
    assert all(document["parameters"] == {"runs": 3} for document in documents)
    assert "wall: no wall here" in err


def test_a_person_sees_every_figure_with_its_spread(capsys: pytest.CaptureFixture[str]) -> None:
    def measure(_chosen: argparse.Namespace) -> Report:
        runs: list[Figures] = [
            {"ms": 1.0, "peer": {"bytes": None}},
            {"ms": 3.0, "peer": {"bytes": None}},
        ]
        return Report(bench="x", parameters={}, runs=runs, notes=["mind the gap"])

    assert command.run(argparse.Namespace(bench="x", json=False, measure=measure)) == 0
    out = capsys.readouterr().out
    assert "2.0   [1.0 .. 3.0]" in out
    assert "not measured" in out
    assert "note: mind the gap" in out
