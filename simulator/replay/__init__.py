"""Recorded telemetry, sent through the real wire.

Owns the layouts that recordings come in (`gentd26`, `openb`), the mapping of recorded times to
the present (`timeline`), the messages (`player`) and an account of what must be stored at the end,
computed straight from the files (`expected`, `check`). Reading and mapping are pure apart from
opening files; the command is `simulator.replay_command`.
"""

from pathlib import Path

from simulator.replay import gentd26, openb
from simulator.replay.recording import Recording
from telemetry.errors import ConfigError

LAYOUTS = {"gentd26": gentd26, "openb": openb}


def detect(folder: Path) -> str:
    """Return the name of a folder's layout.

    Raises:
        ConfigError: it is none that we know.
    """
    for name, layout in LAYOUTS.items():
        if layout.matches(folder):
            return name
    looked_for = "; ".join(f"{name}: {layout.SIGNATURE}" for name, layout in LAYOUTS.items())
    raise ConfigError([f"{folder}:path: no recording of a known layout ({looked_for})"])


def read(folder: Path, facility: str) -> Recording:
    """Return the recording in a folder; accelerators are named after the facility.

    Raises:
        ConfigError: the folder or a file's heading is wrong.
    """
    readers = {"gentd26": gentd26.read, "openb": openb.read}
    return readers[detect(folder)](folder, facility)
