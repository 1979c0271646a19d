"""Run as a program: what the reader says over whatever libnvidia-ml.so.1 the loader finds, as JSON.

The argument is how many events are waited for.
"""

import sys
import time

import msgspec

from agent.accelerators.nvidia import NvidiaReader
from telemetry.clock import SystemClock
from telemetry.errors import FleetgaugeError
from telemetry.metrics import Group

GPM_APART_S = 0.2


def main() -> None:
    reader = NvidiaReader(SystemClock())
    try:
        inspection = reader.open()
    except FleetgaugeError as error:
        say({"error": type(error).__name__, "why": str(error)})
        return
    time.sleep(GPM_APART_S)
    count = len(inspection.accelerators)
    readings = [[reader.read(at, group) for at in range(count)] for group in Group]
    events = []
    for _ in range(int(sys.argv[1])):
        events += reader.wait_events(1.0)
    reader.close()
    say({"inspection": inspection, "readings": readings, "events": events})


def say(what: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what))


if __name__ == "__main__":
    main()
