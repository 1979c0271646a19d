"""Layout `openb`: the nodes of a cluster, and when each of its pods came, ran and went.

Owns the mapping of nodes to hosts with accelerators of their models, and of pods to the backlog
over time (`backlog`). There is no load in it: the hosts send inventory and heartbeats only.
"""

from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from simulator.replay.backlog import Pod, sweep
from simulator.replay.recording import (
    Problems,
    RecordedHost,
    Recording,
    RowError,
    Step,
    find_table,
    parse_count,
    parse_name,
    parse_time_s,
    read_table,
)
from telemetry.errors import ConfigError
from telemetry.records import ACCELERATORS_PER_HOST_MAX, Accelerator

SIGNATURE = "nodes.csv and pods.csv, or .csv.gz"
_NODE_COLUMNS = ("sn", "gpu", "model")
_POD_COLUMNS = (
    "num_gpu",
    "gpu_milli",
    "qos",
    "creation_time",
    "scheduled_time",
    "deletion_time",
)
GPUS_PER_POD_MAX = 100_000


def matches(folder: Path) -> bool:
    """Whether the folder holds this layout."""
    return all(find_table(folder, table) is not None for table in ("nodes", "pods"))


def read(folder: Path, facility: str) -> Recording:
    """Return the recording: hosts, and the backlog at a fixed cadence of recorded time.

    Raises:
        ConfigError: a file cannot be read, or has not one good row.
    """
    problems = Problems()
    hosts = _read_hosts(folder, facility, problems)
    pods = read_pods(folder, problems)
    if not hosts or not pods:
        raise ConfigError([f"{folder}: holds no usable row", *problems.first])
    steps = tuple(Step(time_s, {}, snapshots) for time_s, snapshots in sweep(pods))
    if not steps:
        raise ConfigError([f"{folder}: the pods' times span less than a minute"])
    return Recording(
        layout="openb",
        hosts=tuple(hosts),
        metrics=(),
        steps=steps,
        points=len(pods),
        problems=problems,
    )


def _table(folder: Path, name: str) -> Path:
    path = find_table(folder, name)
    if path is None:
        raise ConfigError([f"{folder}: there is no table {name}"])
    return path


def _read_hosts(folder: Path, facility: str, problems: Problems) -> list[RecordedHost]:
    path, hosts = _table(folder, "nodes"), dict[str, RecordedHost]()
    for line, row in read_table(path, _NODE_COLUMNS, problems):
        try:
            host = _parse_node(facility, *row)
        except RowError as error:
            problems.add(path, line, error)
            continue
        if hosts.setdefault(host.name, host) is not host:
            problems.add(path, line, f"a second node named {host.name}")
    return list(hosts.values())


def _parse_node(facility: str, name: str, gpus: str, model: str) -> RecordedHost:
    count = parse_count(gpus, ACCELERATORS_PER_HOST_MAX)
    if not parse_name(name):
        raise RowError("a node without a name")
    accelerators = tuple(
        Accelerator(
            uuid=uuid5(NAMESPACE_URL, f"{facility}/{name}/{index}").bytes,
            index=index,
            model=parse_name(model),
        )
        for index in range(count)
    )
    return RecordedHost(name, accelerators)


def read_pods(folder: Path, problems: Problems) -> list[Pod]:
    """Return the pods of a folder, in the order of the file."""
    path, pods = _table(folder, "pods"), list[Pod]()
    for line, row in read_table(path, _POD_COLUMNS, problems):
        try:
            pods.append(_parse_pod(*row))
        except RowError as error:
            problems.add(path, line, error)
    return pods


def _parse_pod(
    gpus: str, gpu_milli: str, qos: str, created: str, scheduled: str, deleted: str
) -> Pod:
    if not qos:
        raise RowError("a pod without a class")
    pod = Pod(
        queue=parse_name(qos),
        gpus_milli=parse_count(gpus, GPUS_PER_POD_MAX) * parse_count(gpu_milli, 1000),
        created_s=parse_time_s(created),
        scheduled_s=parse_time_s(scheduled) if scheduled else None,
        deleted_s=parse_time_s(deleted) if deleted else None,
    )
    started_s = pod.created_s if pod.scheduled_s is None else pod.scheduled_s
    if started_s < pod.created_s or (pod.deleted_s is not None and pod.deleted_s < started_s):
        raise RowError("times are not in the order creation, scheduled, deletion")
    return pod
