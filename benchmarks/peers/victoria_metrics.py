"""VictoriaMetrics, single node, as Debian packages it.

Takes whole series as JSON lines over HTTP, its cheapest text import; then everything is flushed and
merged, as it would be by itself in time, before the folder is measured.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.peers import PeerResult
from benchmarks.peers.servers import serving, version
from benchmarks.processes import cpu_seconds
from benchmarks.recorded import Column, Recording

NAME = "victoria_metrics"
SERIES_PER_REQUEST = 200


def store(recording: Recording, folder: Path) -> PeerResult:
    """Store a recording in a new instance.

    Raises:
        Absent: it is not installed.
    """
    with serving(NAME, folder) as server:
        used_s = cpu_seconds(server.pid)
        columns = recording.columns()
        while batch := list(islice(columns, SERIES_PER_REQUEST)):
            server.post("/api/v1/import", b"\n".join(_lines(batch)))
        size = server.rest()
        used_s = cpu_seconds(server.pid) - used_s
    return PeerResult(version(NAME), size, used_s)


def _lines(columns: list[Column]) -> Iterator[bytes]:
    for column in columns:
        labels = {"__name__": column.metric, "host": column.host, "gpu": str(column.gpu)}
        values, times = column.values.tolist(), column.times_ms.tolist()
        yield json.dumps({"metric": labels, "values": values, "timestamps": times}).encode()
