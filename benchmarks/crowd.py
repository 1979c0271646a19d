"""Many viewers of a dashboard in a process of their own, each like a page: socket and frames.

Owns the crowd and what it notes: for each viewer and each new state of the data, how old that state
was when the message and its frames were there, and how long after the first viewer that was. Run as
a program of its own, so that neither the server nor the bench waits for it; prints a JSON object.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from websockets.exceptions import WebSocketException

from benchmarks.live_line import watch

JOIN_EVERY_S = 0.05
AS_OF = b'"as_of":'


@dataclass(slots=True)
class Notes:
    """What the crowd saw, from a moment on.

    Attributes:
        first_s: when the first viewer of a page had a state of the data, by page and state.
        ages_ms: how old a state was when a viewer had it whole.
        behind_ms: how long after the first viewer of the page.
        failures: viewers that were cut off.
    """

    from_s: float
    first_s: dict[tuple[str, bytes], float] = field(default_factory=dict)
    ages_ms: list[float] = field(default_factory=list)
    behind_ms: list[float] = field(default_factory=list)
    received_bytes: int = 0
    failures: int = 0

    def take(self, path: str, as_of: bytes, now_s: float, received_bytes: int) -> None:
        """Note that a viewer has a state that it had not."""
        first_s = self.first_s.setdefault((path, as_of), now_s)
        if now_s < self.from_s or as_of == b"null":
            return
        self.received_bytes += received_bytes
        self.ages_ms.append(1000 * (now_s - float(as_of)))
        self.behind_ms.append(1000 * (now_s - first_s))


def as_of(message: bytes) -> bytes:
    """Return the word for the time of the data in a message, without decoding the rest."""
    start = message.find(AS_OF) + len(AS_OF)
    ends = [at for mark in (b",", b"}") if (at := message.find(mark, start)) >= 0]
    return message[start : min(ends)] if start >= len(AS_OF) and ends else b"null"


async def run(
    address: str, paths: Sequence[str], viewers: int, notes: Notes, until_s: float
) -> None:
    """Let so many viewers come one after the other, shared among the pages, and stay."""
    tasks = []
    for number in range(viewers):
        viewer = _view(address, paths[number % len(paths)], notes)
        tasks.append(asyncio.create_task(viewer))
        await asyncio.sleep(JOIN_EVERY_S)
    await asyncio.sleep(max(0.0, until_s - time.time()))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _view(address: str, path: str, notes: Notes) -> None:
    last = b""
    try:
        async for heard in watch(address, path):
            state = as_of(heard.content)
            if state != last:
                last = state
                size = heard.message_bytes + heard.frame_bytes
                notes.take(path, state, heard.received_s, size)
    except (WebSocketException, OSError):
        notes.failures += 1


def main(words: Sequence[str]) -> None:
    """Watch, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("viewers", type=int)
    parser.add_argument("from_s", type=float, help="unix time from which notes are kept")
    parser.add_argument("until_s", type=float, help="unix time of the end")
    parser.add_argument("paths", nargs="+")
    chosen = parser.parse_args(words)
    notes = Notes(chosen.from_s)
    asyncio.run(run(chosen.address, chosen.paths, chosen.viewers, notes, chosen.until_s))
    found = {
        "ages_ms": notes.ages_ms,
        "behind_ms": notes.behind_ms,
        "received_bytes": notes.received_bytes,
        "failures": notes.failures,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
