"""What `--simulate h100x8` means: a board profile and how many of them.

Owns that notation. It loads no driver, so that whoever only passes the words on stays small.
"""

import re

from simulator.nvml import profile
from telemetry.errors import ConfigError

GPUS_DEFAULT = 8
GPUS_MAX = 16


def boards_of(words: str) -> tuple[str, int]:
    """Return the name of the profile and the number of boards.

    Raises:
        ConfigError: there are no such boards.
    """
    found = re.fullmatch(r"([a-z0-9]+?)(?:x(\d{1,2}))?", words)
    name, count = (found[1], int(found[2] or GPUS_DEFAULT)) if found else ("", 0)
    if name not in profile.names() or not 1 <= count <= GPUS_MAX:
        problem = f"no board and count from 1 to {GPUS_MAX}, such as h100 or h200x4"
        known = ", ".join(profile.names())
        raise ConfigError([f"simulate:{words}: {problem}; the boards are {known}"])
    return name, count
