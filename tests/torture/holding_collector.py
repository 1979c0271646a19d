"""The real collector, which may be told to stand still where a batch is about to be written.

Run as a program by the torture, with one mistake of `mutants.py` or none. Where the file that
`--hold` names is there, it takes the file away and stops itself; who wants it to go on sends
SIGCONT. So it stands between its last look at the group and its transaction.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from collector import store
from collector.batch import Batch
from collector.books import Move
from fleetgauge.__main__ import main as fleetgauge
from tests.torture import mutants


def hold_at_write(file: Path) -> None:
    """Let every collector of this process stop itself once a file, before it writes samples.

    Samples alone: a second storing of events is refused by their primary key, and what is refused
    is stored in halves, with marks that are read again.
    """
    write = store.Store._write

    def held(self: store.Store, batch: Batch, moves: Sequence[Move]) -> None:
        if batch.samples and not batch.events and _take(file):
            os.kill(os.getpid(), signal.SIGSTOP)
        write(self, batch, moves)

    store.Store._write = held  # type: ignore[method-assign]


def _take(file: Path) -> bool:
    """Whether the file was there; of several collectors one takes it."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mutant", choices=mutants.COLLECTORS)
    parser.add_argument("--hold", type=Path)
    arguments = parser.parse_args()
    if arguments.mutant:
        mutants.COLLECTORS[arguments.mutant]()
    if arguments.hold:
        hold_at_write(arguments.hold)
    sys.argv[1:] = ["collector"]
    return fleetgauge()


if __name__ == "__main__":
    sys.exit(main())
