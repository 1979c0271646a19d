"""Fixtures: simulated GPU hosts under the real binding, on a clock that the test moves."""

from collections.abc import Callable, Iterator
from types import ModuleType

import pynvml
import pytest

from agent.accelerators.nvidia import NvidiaReader
from simulator.nvml import profile
from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.install import installed
from simulator.nvml.load import ConstantLoad, Load

BUSY = Load(activity=1.0, intensity=0.8, memory_activity=0.4, memory_used=0.5, link=0.3, pcie=0.01)

Bind = Callable[[SimulatedDriver], ModuleType]
MakeHost = Callable[..., SimulatedDriver]


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now_us(self) -> int:
        return 1_800_000_000_000_000 + round(self.seconds * 1e6)

    def monotonic_s(self) -> float:
        return self.seconds

    def pass_s(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def manual_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def make_gpu_host(manual_clock: ManualClock) -> Iterator[MakeHost]:
    """Make simulated hosts: `make_gpu_host("h100", gpus=8, load=BUSY, noise=0)`."""
    made: list[SimulatedDriver] = []

    def make(
        name: str = "h100", *, gpus: int = 8, load: Load = BUSY, noise: float = 0.0
    ) -> SimulatedDriver:
        profiles = [profile.load(name)] * gpus
        driver = SimulatedDriver(profiles, manual_clock, load=ConstantLoad(load), noise=noise)
        made.append(driver)
        return driver

    yield make
    for driver in made:
        driver.release()


@pytest.fixture
def gpu_host(make_gpu_host: MakeHost) -> Iterator[SimulatedDriver]:
    """Eight busy H100, installed under this process's `pynvml`."""
    with installed(make_gpu_host()) as driver:
        yield driver


@pytest.fixture
def bind(request: pytest.FixtureRequest) -> Bind:
    """Put a host under this process's `pynvml` until the test ends, and return that."""

    def install_until_the_end(driver: SimulatedDriver) -> ModuleType:
        block = installed(driver)
        block.__enter__()
        request.addfinalizer(lambda: block.__exit__(None, None, None))
        return pynvml

    return install_until_the_end


@pytest.fixture
def nvidia_host(make_gpu_host: MakeHost) -> SimulatedDriver:
    return make_gpu_host(gpus=3)


@pytest.fixture
def nvidia_reader(
    nvidia_host: SimulatedDriver, manual_clock: ManualClock, bind: Bind
) -> NvidiaReader:
    reader = NvidiaReader(manual_clock, bind(nvidia_host))
    reader.open()
    manual_clock.pass_s(1)
    return reader
