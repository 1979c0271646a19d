"""Names to numbers: tenants, facilities, hosts and accelerators as the tables know them.

Owns the ids and the cache of them; they are made when they are first met, outside the transaction
that stores rows, so that a cached id is always there. Inventories are applied here too: they are
newest-wins and may be applied any number of times.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

import sql
from collector.database import Connection, translated
from collector.intake import Events, Opened, Rejected, Samples
from telemetry.records import Accelerator, Event, Inventory
from telemetry.wire import Header, split_uuids

# Beyond this many the caches start afresh; a fleet of this size has more than one collector.
CACHED_MAX = 500_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_QUERIES = sql.queries("collector_places")


@dataclass(frozen=True, slots=True)
class Host:
    """How the tables name a host, and where it stands."""

    host_id: int
    facility_id: int
    rack_id: int


def timestamp(time_us: int) -> datetime:
    """Return microseconds since 1970 as the database's kind of time, exactly."""
    return EPOCH + timedelta(microseconds=time_us)


class Registry:
    """All ids that were needed so far."""

    def __init__(self) -> None:
        self._hosts: dict[tuple[str, str, str], Host] = {}
        self._gpus: dict[tuple[int, bytes], int] = {}
        self._rows: dict[tuple[int, bytes], NDArray[np.int32]] = {}

    def host(self, header: Header) -> Host:
        """Return the sender of a message; `learn` has seen it."""
        return self._hosts[header.tenant, header.facility, header.host]

    def gpu_ids(self, host: Host, accelerators: bytes) -> NDArray[np.int32]:
        """Return the ids of a header's accelerators, in their order."""
        key = (host.host_id, accelerators)
        row = self._rows.get(key)
        if row is None:
            ids = [self._gpus[host.host_id, uuid] for uuid in split_uuids(accelerators)]
            row = self._rows[key] = np.array(ids, dtype=np.int32)
        return row

    def gpu_id(self, host: Host, uuid: bytes) -> int:
        """Return the id of one accelerator."""
        return self._gpus[host.host_id, uuid]

    def forget(self) -> None:
        """Ask again for everything: the database may have been set back to an older state."""
        self._hosts.clear()
        self._gpus.clear()
        self._rows.clear()

    def learn(self, connection: Connection, judged: Sequence[Opened | Rejected]) -> None:
        """Make and look up whatever these messages name, and apply their inventories.

        The senders of rejected messages are learnt too: their numbers are accounted for.

        Raises:
            RetryableError: the database is away.
            RefusedDataError: an inventory holds what the tables cannot.
        """
        if len(self._hosts) + len(self._gpus) + len(self._rows) > CACHED_MAX:
            self.forget()
        with translated("looking up hosts"):
            headers = [item.header for item in judged if item.header is not None]
            self._learn_hosts(connection, {(h.tenant, h.facility, h.host) for h in headers})
            opened = [item for item in judged if not isinstance(item, Rejected)]
            for header, inventory in _newest_inventories(opened):
                self._apply(connection, header, inventory)
            self._learn_gpus(connection, set(self._named_gpus(opened)))

    def _learn_hosts(self, connection: Connection, names: set[tuple[str, str, str]]) -> None:
        missing = sorted(names - self._hosts.keys())
        if not missing:
            return
        tenants, facilities, hosts = map(list, zip(*missing, strict=True))
        met = {"tenants": tenants, "facilities": facilities, "hosts": hosts}
        with connection.transaction():
            for step in ("add_facilities", "add_racks", "add_hosts"):
                connection.execute(_QUERIES[step], met)
        for tenant, facility, host, *ids in connection.execute(_QUERIES["find_hosts"], met):
            name = (str(tenant), str(facility), str(host))
            self._hosts[name] = Host(*(int(str(number)) for number in ids))

    def _named_gpus(self, opened: Iterable[Opened]) -> Iterable[tuple[int, bytes]]:
        for message in opened:
            host_id = self.host(message.header).host_id
            if isinstance(message, Samples):
                if (host_id, message.header.accelerators) not in self._rows:
                    for uuid in split_uuids(message.header.accelerators):
                        yield host_id, uuid
            elif isinstance(message, Events):
                for record in message.records:
                    if isinstance(record, Event) and len(record.accelerator) == 16:
                        yield host_id, record.accelerator

    def _learn_gpus(self, connection: Connection, named: set[tuple[int, bytes]]) -> None:
        missing = sorted(named - self._gpus.keys())
        if not missing:
            return
        met = {
            "host_ids": [host_id for host_id, _ in missing],
            "uuids": [UUID(bytes=uuid) for _, uuid in missing],
        }
        connection.execute(_QUERIES["add_accelerators"], met)
        rows: Iterable[tuple[Any, ...]] = connection.execute(_QUERIES["find_accelerators"], met)
        for host_id, uuid, gpu_id in rows:
            self._gpus[host_id, uuid.bytes] = gpu_id

    def _apply(self, connection: Connection, header: Header, inventory: Inventory) -> None:
        host = self.host(header)
        time = timestamp(inventory.time_us)
        place = msgspec.structs.asdict(inventory.place) | {"facility_id": host.facility_id}
        with connection.transaction():
            row = connection.execute(_QUERIES["place_rack"], place).fetchone()
            if row is None:
                raise AssertionError("an upsert returns its row")
            about = msgspec.structs.asdict(inventory) | place
            about |= {"rack_id": row[0], "host_id": host.host_id, "time": time}
            connection.execute(_QUERIES["place_host"], about)
            connection.cursor().executemany(
                _QUERIES["describe_accelerator"],
                [_described(entry, host, time) for entry in inventory.accelerators],
            )
            uuids = [UUID(bytes=entry.uuid) for entry in inventory.accelerators]
            connection.execute(_QUERIES["note_absent"], about | {"uuids": uuids})
        # Where it stands is read again, since an older inventory has changed nothing.
        name = (header.tenant, header.facility, header.host)
        del self._hosts[name]
        self._learn_hosts(connection, {name})


def _newest_inventories(opened: Iterable[Opened]) -> Iterable[tuple[Header, Inventory]]:
    newest: dict[tuple[str, str, str], tuple[Header, Inventory]] = {}
    for message in opened:
        if not isinstance(message, Events):
            continue
        for record in message.records:
            if isinstance(record, Inventory):
                header = message.header
                name = (header.tenant, header.facility, header.host)
                if name not in newest or newest[name][1].time_us <= record.time_us:
                    newest[name] = (header, record)
    return newest.values()


def _described(entry: Accelerator, host: Host, time: datetime) -> dict[str, Any]:
    """Return the parameters of `describe_accelerator`."""
    return msgspec.structs.asdict(entry) | {
        "host_id": host.host_id,
        "uuid": UUID(bytes=entry.uuid),
        "parent_uuid": UUID(bytes=entry.parent) if len(entry.parent) == 16 else None,
        "unsupported": list(entry.unsupported),
        "fabric_cluster": (
            UUID(bytes=entry.fabric_cluster) if len(entry.fabric_cluster) == 16 else None
        ),
        "time": time,
    }
