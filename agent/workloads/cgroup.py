"""What a cgroup path says about whose work a process is. Pure.

Owns the grammar: Slurm's job and step, Kubernetes' pod and container, a container without either, a
systemd unit; version 1 and version 2 of cgroups alike. A namespace, a pod's name or a user does not
stand in a path, so none is made up. A text that is none of these is nobody's work, and no error.
"""

import re
from typing import NamedTuple

TEXT_CHARS_MAX = 64 * 1024
NAME_CHARS_MAX = 128
CONTAINER_DIGITS = 12  # as docker and crictl print them

_SLURM = re.compile(r"/job_(?P<job>[0-9]{1,20})(?:/step_(?P<step>[A-Za-z0-9_]{1,32}))?(?=/|$)")
_POD = re.compile(
    r"(?:^|[/-])pod(?P<pod>[0-9a-fA-F]{8}[-_]?(?:[0-9a-fA-F]{4}[-_]?){3}[0-9a-fA-F]{12})"
    r"(?:\.slice)?(?=/|$)"
)
_CONTAINER = re.compile(r"(?:^|[/-])(?P<container>[0-9a-f]{64})(?:\.scope)?(?=/|$)")
_UNIT = re.compile(r"/(?P<unit>[A-Za-z0-9@:._\\-]{1,128}\.(?:service|scope))(?=/|$)")
_SLURM_ITSELF = re.compile(r"^slurm(?:d|stepd)\b")


class Workload(NamedTuple):
    """Whose work it is.

    Attributes:
        source: `slurm`, `kubernetes`, `container` or `systemd`.
        job: Slurm's job, the pod's UID, the container or the unit.
        step: Slurm's step, or the container of a pod; else empty.
    """

    source: str
    job: str
    step: str = ""


def parse_cgroup(text: str) -> Workload | None:
    """Return whose work a process is, from its /proc/<pid>/cgroup; None where nobody says."""
    paths = [path for line in text[:TEXT_CHARS_MAX].splitlines() if (path := _path(line))]
    for find in (_slurm, _kubernetes, _container, _systemd):
        for path in paths:
            found = find(path)
            if found is not None:
                return found
    return None


def _path(line: str) -> str:
    """Return the path of `hierarchy:controllers:path`, or nothing."""
    parts = line.split(":", 2)
    return parts[2].removesuffix(" (deleted)") if len(parts) == 3 and parts[0].isdecimal() else ""


def _slurm(path: str) -> Workload | None:
    """Return the innermost job; a path has the scheduler's name before it."""
    if "slurm" not in path:
        return None
    found = list(_SLURM.finditer(path))
    return Workload("slurm", found[-1]["job"], found[-1]["step"] or "") if found else None


def _kubernetes(path: str) -> Workload | None:
    pod = _POD.search(path)
    if pod is None or "kubepods" not in path:
        return None
    container = _CONTAINER.search(path, pod.end())
    digits = pod["pod"].replace("_", "").replace("-", "").lower()
    uid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    step = container["container"][:CONTAINER_DIGITS] if container else ""
    return Workload("kubernetes", uid, step)


def _container(path: str) -> Workload | None:
    found = _CONTAINER.search(path)
    return None if found is None else Workload("container", found["container"][:CONTAINER_DIGITS])


def _systemd(path: str) -> Workload | None:
    """Return the innermost unit, which is the one that the work was started as."""
    unit = ""
    for found in _UNIT.finditer(path):
        unit = found["unit"]
    if not unit or unit == "init.scope" or _SLURM_ITSELF.match(unit):
        return None
    return Workload("systemd", unit[:NAME_CHARS_MAX])
