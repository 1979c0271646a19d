"""Putting the simulated library where nvidia-ml-py looks for the real one.

Owns the two ways to do it: for the whole process, so that the agent runs unmodified, and as a
copy of the binding for each of many simulated hosts in one process.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pynvml

from simulator.nvml.driver import SimulatedDriver
from simulator.nvml.library import SimulatedLibrary


def install(driver: SimulatedDriver) -> None:
    """Let this process's `pynvml` talk to the simulated driver, until another is installed."""
    _put(pynvml, driver)


@contextmanager
def installed(driver: SimulatedDriver) -> Iterator[SimulatedDriver]:
    """Let this process's `pynvml` talk to the simulated driver inside the block."""
    library = pynvml.nvmlLib
    _put(pynvml, driver)
    try:
        yield driver
    finally:
        driver.release()
        pynvml.nvmlLib = library
        _forget_functions(pynvml)


def binding_for(driver: SimulatedDriver) -> ModuleType:
    """Return a copy of nvidia-ml-py of its own that talks to that driver alone."""
    found = importlib.util.find_spec("pynvml")
    if found is None or found.loader is None:
        raise ModuleNotFoundError("nvidia-ml-py is not installed; it is in the extra `agent`")
    module = importlib.util.module_from_spec(found)
    # The module finds itself by name while it runs, to make its error classes.
    original = sys.modules["pynvml"]
    sys.modules["pynvml"] = module
    try:
        found.loader.exec_module(module)
    finally:
        sys.modules["pynvml"] = original
    _put(module, driver)
    return module


def _put(binding: ModuleType, driver: SimulatedDriver) -> None:
    _forget_functions(binding)
    binding.__dict__["nvmlLib"] = SimulatedLibrary(driver)


def _forget_functions(binding: ModuleType) -> None:
    """The binding keeps each function that it found; those belong to the library before."""
    binding.__dict__["_nvmlGetFunctionPointer_cache"].clear()
