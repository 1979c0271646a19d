"""The agent about itself: what it counted, what it costs, and how far its sequences are.

Owns the heartbeat record. `host.py` says when it is due; the outbox completes it at the moment
it gets its place in the sequence, because only then are the last numbers known.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from telemetry.records import Heartbeat


@dataclass(frozen=True, slots=True)
class SpoolState:
    """How full the spool is.

    Attributes:
        oldest_us: when the oldest message in it was made; None when it is empty.
        last_seqs: per stream, the last sequence number given out in this boot epoch.
    """

    messages: int
    used_bytes: int
    oldest_us: int | None
    last_seqs: dict[str, int]


def heartbeat(
    *,
    time_us: int,
    agent_version: str,
    sample_interval_s: float,
    tick_us: int,
    counters: dict[str, int],
    signed: bool = False,
    process_ids: Iterable[int] = (),
) -> Heartbeat:
    """Return a heartbeat that does not know its spool yet; its memory is of all processes."""
    return Heartbeat(
        time_us=time_us,
        agent_version=agent_version,
        sample_interval_ms=int(sample_interval_s * 1000),
        tick_duration_us=tick_us,
        resident_bytes=sum(map(resident_bytes, ("self", *map(str, process_ids)))),
        counters=counters,
        signed=signed,
    )


def complete(record: Heartbeat, spool: SpoolState) -> Heartbeat:
    """Return the same heartbeat with the state of the spool that it is about to join."""
    return msgspec.structs.replace(
        record,
        spool_messages=spool.messages,
        spool_bytes=spool.used_bytes,
        spool_oldest_us=spool.oldest_us,
        last_seqs=spool.last_seqs,
    )


def resident_bytes(process: str) -> int:
    """Return a process's memory by /proc; 0 where there is no such file."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
