"""What the demo shows: its facilities, their terms, and the programs that make and watch them.

Owns names and figures. They are invented; nothing in the product knows them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOSTS = 32
GPUS = 8
REAL_HOSTS = 2
# Load goes through a day in twenty minutes, so that it is seen to move.
DAY_S = 1200
JOB_MEAN_S = 180
# One recorded point every 57 s becomes one a second.
RECORDING_SPEED = 57


@dataclass(frozen=True, slots=True)
class Facility:
    """One facility of the demo.

    Attributes:
        words: the subcommand that speaks for its hosts.
        terms: parameters of the query `enter_facility`.
    """

    name: str
    words: tuple[str, ...]
    terms: dict[str, Any]


def facilities(recording: Path, spools: Path) -> list[Facility]:
    """Return two simulated facilities, and the recorded one where its data is there."""
    found = [
        _simulated(
            "aurora",
            ("--profile", "h100", "--scenario", "healthy", "--seed", "1", "--pressure", "0.9"),
            spools,
            display_name="Aurora North",
            provider="Aurora Compute",
            region="eu-north",
            note="32 hosts of 8 H100, simulated; a quiet day",
            contracted_accelerators=256,
            contracted_power_watts=240_000,
        ),
        _simulated(
            "basalt",
            ("--profile", "h200", "--scenario", "bad-day", "--seed", "2", "--pressure", "0.97"),
            spools,
            display_name="Basalt East",
            provider="Basalt Cloud",
            region="us-east",
            note="32 hosts of 8 H200, simulated; a bad day",
            contracted_accelerators=272,
            contracted_power_watts=250_000,
        ),
    ]
    if recording.is_dir():
        found.append(_recorded(recording))
    return found


def _simulated(name: str, words: tuple[str, ...], spools: Path, **terms: object) -> Facility:
    size = ("--hosts", str(HOSTS), "--gpus", str(GPUS), "--real-hosts", str(REAL_HOSTS))
    pace = ("--day-s", str(DAY_S), "--job-mean-s", str(JOB_MEAN_S))
    return Facility(
        name,
        (
            *("simulate", "--facility", name, "--provider", str(terms["provider"])),
            *size,
            *pace,
            *("--spool-folder", str(spools / name)),
            *words,
        ),
        {"facility": name, **terms},
    )


def _recorded(recording: Path) -> Facility:
    name = "serving"
    return Facility(
        name,
        (
            *("replay", str(recording), "--facility", name, "--provider", "recorded"),
            *("--speed", str(RECORDING_SPEED), "--times", "wall", "--loop"),
        ),
        {
            "facility": name,
            "display_name": "Serving cluster",
            "provider": "recorded",
            "region": None,
            "note": "a production cluster's recorded load and queue, a minute in a second",
            "contracted_accelerators": None,
            "contracted_power_watts": None,
        },
    )
