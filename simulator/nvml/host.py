"""A simulated host from a few words: what `--simulate h100x8` means.

Owns making its driver and the reading of scenario files with faults in them.
"""

from pathlib import Path

import msgspec

from simulator.nvml import profile
from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.faults import Fault, schedule
from simulator.nvml.load import LoadSource
from simulator.nvml.notation import boards_of
from telemetry.clock import Clock
from telemetry.errors import ConfigError

SCENARIO_BYTES_MAX = 1 << 20


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a scenario file: `[[faults]]` tables."""

    faults: list[Fault] = []


def make_driver(
    boards: str,
    clock: Clock,
    *,
    host: str,
    load: LoadSource | None = None,
    running_for_s: float = 600.0,
) -> SimulatedDriver:
    """Return the driver of a host with these boards, as `h100` (eight of them) or `h200x4`.

    The same host name always has the same boards.

    Raises:
        ConfigError: there are no such boards.
    """
    name, count = boards_of(boards)
    return SimulatedDriver(
        [profile.load(name)] * count, clock, seed=host, load=load, running_for_s=running_for_s
    )


def schedule_file(driver: SimulatedDriver, path: Path, since_s: float = 0.0) -> None:
    """Let the faults of a scenario file happen, counted from `since_s` seconds ago.

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
    schedule(driver, scenario.faults, since_s)
