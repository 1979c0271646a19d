"""Prometheus, as Debian packages it.

Its own `promtool` makes blocks of an OpenMetrics text: what a server holds on disk after it has
compacted its head. Scraping, which would cost more, is not in it.
"""

import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers import PeerResult, folder_bytes
from benchmarks.peers.programs import PROMTOOL
from benchmarks.recorded import Column, Recording

STORE_S_MAX = 3600.0


def store(recording: Recording, folder: Path) -> PeerResult:
    """Make blocks of a recording.

    Raises:
        Absent: it is not installed.
    """
    program = PROMTOOL.find()
    text, blocks = folder / "recording.txt", folder / "blocks"
    with text.open("w", encoding="ascii") as file:
        by_metric = sorted(recording.columns(), key=lambda column: column.metric)
        last = ""
        for column in by_metric:
            if column.metric != last:
                last = column.metric
                file.write(f"# TYPE {last} unknown\n")
            file.writelines(_lines(column))
        file.write("# EOF\n")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [program, "tsdb", "create-blocks-from", "openmetrics", str(text), str(blocks)]
    subprocess.run(command, check=True, timeout=STORE_S_MAX, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return PeerResult(_version(program), folder_bytes(blocks), used_s)


def _lines(column: Column) -> Iterator[str]:
    head = f'{column.metric}{{host="{column.host}",gpu="{column.gpu}"}}'
    for at, value in zip(column.times_ms.tolist(), column.values.tolist(), strict=True):
        yield f"{head} {value} {at / 1000:.3f}\n"


def _version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, check=False, text=True)
    return (done.stdout + done.stderr).strip().splitlines()[0]
