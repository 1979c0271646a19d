"""The simulated driver under an agent's child process, and under the agent itself.

Owns what `--simulate` and `--scenario` become. A child that takes the place of another goes on with
the same boards and the same scenario, counted from the agent's start, as on a host with real ones.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.nvml.notation import boards_of
from telemetry.clock import SystemClock

if TYPE_CHECKING:
    from simulator.nvml.driver import SimulatedDriver

BEFORE_S = 600.0


@dataclass(frozen=True, slots=True)
class Simulation:
    """Simulated boards since a time.

    Attributes:
        boards: as `h100x8`.
        scenario: file of their faults, or None.
        start_s: when the scenario began, on the machine's monotonic clock.
    """

    boards: str
    scenario: Path | None
    start_s: float

    @classmethod
    def checked(cls, boards: str, scenario: Path | None) -> "Simulation":
        """Return the simulation that begins now.

        Raises:
            ConfigError: there are no such boards, or the scenario is wrong.
        """
        boards_of(boards)
        made = cls(boards, scenario, SystemClock().monotonic_s())
        if scenario is not None:
            made._make()
        return made

    def install(self) -> None:
        """Put the simulated driver under this process's binding."""
        # nvidia-ml-py is large, and the agent itself does not need it.
        from simulator.nvml.install import install  # noqa: PLC0415

        install(self._make())

    def command(self) -> tuple[str, ...]:
        """Return the command of a child that reads these boards."""
        words = (self.boards, str(self.scenario or ""), str(self.start_s))
        return (sys.executable, "-P", "-c", "from simulator.nvml.child import main; main()", *words)

    def _make(self) -> "SimulatedDriver":
        from simulator.nvml.host import make_driver, schedule_file  # noqa: PLC0415

        clock = SystemClock()
        since_s = clock.monotonic_s() - self.start_s
        driver = make_driver(self.boards, clock, host="simulated", running_for_s=BEFORE_S + since_s)
        if self.scenario is not None:
            schedule_file(driver, self.scenario, since_s)
        return driver


def main() -> None:
    """Serve an agent: `BOARDS SCENARIO START_S`, then what `agent.child.serve` is told."""
    from agent.child import serve  # noqa: PLC0415

    boards, scenario, start_s = sys.argv[1:4]
    Simulation(boards, Path(scenario) if scenario else None, float(start_s)).install()
    serve.main(sys.argv[4:])
