"""An agent on a host whose clock steps, whose sources hang, and whose settings are wrong."""

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.beside import Beside, BesideSettings
from agent.boards import in_process
from agent.counters import Counters
from agent.host.health import HostHealth
from agent.kafka import KafkaSink
from agent.observer import Plan
from agent.outbox import Outbox
from agent.run import Agent, Parts
from agent.settings import AgentSettings
from telemetry import settings
from telemetry.clock import SystemClock
from telemetry.errors import ConfigError
from telemetry.metrics import Group
from telemetry.records import EventKind, QueueSnapshot
from telemetry.stop import StopSignal
from telemetry.streams import KafkaSettings
from tests.fix_agent import (
    FakeProducer,
    HandClock,
    HostUnderTest,
    MakeOutbox,
    ScriptedReader,
)

PATIENCE_S = 60.0

# Shifts the wall clock alone, by the seconds that a file holds, in a process that is running.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *found) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(id, found);
    if (id == CLOCK_REALTIME && code == 0) {
        long long shift = 0;
        FILE *file = fopen(getenv("CLOCK_SHIFT_FILE"), "r");
        if (file) { if (fscanf(file, "%lld", &shift) != 1) shift = 0; fclose(file); }
        found->tv_sec += shift;
    }
    return code;
}
"""

TICKING = """
import json, sys, time
from agent.schedule import Schedule
from telemetry.clock import SystemClock
from tests.fix_agent import HostUnderTest, kinds_of, samples_of
clock = SystemClock()
host = HostUnderTest(clock, sample_interval_s=0.02)
schedule = Schedule(0.02, clock.monotonic_s())
while True:
    time.sleep(schedule.wait_s(clock.monotonic_s()))
    missed = schedule.advance(clock.monotonic_s())
    drafts = host.observer.tick()
    told = {"at": clock.monotonic_s(), "missed": missed, "kinds": kinds_of(drafts)}
    told["time_us"] = [tick.time_us for tick in samples_of(drafts)]
    print(json.dumps(told), flush=True)
"""


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to build the clock's shim")
    source, library = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


@pytest.fixture
def stepping(shim: Path, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    environment = {"LD_PRELOAD": str(shim), "CLOCK_SHIFT_FILE": str(tmp_path / "shift")}
    with subprocess.Popen(
        [sys.executable, "-c", TICKING], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_f09_the_pace_holds_through_steps_of_a_running_process_and_each_is_told(
    stepping: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    assert stepping.stdout is not None
    now_s = int(time.time())
    years = (-now_s + 86_400, 4_070_908_800 - now_s)  # the second day of 1970, and 2099
    at = [json.loads(stepping.stdout.readline())["at"]]
    missed = 0
    for shift_s in (-3600, 3600, *years, 0):
        (tmp_path / "new").write_text(str(shift_s))
        (tmp_path / "new").rename(tmp_path / "shift")
        told: list[str] = []
        while EventKind.CLOCK_STEPPED not in told:
            tick = json.loads(stepping.stdout.readline())
            told = tick["kinds"]
            at.append(tick["at"])
            missed += tick["missed"]
            assert len(tick["time_us"]) == 1
        assert abs(tick["time_us"][0] / 1e6 - time.time() - shift_s) < PATIENCE_S
    # Every interval of the whole run is one tick or one that was counted as missed.
    assert round((at[-1] - at[0]) / 0.02) == pytest.approx(len(at) - 1 + missed, abs=3)


class HangingQueue:
    """A queue source that never answers."""

    def __init__(self) -> None:
        self.entered = threading.Event()

    def read(self, time_us: int, now_s: float) -> list[QueueSnapshot]:
        self.entered.set()
        threading.Event().wait(PATIENCE_S)
        return []


def test_f11_sources_that_hang_delay_no_tick(
    make_outbox: MakeOutbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, counters, queue = SystemClock(), Counters(), HangingQueue()
    hung = threading.Event()

    def never(_self: HostHealth) -> dict[str, int]:
        hung.set()
        threading.Event().wait(PATIENCE_S)
        return {}

    monkeypatch.setattr(HostHealth, "read", never)
    monkeypatch.setattr("agent.run.DRAIN_S", 0.1)

    def beside(put: Any) -> Beside:
        return Beside(
            BesideSettings(kernel_log_path="", kernel_log_position_path=""),
            clock,
            put,
            host="host-1",
            spool_folder=tmp_path,
            interval_s={Group.FAST: 1.0, Group.SLOW: 60.0},
        )

    outbox: Outbox = make_outbox(counters=counters)
    sink = KafkaSink(KafkaSettings(), clock, counters, connect=FakeProducer)
    boards = in_process(ScriptedReader(), clock, counters)
    agent = Agent(
        Plan(agent_version="1", sample_interval_s=0.02),
        Parts(boards, outbox, sink, [queue], beside),
        clock,
        counters,
        read_deadline_s=5.0,
        queue_interval_s=1.0,
    )
    stop = StopSignal()
    thread = threading.Thread(target=agent.run, args=(stop,), daemon=True)
    thread.start()
    assert queue.entered.wait(PATIENCE_S)
    assert hung.wait(PATIENCE_S)
    before, end_s = counters["ticks"], time.monotonic() + PATIENCE_S
    while counters["ticks"] < before + 25 and time.monotonic() < end_s:
        time.sleep(0.02)
    assert counters["ticks"] >= before + 25
    stop.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_f11_hours_of_ticks_leave_no_memory_behind(
    make_outbox: MakeOutbox, hand_clock: HandClock
) -> None:
    host, outbox = HostUnderTest(hand_clock), make_outbox()

    def hour(ticks: int) -> int:
        for _ in range(ticks):
            outbox.write(host.tick())
            for stream in ("events", "samples"):
                outbox.confirm([slot for slot, _ in outbox.pending(stream, 10)])  # type: ignore[arg-type]
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before, after = hour(100), hour(300)
    finally:
        tracemalloc.stop()
    assert after - before < 64 << 10


def load(path: Path) -> AgentSettings:
    parser = argparse.ArgumentParser()
    settings.add_flags(parser, AgentSettings)
    return settings.load(AgentSettings, parser.parse_args(["--config", str(path)]), {})


# Texts that may be anything: paths and a name.
ANY_TEXT = ("_path", "_file", "_username")


def wrong_lines() -> list[str]:
    """For each setting: a wrong type, a value out of any bound, a word it does not know."""
    lines = []
    for field in dataclasses.fields(AgentSettings):
        if isinstance(field.default, bool):
            lines += [f"{field.name} = 1", f'{field.name} = "yes"']
        elif isinstance(field.default, int | float):
            lines += [f"{field.name} = {word}" for word in ('"many"', "-1", "1e300", "nan", "[]")]
        else:
            lines += [f"{field.name} = {word}" for word in ("7", "true", "[]")]
            lines += [f'{field.name} = "{"x" * 2000}\\u0007"']
        lines += [f"{field.name}_ = 1"]
    return lines


@pytest.mark.parametrize("line", wrong_lines())
def test_f12_a_wrong_setting_is_refused_with_file_key_and_reason(line: str, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(f"{line}\n")
    key = line.partition(" ")[0]
    if key.endswith(ANY_TEXT) and line.endswith('"'):
        load(path)
        return
    with pytest.raises(ConfigError) as raised:
        load(path)
    (problem,) = raised.value.problems
    assert problem.startswith((f"{path}:{key}: ", "settings: "))
    assert len(problem) > len(f"{path}:{key}: ")


SAMPLE = (Path(__file__).parent.parent.parent / "deploy/systemd/agent.toml").read_text()
SPOKEN = "\n".join(
    line.removeprefix("# ") if " = " in line.partition("#")[2] or " = " in line else "#"
    for line in SAMPLE.splitlines()
)


@given(at=st.integers(0, len(SPOKEN)))
def test_f12_a_file_that_was_half_written_gives_settings_or_a_named_error(
    at: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("half") / "agent.toml"
    path.write_text(SPOKEN[:at])
    problems: list[str] = []
    try:
        load(path)
    except ConfigError as error:
        problems = error.problems
    assert all(str(path) in problem or "settings:" in problem for problem in problems)
