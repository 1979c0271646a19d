"""How far the kernel log was read, across restarts of the agent.

Owns one small file. It names the boot, since sequence numbers start anew with each; lines of an
earlier boot are gone anyway. A file that cannot be read means "from the start", one that cannot be
written means that events may be told twice after a restart.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

log = logging.getLogger(__name__)

BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")
FILE_BYTES_MAX = 4096


class _Stored(msgspec.Struct, frozen=True):
    boot_id: Annotated[str, Meta(max_length=64)]
    sequence: Annotated[int, Meta(ge=0)]


@dataclass(slots=True)
class Position:
    """The sequence number of the last record that became an event in this boot; -1 for none."""

    path: Path | None
    boot_id: str
    sequence: int = -1

    @classmethod
    def load(cls, path: Path | None, boot_id: str) -> "Position":
        """Return where reading goes on."""
        position = cls(path, boot_id)
        if path is None:
            return position
        try:
            with path.open("rb") as file:
                stored = msgspec.json.decode(file.read(FILE_BYTES_MAX), type=_Stored)
        except FileNotFoundError:
            return position
        except (OSError, msgspec.DecodeError) as error:
            log.warning("cannot use %s, reading the kernel log from its start: %s", path, error)
            return position
        if stored.boot_id == boot_id:
            position.sequence = stored.sequence
        return position

    def save(self) -> None:
        """Write the position; a failure is logged, not raised."""
        if self.path is None:
            return
        fresh = self.path.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(_Stored(self.boot_id, self.sequence)))
            fresh.replace(self.path)
        except OSError as error:
            log.warning("cannot write %s: %s", self.path, error)


def read_boot_id(path: Path = BOOT_ID_PATH) -> str:
    """Return the kernel's name of this boot, or nothing where it has none."""
    try:
        return path.read_text(encoding="ascii").strip()[:64]
    except (OSError, UnicodeDecodeError):
        return ""
