"""What an agent costs its host: processor, memory, and whether either grows.

A real agent process reads simulated boards once a second (all fast signals each tick, the slow
ones at their cadence), spools, and sends to the embedded broker, with default settings. Processor
time and memory are those of the agent and all its children, from /proc, after a warm-up.

The target asks for an hour (`--minutes 60`); the default is two minutes, which is enough for the
processor and too short for a slope: memory then still settles.

The simulated driver computes in Python inside the agent's child process. What it costs is measured
apart (the same calls without the agent) and printed beside, never subtracted.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.log_reader import LogReader
from benchmarks.processes import Memory, cpu_seconds, memory, threads
from benchmarks.progress import Progress
from benchmarks.report import Figures, Report, percentile, slope_per_hour
from benchmarks.rig import Rig, rig, stack_of
from simulator.supervisor import Program
from telemetry.records import Heartbeat
from telemetry.streams import Stream
from telemetry.wire import Message, decode_events

WARM_UP_S = 30.0
LOOK_EVERY_S = 1.0
FIRST_SAMPLE_S_MAX = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this bench."""
    parser.add_argument("--minutes", type=float, default=2.0, help="how long to look [2]")
    parser.add_argument("--boards", default="h100x8", help="simulated boards [h100x8]")
    parser.add_argument(
        "--warm-up-s", type=float, default=WARM_UP_S, help=f"seconds before [{WARM_UP_S:.0f}]"
    )


def measure(arguments: argparse.Namespace) -> Report:
    """Run an agent and look at it."""
    progress = Progress("agent")
    runs: list[Figures] = []
    with rig(with_database=False) as made:
        progress.say("an agent that starts once, so that its bytecode is compiled")
        _compile(made, arguments.boards)
        for number in range(arguments.runs):
            label = f"run {number + 1} of {arguments.runs}"
            runs.append(_one_run(made, arguments, progress, label))
        stack = stack_of()
    progress.end()
    return Report(
        bench="agent",
        parameters={
            "boards": arguments.boards,
            "minutes": arguments.minutes,
            "warm_up_s": arguments.warm_up_s,
            "sample_interval_s": 1.0,
            "ticks_per_message": 10,
        },
        stack=stack,
        runs=runs,
        notes=(
            (
                "cpu and memory hold the simulated driver, Python inside the agent's child; "
                "simulated_driver is what it costs alone, and nothing was subtracted"
            ),
            (
                "pages shared with this bench's own interpreter make pss smaller than on a host "
                "where the agent is the only Python: rss has them in full"
            ),
            (
                "the agent runs from compiled bytecode, which packages and images make at their "
                "installation; without it Python keeps 16 MiB of what compiling took"
            ),
            "tick_ms is what the agent itself reports, once a heartbeat",
        ),
    )


@dataclass(slots=True)
class Heard:
    """What arrived at the broker from one host; the log has those of the runs before too."""

    host: str
    first_sample_s: float | None = None
    ticks_us: list[int] = field(default_factory=list)

    def take(self, stream: Stream, message: Message, now_s: float) -> None:
        """Note one message."""
        if message.header.host != self.host:
            return
        if stream is Stream.SAMPLES and self.first_sample_s is None:
            self.first_sample_s = now_s
        if stream is Stream.EVENTS:
            beats = [r for r in decode_events(message) if isinstance(r, Heartbeat)]
            self.ticks_us += [beat.tick_duration_us for beat in beats if beat.tick_duration_us]


def _one_run(
    made: Rig, arguments: argparse.Namespace, progress: Progress, label: str
) -> dict[str, Any]:
    heard = Heard(f"agent-{time.time_ns()}")
    spool = made.folder / f"{time.time_ns()}.sqlite3"
    with LogReader(made.bootstrap, heard.take):
        started_s = time.time()
        program = made.start(
            "agent", "agent", "--simulate", arguments.boards, "--facility", "bench",
            "--host", heard.host, "--spool-path", str(spool),
            **_bytecode(made),
        )  # fmt: skip
        made.wait(lambda: heard.first_sample_s, "the first sample", FIRST_SAMPLE_S_MAX)
        first_s = (heard.first_sample_s or started_s) - started_s
        progress.wait(arguments.warm_up_s, f"{label}: warming up")
        heard.ticks_us.clear()
        figures = _watch(program, arguments.minutes * 60, progress, label)
        ticks_ms = [tick / 1000 for tick in heard.ticks_us]
    program.stop(10.0)
    del made.programs["agent"]
    progress.say(f"{label}: the simulated driver alone")
    return {
        **figures,
        "tick_ms_p50": percentile(ticks_ms, 50),
        "tick_ms_p99": percentile(ticks_ms, 99),
        "ticks_reported": len(ticks_ms),
        "first_sample_s": first_s,
        "simulated_driver": driver_alone(arguments.boards, min(20.0, arguments.minutes * 60)),
    }


def _bytecode(made: Rig) -> dict[str, str]:
    """Let bytecode be compiled and kept, as packages do at their installation."""
    return {
        "PYTHONPYCACHEPREFIX": str(made.folder / "bytecode"),
        "PYTHONDONTWRITEBYTECODE": "",
    }


def _compile(made: Rig, boards: str) -> None:
    heard = Heard("compiling")
    with LogReader(made.bootstrap, heard.take):
        made.start(
            "compiling", "agent", "--simulate", boards, "--facility", "bench",
            "--host", "compiling", "--spool-path", str(made.folder / "compiling.sqlite3"),
            **_bytecode(made),
        )  # fmt: skip
        made.wait(lambda: heard.first_sample_s, "the first sample", FIRST_SAMPLE_S_MAX)
    made.programs.pop("compiling").stop(10.0)


def _watch(program: Program, seconds: float, progress: Progress, label: str) -> dict[str, Any]:
    """Look at a process every second; return what it cost."""
    assert program.pid is not None  # noqa: S101 - `wait` has just seen it alive
    pid = program.pid
    points: list[tuple[float, Memory]] = []
    cpu_before_s, started_s = cpu_seconds(pid), time.monotonic()
    cpu_points: list[tuple[float, float]] = []
    while (at_s := time.monotonic() - started_s) < seconds:
        points.append((at_s, memory(pid)))
        cpu_points.append((at_s, cpu_seconds(pid) - cpu_before_s))
        progress.wait(LOOK_EVERY_S, f"{label}: {seconds - at_s:.0f} s to go")
    elapsed_s = time.monotonic() - started_s
    used_s = cpu_seconds(pid) - cpu_before_s
    half = len(cpu_points) // 2
    halves = [_percent(cpu_points[: half + 1]), _percent(cpu_points[half:])]
    return {
        "cpu_percent_of_core": 100 * used_s / elapsed_s,
        "cpu_percent_first_half": halves[0],
        "cpu_percent_second_half": halves[1],
        "pss_mib": median(m.pss_mib for _, m in points),
        "rss_mib": median(m.rss_mib for _, m in points),
        "uss_mib": median(m.uss_mib for _, m in points),
        "pss_mib_max": max(m.pss_mib for _, m in points),
        "pss_slope_kib_per_hour": slope_per_hour([(s, 1024 * m.pss_mib) for s, m in points]),
        "threads": len(threads(pid)),
    }


def _percent(points: list[tuple[float, float]]) -> float | None:
    if len(points) < 2 or points[-1][0] == points[0][0]:
        return None
    return 100 * (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0])


def driver_alone(boards: str, seconds: float) -> dict[str, Any]:
    """Measure the simulated driver in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.driver_alone", boards, str(seconds)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=seconds + 60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
