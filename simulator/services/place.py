"""What a service needs of the machine before it starts: a port, a user, a way to its files.

Processes belong to `process.py`.
"""

import contextlib
import logging
import os
import pwd
import random
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from telemetry.errors import PermanentError

log = logging.getLogger(__name__)

# Below Linux's range for outgoing connections (32768 and up), so that nobody's client socket sits
# on the port while a killed service is away.
_PORT_MIN = 10_000
_PORT_MAX = 32_000


class ServiceError(PermanentError):
    """A service could not be found, started or stopped; the text says which and why."""


@dataclass(frozen=True, slots=True)
class User:
    """The system user a service runs as when the owner is root."""

    uid: int
    gid: int


def free_port() -> int:
    """A free TCP port of the loopback address that stays free while a service restarts."""
    for _ in range(200):
        port = random.SystemRandom().randint(_PORT_MIN, _PORT_MAX)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ServiceError("found no free TCP port on 127.0.0.1")


def unprivileged_user() -> User | None:
    """The user for services that refuse to run as root; None when we are not root anyway."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return User(entry.pw_uid, entry.pw_gid)


def grant_passage(path: Path, root: Path = Path("/")) -> None:
    """Let other users walk through (not list) the folders between `root` and `path`."""
    for folder in path.resolve().parents:
        if not folder.is_relative_to(root):
            break
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            log.info("letting the database's user pass through %s (mode o+x)", folder)
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
