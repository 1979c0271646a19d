"""Where the peers' programs are: named by a variable, on the PATH, or kept by `.ci/services`."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import Absent
from simulator.services.installed import cache_folder


@dataclass(frozen=True, slots=True)
class PeerProgram:
    """A program of a peer.

    Attributes:
        names: under which it may be found on the PATH.
        variable: the environment variable that may name its file.
        kept: the folder below the cache where `.ci/services peers` unpacks it.
        package: Debian's.
    """

    names: tuple[str, ...]
    variable: str
    kept: str
    package: str

    def find(self) -> str:
        """Return its path.

        Raises:
            Absent: it is nowhere.
        """
        if named := os.environ.get(self.variable):
            if Path(named).is_file():
                return named
            raise Absent(f"{self.variable} names {named}, which is no file")
        kept = cache_folder() / self.kept / "usr/bin"
        for name in self.names:
            if found := shutil.which(name) or shutil.which(name, path=str(kept)):
                return found
        raise Absent(
            f"no {self.names[0]} on this machine: set {self.variable} to its file, "
            f"or `apt-get install {self.package}`, or `.ci/services peers`"
        )


VICTORIA_METRICS = PeerProgram(
    ("victoria-metrics", "victoria-metrics-prod"),
    "FLEETGAUGE_VICTORIA_METRICS",
    "victoria-metrics",
    "victoria-metrics",
)
PROMETHEUS = PeerProgram(("prometheus",), "FLEETGAUGE_PROMETHEUS", "promtool", "prometheus")
PROMTOOL = PeerProgram(("promtool",), "FLEETGAUGE_PROMTOOL", "promtool", "prometheus")
