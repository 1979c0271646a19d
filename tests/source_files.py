"""The product's source, as tests of the source itself read it."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "agent", "alerts", "benchmarks", "collector", "dashboard", "fleetgauge", "simulator", "sql",
    "telemetry",
)  # fmt: skip
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
