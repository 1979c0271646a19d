"""Each bench runs, in a tiny size, and prints what was agreed. No figure is judged here."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import Absent
from benchmarks.peers.programs import PROMTOOL, VICTORIA_METRICS, PeerProgram

ROOT = Path(__file__).parent.parent.parent
HAS_CHROMIUM = bool(shutil.which("chromium") or shutil.which("chromium-browser"))


def bench(name: str, *words: str, timeout_s: float = 170.0) -> dict[str, Any]:
    command = [sys.executable, "-m", "fleetgauge", "bench", name, "--json", *words]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout_s
    )
    assert done.returncode == 0, done.stderr[-3000:]
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["bench"] == name
    assert document["machine"]["cores"] > 0
    assert document["parameters"]
    assert len(document["runs"]) == 1
    return document


def is_here(program: PeerProgram) -> bool:
    try:
        return bool(program.find())
    except Absent:
        return False


def measured(figures: dict[str, Any], *names: str) -> None:
    for name in names:
        low, high = figures[name + "_spread"]
        assert low <= figures[name] <= high, name


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_agent_bench_tells_the_drivers_share() -> None:
    figures = bench("agent", "--minutes", "0.1", "--boards", "h100x2", "--warm-up-s", "1")[
        "figures"
    ]
    measured(figures, "cpu_percent_of_core", "pss_mib", "pss_slope_kib_per_hour", "first_sample_s")
    assert "tick_ms_p99" in figures
    measured(figures["simulated_driver"], "driver_cpu_percent_of_core", "fast_reading_ms")


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not HAS_CHROMIUM, reason="no Chromium on this machine")
@pytest.mark.timeout(180)
def test_the_start_bench_sees_a_live_row() -> None:
    figures = bench("start", "--recording", "/nowhere")["figures"]
    measured(figures, "first_live_pixel_s", "cpu_seconds_until_live")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_latency_bench_sees_readings_and_xids() -> None:
    words = ("--messages-per-second", "1", "--seconds", "10", "--xids", "2")
    document = bench("latency", *words, timeout_s=230)
    figures = document["figures"]
    measured(figures, "sample_to_stored_ms_p50", "sample_to_live_line_ms_p99")
    measured(figures, "xid_to_webhook_ms_p50", "xid_to_webhook_ms_p99")
    assert figures["xids_without_webhook"] == 0
    if HAS_CHROMIUM:
        measured(figures, "sample_to_screen_ms_p50", "sample_to_screen_ms_p99")
    else:
        assert figures["sample_to_screen_ms_p50"] is None
        assert any("Chromium" in note for note in document["notes"])


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_wall_bench_looks_from_three_sides() -> None:
    figures = bench("wall", "--gpus", "640", "--updates", "2")["figures"]
    for page in (figures, figures["fleet"]):
        measured(page, "server_build_ms_p50", "update_bytes")
        if HAS_CHROMIUM:
            measured(page, "first_paint_ms", "update_paint_ms_p50")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_viewers_bench_serves_all_of_them() -> None:
    figures = bench("viewers", "--viewers", "6", "--gpus", "640", "--seconds", "6")["figures"]
    measured(figures, "viewers", "server_cpu_percent_of_core", "viewer_lag_ms_p99")
    assert figures["viewers_cut_off"] == 0


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_query_bench_reads_plans(tmp_path: Path) -> None:
    words = ("--gpus", "640", "--days", "2", "--raw-gpus", "1", "--asks", "2")
    document = bench("query", *words, "--plans", str(tmp_path))
    figures = document["figures"]
    assert {
        "facility_24h",
        "gpu_24h",
        "gpu_1h_raw",
        "top_50_hottest",
        "worst_30d",
        "offenders_30d",
    } <= set(figures)
    for question in figures.values():
        measured(question, "ms_p50", "ms_p95", "one_day_ms_p50")
    assert 1440 <= figures["gpu_24h"]["rows_scanned"] < 5000  # of 86,400 readings
    assert 3600 <= figures["gpu_1h_raw"]["rows_scanned"] < 9000
    assert {path.stem for path in tmp_path.iterdir()} == set(figures)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_peers_bench_counts_what_is_missing_everywhere() -> None:
    document = bench("peers", "--gpus", "160", "--hz", "5", "--minutes", "0.1", "--asks", "1")
    for name, figures in document["figures"].items():
        if figures["values_per_second"] is None:  # its program is not here
            assert any(name.replace("_", "-") in note for note in document["notes"])
            continue
        measured(figures, "cpu_seconds_per_million_rows", "bytes_per_value", "lost_values")
        assert figures["lost_values"] == figures["values_twice"] == 0
        measured(figures["top_50_hottest"], "ms_p50", "ms_p95")
    assert "fleetgauge" in document["figures"]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_storage_bench_stores_every_row_and_names_absent_peers() -> None:
    document = bench("storage", "--hosts", "2", "--seconds", "60")
    figures = document["figures"]
    measured(figures, "bytes_per_value", "bytes_per_row", "rows")
    assert figures["rows_missing"] == 0
    for name, program in (("victoria_metrics", VICTORIA_METRICS), ("prometheus", PROMTOOL)):
        if is_here(program):
            measured(figures["peers"][name], "bytes_per_value")
        else:
            assert figures["peers"][name]["bytes_per_value"] is None
            assert any("apt-get install" in note for note in document["notes"])
