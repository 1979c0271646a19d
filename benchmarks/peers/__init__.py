"""The other side of a comparison: other stores with the same values, in the same run.

Owns the contract: a peer takes every series of a recording and says what that cost. A peer whose
program is not installed says so, and its figures are null.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.recorded import Recording


class Absent(Exception):  # noqa: N818 - says what it is
    """The peer's program is not on this machine; the text says how to get it."""


@dataclass(frozen=True, slots=True)
class PeerResult:
    """What storing a recording cost a peer.

    Attributes:
        disk_bytes: its data folder when all is flushed and merged.
        cpu_s: processor seconds of its process.
    """

    version: str
    disk_bytes: int
    cpu_s: float


# A peer takes a recording and an empty folder.
Peer = Callable[[Recording, Path], PeerResult]


def folder_bytes(folder: Path) -> int:
    """Return what the files of a folder take on the disk, by their blocks."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
