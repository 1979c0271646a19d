"""The command line of the agent: one reading for a person, and settings that are wrong."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from agent import boards, command
from agent.accelerators import AcceleratorReading, Inspection
from fleetgauge.__main__ import EXIT_CONFIG, EXIT_FAILED, main
from telemetry.catalogue import CATALOGUE
from telemetry.clock import Clock
from telemetry.metrics import Group
from telemetry.records import Accelerator, Event, ReaderStatus

LONG_S = 60.0


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLEETGAUGE_HOST", raising=False)


def once(*flags: str) -> dict[str, Any]:
    """Run in a process of its own, because the simulated driver stays under its binding."""
    done = subprocess.run(
        [sys.executable, "-m", "fleetgauge", "agent", "--once", "--sink", "stdout", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_one_reading_has_every_metric_with_label_unit_and_value_or_word() -> None:
    reading = once("--simulate", "h100x2", "--host", "host-1")
    assert reading["host"] == "host-1"
    assert len(reading["accelerators"]) == 2
    for accelerator in reading["accelerators"]:
        assert accelerator["model"] == "NVIDIA H100 80GB HBM3"
        assert accelerator["status"] == "whole"
        metrics = accelerator["metrics"]
        assert list(metrics) == [metric.name for metric in CATALOGUE.metrics]
        for name, metric in metrics.items():
            assert metric["label"] == CATALOGUE.by_name[name].label
            assert (metric["value"] is None) == (metric.get("state") in {"unsupported", "failed"})
        assert metrics["power_milliwatts"]["unit"] == "W"
        assert 30 < metrics["power_milliwatts"]["value"] < 700
        assert metrics["sm_active_permille"]["value"] is not None  # two samples apart were taken


def test_faults_show_as_words(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(
        '[[faults]]\nat_s = 0\nkind = "lost"\ngpu = 1\n'
        '[[faults]]\nat_s = 0\nkind = "failing"\ngpu = 0\nname = "nvmlDeviceGetPerformanceState"\n'
    )
    reading = once("--simulate", "h100x2", "--scenario", str(scenario))
    whole = reading["accelerators"][0]
    failed = whole["metrics"]["performance_state_code"]
    assert (failed["value"], failed["state"]) == (None, "failed")
    assert failed["reason"]
    assert len(reading["accelerators"]) in {1, 2}


class HangingReader:
    """A driver that never answers: in opening, or in reading."""

    in_opening = True
    released = threading.Event()

    def __init__(self, clock: Clock) -> None:
        pass

    def open(self) -> Inspection:
        if self.in_opening:
            self.released.wait(LONG_S)
        return Inspection("590", "13", (Accelerator(uuid=b"u" * 16, index=0),))

    def read(self, position: int, group: Group) -> AcceleratorReading:
        self.released.wait(LONG_S)
        return AcceleratorReading(b"u" * 16, ReaderStatus.WHOLE)

    def wait_events(self, timeout_s: float) -> list[Event]:
        return []

    def close(self) -> None:
        pass


@pytest.mark.parametrize("in_opening", [True, False])
def test_f02_one_reading_of_a_driver_that_hangs_ends_and_says_so(
    in_opening: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(HangingReader, "in_opening", in_opening)
    monkeypatch.setattr(HangingReader, "released", threading.Event())
    monkeypatch.setattr(command, "load_reader", lambda _name: HangingReader)
    monkeypatch.setattr(command, "PRINT_OPEN_DEADLINE_S", 0.2 if in_opening else LONG_S)
    monkeypatch.setattr(boards, "CLOSE_PATIENCE_S", 0.1)
    flags = ["agent", "--once", "--sink", "stdout", "--read-deadline-s", "0.2"]
    try:
        assert main(flags) == EXIT_FAILED
    finally:
        HangingReader.released.set()
    said = capsys.readouterr()
    assert "the driver hangs" in said.err
    if not in_opening:
        assert json.loads(said.out)["accelerators"][0]["status"] == "timeout"


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--sample-interval-s", "0"], "--sample-interval-s:sample_interval_s: "),
        (["--kafka-bootstrap", "nowhere"], "--kafka-bootstrap:kafka_bootstrap: "),
        (["--facility", "<script>"], "--facility:facility: "),
        (["--host", "a\nb"], "--host:host: "),
        (["--read-deadline-s", "5"], "read_deadline_s must not be longer"),
        (["--queue-endpoints", "vllm"], "--queue-endpoints:queue_endpoints: "),
        (["--once"], "--once: goes with --sink stdout only"),
        (["--simulate", "h999"], "simulate:h999: "),
    ],
)
def test_a_wrong_setting_stops_the_start(
    flags: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agent", *flags]) == EXIT_CONFIG
    assert problem in capsys.readouterr().err


def test_a_wrong_file_names_file_key_and_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('ticks_per_message = "ten"\nnot_a_setting = 1\n')
    assert main(["agent", "--config", str(file)]) == EXIT_CONFIG
    said = capsys.readouterr().err
    assert f"{file}:ticks_per_message: Expected `int`" in said
    assert f"{file}:not_a_setting: there is no such setting" in said
