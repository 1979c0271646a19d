"""A batch: everything that one transaction stores.

Owns the decision, message by message and in the order of the log, what is new, what is a repeat
and what goes to quarantine; and the rows that follow. Pure but for the marks, which remember.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from psycopg.types.json import Json

from collector.intake import Events, Opened, Queues, Rejected, Samples, Windows
from collector.marks import Epoch, MarkBook, MarkKey, Verdict
from collector.registry import Host, Registry, timestamp
from collector.sample_columns import PackedSamples, SampleColumns, Senders
from telemetry.columns import Shape
from telemetry.records import Dropped, Event, Heartbeat, Workloads
from telemetry.streams import Stream
from telemetry.wire import Header

QUARANTINED = "quarantined"

Row = dict[str, Any]


@dataclass(slots=True)
class Batch:
    """What one transaction stores, beside offsets and marks.

    Attributes:
        samples: columns, one entry a shape of message.
        sent: (mark key, last sequence number given out), as agents say.
        snapshots: rows of `queue_samples`, with what `queue_state` needs.
    """

    samples: list[SampleColumns] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    heartbeats: list[Row] = field(default_factory=list)
    workloads: list[Row] = field(default_factory=list)
    sent: dict[MarkKey, int] = field(default_factory=dict)
    snapshots: list[Row] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    messages: int = 0
    repeats: int = 0

    @property
    def sample_rows(self) -> int:
        """Rows of both sample tables."""
        return sum(columns.rows for columns in self.samples)

    @property
    def values_out_of_range(self) -> int:
        """Values that were outside of their metric's range."""
        return sum(columns.out_of_range for columns in self.samples)


def epochs_of(judged: Sequence[Opened | Rejected], senders: Sequence[Host | None]) -> set[Epoch]:
    """Return the hosts' boot epochs whose marks these messages may change."""
    epochs = set()
    for item, host in zip(judged, senders, strict=True):
        if item.header is None or host is None:
            continue
        epochs.add(Epoch(host.host_id, item.header.boot_epoch))
        if isinstance(item, Events):
            dropped = (record for record in item.records if isinstance(record, Dropped))
            epochs |= {Epoch(host.host_id, record.boot_epoch) for record in dropped}
    return epochs


def assemble(
    judged: Sequence[Opened | Rejected],
    senders: Sequence[Host | None],
    registry: Registry,
    marks: MarkBook,
    windows: Windows,
) -> Batch:
    """Make a batch of records, given in the order of their partitions.

    Args:
        judged: what `intake.open_record` made of them.
        senders: who sent each of them, as `Registry.learn` said.
        registry: knows every accelerator among them.
        marks: knows every sender; remembers what is accepted here.
        windows: which sample times are believed.
    """
    batch = Batch()
    packed = _pack(judged, senders)
    faults = _time_faults(packed, windows)
    kept = np.zeros(len(judged), dtype=np.bool_)
    for at, (opened, host) in enumerate(zip(judged, senders, strict=True)):
        item = faults.get(at, opened) if faults else opened
        if isinstance(item, Rejected):
            _reject(batch, item, host, marks)
        elif host is not None and _is_new(batch, item, host, marks):
            if isinstance(item, Samples):
                kept[at] = True
            elif isinstance(item, Events):
                _take_events(batch, item, host, registry, marks)
            else:
                _take_queues(batch, item, host)
    for positions, group in packed:
        keep = np.flatnonzero(kept[positions])
        if len(keep):
            hosts = [host for at in positions[keep].tolist() if (host := senders[at]) is not None]
            messages = [group.messages[at] for at in keep.tolist()]
            batch.samples.append(group.columns(keep, _senders(messages, hosts, registry)))
    return batch


def _pack(
    judged: Sequence[Opened | Rejected], senders: Sequence[Host | None]
) -> list[tuple[NDArray[np.intp], PackedSamples]]:
    """Return the samples by shape, and where each of them stands among all messages.

    They are joined host by host: where accelerators are numbered like their hosts, as they are
    when they are met for the first time, the rows are in the order of a columnstore by that.
    """
    by_shape: dict[Shape, list[int]] = {}
    for at, item in enumerate(judged):
        if isinstance(item, Samples):
            by_shape.setdefault(item.shape, []).append(at)
    host_ids = [0 if host is None else host.host_id for host in senders]
    packed = []
    for shape, positions in by_shape.items():
        positions.sort(key=host_ids.__getitem__)
        messages = [item for at in positions if isinstance(item := judged[at], Samples)]
        group = PackedSamples(shape, messages[0].group, messages)
        packed.append((np.array(positions, dtype=np.intp), group))
    return packed


def _time_faults(
    packed: Iterable[tuple[NDArray[np.intp], PackedSamples]], windows: Windows
) -> dict[int, Rejected]:
    """Return the messages with a tick outside the window, by where they stand."""
    faults = {}
    for positions, group in packed:
        for at, time_us in group.times_outside(windows.samples).items():
            message = group.messages[at]
            reason = "too_old" if time_us < windows.samples.oldest_us else "in_future"
            detail = f"tick at {time_us} µs since 1970"
            fault = Rejected(message.received, reason, detail, message.header)
            faults[int(positions[at])] = fault
    return faults


def _is_new(batch: Batch, item: Opened, host: Host, marks: MarkBook) -> bool:
    header = item.header
    mark = marks.touch(MarkKey(host.host_id, item.received.stream, header.boot_epoch))
    verdict = mark.accept(header.seq)
    if verdict is Verdict.STORE:
        batch.messages += 1
        mark.stored_rows += _rows(item)
        return True
    if verdict is Verdict.REPEAT:
        batch.repeats += 1
    else:
        detail = "this host's sequence numbers leave too many holes"
        batch.rejected.append(Rejected(item.received, "too_many_gaps", detail, header))
    return False


def _rows(item: Opened) -> int:
    if isinstance(item, Samples):
        return item.shape.ticks * item.shape.accelerators
    return len(item.records if isinstance(item, Events) else item.snapshots)


def _reject(batch: Batch, item: Rejected, host: Host | None, marks: MarkBook) -> None:
    """Quarantine a record; where its number is known, that number has found its end."""
    batch.rejected.append(item)
    if item.header is not None and host is not None:
        header = item.header
        key = MarkKey(host.host_id, item.received.stream, header.boot_epoch)
        marks.touch(key).write_off(header.seq, header.seq, QUARANTINED)


def _senders(messages: Sequence[Samples], hosts: Sequence[Host], registry: Registry) -> Senders:
    rows = [
        registry.accelerators(host, message.header.accelerators)
        for host, message in zip(hosts, messages, strict=True)
    ]
    gpu_ids = np.frombuffer(b"".join(row.gpu_ids for row in rows), dtype=np.int32)
    instances = np.frombuffer(b"".join(row.instances for row in rows), dtype=np.bool_)
    shape = (len(hosts), -1)
    return Senders(
        np.array([host.host_id for host in hosts], dtype=np.int32),
        np.array([host.facility_id for host in hosts], dtype=np.int32),
        np.array([host.rack_id for host in hosts], dtype=np.int32),
        gpu_ids.reshape(shape),
        np.array([message.header.boot_epoch for message in messages], dtype=np.int64),
        np.array([message.header.seq for message in messages], dtype=np.int64),
        instances.reshape(shape) if instances.any() else None,
    )


def _take_events(
    batch: Batch, item: Events, host: Host, registry: Registry, marks: MarkBook
) -> None:
    for position, record in enumerate(item.records):
        if isinstance(record, Event):
            batch.events.append(_event_row(item, record, position, host, registry))
        elif isinstance(record, Dropped):
            key = MarkKey(host.host_id, Stream(record.stream), record.boot_epoch)
            marks.touch(key).write_off(record.first_seq, record.last_seq, record.reason)
        elif isinstance(record, Workloads):
            batch.workloads.append(_workloads_row(record, host, registry))
        elif isinstance(record, Heartbeat):
            batch.heartbeats.append(_heartbeat_row(item.header, record, host.host_id))
            for stream in Stream:
                if stream in record.last_seqs:
                    key = MarkKey(host.host_id, stream, item.header.boot_epoch)
                    batch.sent[key] = max(batch.sent.get(key, 0), record.last_seqs[stream])


def _event_row(item: Events, event: Event, position: int, host: Host, registry: Registry) -> Row:
    named = len(event.accelerator) == 16
    return {
        "time": timestamp(event.time_us),
        "host_id": host.host_id,
        "gpu_id": registry.gpu_id(host, event.accelerator) if named else None,
        "kind": str(event.kind),
        "code": event.code,
        "message": event.message,
        "detail": Json(event.detail),
        "boot_epoch": item.header.boot_epoch,
        "seq": item.header.seq,
        "position": position,
    }


def _heartbeat_row(header: Header, beat: Heartbeat, host_id: int) -> Row:
    oldest_us = beat.spool_oldest_us
    return msgspec.structs.asdict(beat) | {
        "host_id": host_id,
        "time": timestamp(beat.time_us),
        "boot_epoch": header.boot_epoch,
        "spool_oldest": None if oldest_us is None else timestamp(oldest_us),
        "counters": Json(beat.counters),
    }


def _workloads_row(record: Workloads, host: Host, registry: Registry) -> Row:
    """Return the parameters of `merge_workloads`: all that holds the host's accelerators."""
    held = {
        (holder.accelerator, holder.source, holder.job, holder.step): holder
        for holder in record.holders
    }
    rows = [
        {
            "gpu_id": registry.gpu_id(host, holder.accelerator),
            "source": holder.source,
            "job": holder.job,
            "step": holder.step,
            "namespace": holder.namespace,
            "user_name": holder.user,
            "started_at": timestamp(holder.since_us or record.time_us).isoformat(),
            "processes": holder.processes,
            "memory_mebibytes": holder.memory_mebibytes,
        }
        for holder in held.values()
    ]
    return {"host_id": host.host_id, "time": timestamp(record.time_us), "rows": Json(rows)}


def _take_queues(batch: Batch, item: Queues, host: Host) -> None:
    batch.snapshots += [
        msgspec.structs.asdict(snapshot)
        | {
            "time": timestamp(snapshot.time_us),
            "facility_id": host.facility_id,
            "host_id": host.host_id,
        }
        for snapshot in item.snapshots
    ]
