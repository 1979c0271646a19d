"""Where the services that no Python wheel carries are kept, and how to say that one is missing.

`.ci/services` installs them there: Apache Kafka's jars, a Debian root folder with TimescaleDB, and
a PostgreSQL compiled to WebAssembly. This file owns the paths only.
"""

import os
from pathlib import Path

from simulator.services.place import ServiceError


def installed(name: str, proof: str) -> Path:
    """The folder of an installed service; ServiceError when `proof` in it is missing."""
    folder = cache_folder() / name
    if not (folder / proof).exists():
        raise ServiceError(f"{name} is not installed ({folder / proof} is missing): .ci/services")
    return folder


def cache_folder() -> Path:
    """The user's cache folder for Fleetgauge, by the XDG rule."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fleetgauge"
