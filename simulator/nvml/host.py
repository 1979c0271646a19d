"""A simulated host from a few words: what `--simulate h100x8` means.

Owns that notation and the reading of scenario files with faults in them.
"""

import re
from pathlib import Path

import msgspec

from simulator.nvml import profile
from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.faults import Fault, schedule
from simulator.nvml.load import LoadSource
from telemetry.clock import Clock
from telemetry.errors import ConfigError

GPUS_DEFAULT = 8
GPUS_MAX = 16
SCENARIO_BYTES_MAX = 1 << 20


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a scenario file: `[[faults]]` tables."""

    faults: list[Fault] = []


def make_driver(
    boards: str, clock: Clock, *, host: str, load: LoadSource | None = None
) -> SimulatedDriver:
    """Return the driver of a host with these boards, as `h100` (eight of them) or `h200x4`.

    The same host name always has the same boards.

    Raises:
        ConfigError: there are no such boards.
    """
    found = re.fullmatch(r"([a-z0-9]+?)(?:x(\d{1,2}))?", boards)
    name, count = (found[1], int(found[2] or GPUS_DEFAULT)) if found else ("", 0)
    if name not in profile.names() or not 1 <= count <= GPUS_MAX:
        problem = f"no board and count from 1 to {GPUS_MAX}, such as h100 or h200x4"
        known = ", ".join(profile.names())
        raise ConfigError([f"simulate:{boards}: {problem}; the boards are {known}"])
    return SimulatedDriver([profile.load(name)] * count, clock, seed=host, load=load)


def schedule_file(driver: SimulatedDriver, path: Path) -> None:
    """Let the faults of a scenario file happen, counted from now.

    Raises:
        ConfigError: the file cannot be read or is wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(SCENARIO_BYTES_MAX)
        scenario = msgspec.toml.decode(content, type=Scenario)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError([f"{path}: {error}"]) from error
    beyond = [fault for fault in scenario.faults if fault.slot >= len(driver.gpus)]
    if beyond:
        raise ConfigError([f"{path}:gpu: there is no board {beyond[0].slot}"])
    schedule(driver, scenario.faults)
