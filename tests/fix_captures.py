"""Fixtures: what nvidia-smi said on real boards, and simulated hosts to hold against it.

The figures of the captures stand in `tests/data/nvml/`, so that a fresh clone has them; where the
captures themselves are there, a test holds the figures against them. A capture has sections; `-q`
prints `Key : value` lines, indented by group. A path names a line by its groups, joined by `/`.
"""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynvml
import pytest

from simulator.nvml import profile
from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.install import installed
from simulator.nvml.load import IDLE, ConstantLoad, Load
from tests.fix_accelerators import ManualClock

FACTS = Path(__file__).parent / "data" / "nvml"
RECORDED = Path(__file__).parents[2] / "shared" / "data" / "nvidia-smi"
DRIVER = "590.48.01"
# What differs between two readings of one board, or is masked.
PASSING = ("Timestamp", "GPU PDI", "timestamp")
BOARDS = {"h100": "nvidia-h100-80gb-hbm3", "h200": "nvidia-h200"}


@dataclass(frozen=True)
class Capture:
    """What nvidia-smi said: idle and busy by path, idle by query field, the library's functions."""

    board: str
    idle: dict[str, str]
    busy: dict[str, str]
    fields: dict[str, str]
    functions: frozenset[str]


def parse_query(text: str) -> dict[str, str]:
    """Return path to value of the output of `nvidia-smi -q`."""
    found: dict[str, str] = {}
    groups: list[tuple[int, str]] = []
    for line in text.splitlines():
        key, colon, value = line.partition(" : ")
        depth = len(line) - len(line.lstrip())
        groups = [(at, name) for at, name in groups if at < depth]
        path = "/".join(
            [*(name for _, name in groups if not name.startswith("GPU 0")), key.strip()]
        )
        if colon:
            found[path] = value.strip()
        elif line.strip():
            groups.append((depth, line.strip()))
    return found


def read_capture(board: str) -> Capture:
    """Return the figures that are kept with the tests."""
    facts = json.loads((FACTS / f"{board}-{DRIVER}.json").read_text(encoding="utf-8"))
    return Capture(
        board, facts["idle"], facts["busy"], facts["fields"], frozenset(facts["functions"])
    )


def read_recorded(board: str) -> Capture:
    """Return what the capture itself says; only where the recorded data is."""
    [path] = RECORDED.glob(f"*__{BOARDS[board]}__{DRIVER}.txt.gz")
    text = gzip.decompress(path.read_bytes()).decode()
    parts = re.split(r"^#{80}\n# (\S+ :: [^\n]+)\n(?:#[^\n]*\n)*", text, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    header, row = sections["idle :: query-gpu (csv, what the exporter parses)"].split("\n")[:2]
    functions = sections.get("capabilities :: nvml-symbols", "").split()
    return Capture(
        board,
        idle=_lasting(parse_query(sections["idle :: query (-q)"])),
        busy=_lasting(parse_query(sections["load :: query (-q)"])),
        fields=_lasting(dict(zip(header.split(", "), row.split(", "), strict=True))),
        functions=frozenset(functions),
    )


def _lasting(said: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in said.items() if key not in PASSING}


@pytest.fixture(scope="module", params=sorted(BOARDS))
def capture(request: pytest.FixtureRequest) -> Capture:
    return read_capture(request.param)


@pytest.fixture(scope="module")
def h100_capture() -> Capture:
    """The capture that also lists the functions of the library."""
    return read_capture("h100")


@dataclass
class Host:
    """A simulated host of one board that repeats itself exactly, and the handle of the board."""

    driver: SimulatedDriver
    handle: Any


def start(board: str, load: Load, clock: ManualClock) -> Iterator[Host]:
    made = profile.load(board)
    driver = SimulatedDriver([made], clock, load=ConstantLoad(load), noise=0)
    with installed(driver):
        pynvml.nvmlInit()
        yield Host(driver, pynvml.nvmlDeviceGetHandleByIndex(0))


@pytest.fixture
def idle(capture: Capture, manual_clock: ManualClock) -> Iterator[Host]:
    yield from start(capture.board, IDLE, manual_clock)


@pytest.fixture
def busy(capture: Capture, manual_clock: ManualClock) -> Iterator[Host]:
    """The stress test of the capture: full use, the same memory, no traffic between GPUs."""
    board = profile.load(capture.board)
    used = number(capture.busy["FB Memory Usage/Used"])
    load = Load(
        activity=1.0,
        intensity=board.busy_intensity,
        memory_activity=board.busy_memory_activity,
        memory_used=used / (board.memory_total_mebibytes - board.memory_reserved_mebibytes),
    )
    yield from start(capture.board, load, manual_clock)


def number(text: str) -> float:
    found = re.match(r"-?[\d.]+", text)
    assert found, f"{text!r} begins with no number"
    return float(found[0])
