"""PostgreSQL 17 with TimescaleDB, Apache edition, out of a Debian root folder.

`.ci/services` unpacks Debian's packages into that folder; the server runs chrooted in it with its
own libraries, which takes root. It is a `postgres.Cluster` in all other respects.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from simulator.services.installed import installed
from simulator.services.place import ServiceError, unprivileged_user
from simulator.services.postgres import Cluster

_BIN = Path("/usr/lib/postgresql/17/bin")
_PARAMETERS: Mapping[str, str] = {
    "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off",
    # The Apache edition has no jobs to run, and a worker in a database keeps it from being copied.
    "timescaledb.max_background_workers": "0",
    "dynamic_shared_memory_type": "mmap",  # the root folder has no tmpfs on /dev/shm
}


class Timescale(Cluster):
    """The timescale-apache tier; always on a temporary cluster, which `stop` removes."""

    def __init__(self, *, durable: bool = True) -> None:
        root = installed("timescale", "complete")
        if os.geteuid() != 0:
            raise ServiceError("TimescaleDB runs in a chroot, and that takes root")
        super().__init__(
            _BIN,
            durable=durable,
            parameters=_PARAMETERS,
            user=unprivileged_user(),
            chroot=root.resolve(),
            name="timescale",
        )
