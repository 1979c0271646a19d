"""The numbers of accelerators by host and UUID, as the tables know them.

Owns the ids, and which of them are MIG instances. Pure. A large fleet has half a million of them,
so what is kept of a host is three strings of bytes and not an object each. The accelerators that
its last message named come first: what the next one names is then a beginning of what is kept.
"""

import struct
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from telemetry.wire import UUID_BYTES, split_uuids

_ID = struct.Struct("=i")


class Found(NamedTuple):
    """An accelerator as it was looked up."""

    host_id: int
    uuid: bytes
    gpu_id: int
    is_instance: bool


class Row(NamedTuple):
    """Accelerators of a host, in order.

    Attributes:
        uuids: 16 bytes each.
        gpu_ids: an int32 each, as numpy has it.
        instances: a byte each, 1 where it is a MIG instance.
    """

    uuids: bytes = b""
    gpu_ids: bytes = b""
    instances: bytes = b""

    def chosen(self, places: Iterable[int]) -> "Row":
        """Return some of them, in the order of `places`."""
        listed = list(places)
        return Row(
            b"".join(self.uuids[UUID_BYTES * at : UUID_BYTES * (at + 1)] for at in listed),
            b"".join(self.gpu_ids[_ID.size * at : _ID.size * (at + 1)] for at in listed),
            bytes(self.instances[at] for at in listed),
        )

    def first(self, uuids: bytes) -> "Row":
        """Return those at the beginning that have these UUIDs."""
        count = len(uuids) // UUID_BYTES
        if count == len(self.instances):
            return self
        return Row(uuids, self.gpu_ids[: _ID.size * count], self.instances[:count])


class AcceleratorBook:
    """The accelerators that were met.

    Attributes:
        count: how many they are.
    """

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}
        self.count = 0

    def unknown(self, host_id: int, uuids: bytes) -> Sequence[bytes]:
        """Return which of a host's UUIDs, 16 bytes each, are not known yet."""
        known = self._rows.get(host_id, Row()).uuids
        if known.startswith(uuids):
            return ()
        there = set(split_uuids(known))
        return [uuid for uuid in split_uuids(uuids) if uuid not in there]

    def learn(self, found: Iterable[Found]) -> None:
        """Take over what was looked up; what is known already stays as it is."""
        by_host: dict[int, dict[bytes, Found]] = {}
        for each in found:
            by_host.setdefault(each.host_id, {})[each.uuid] = each
        for host_id, named in by_host.items():
            known = self._rows.get(host_id, Row())
            there = set(split_uuids(known.uuids))
            new = [each for uuid, each in named.items() if uuid not in there]
            self._rows[host_id] = Row(
                known.uuids + b"".join(each.uuid for each in new),
                known.gpu_ids + b"".join(_ID.pack(each.gpu_id) for each in new),
                known.instances + bytes(each.is_instance for each in new),
            )
            self.count += len(new)

    def row(self, host_id: int, uuids: bytes) -> Row:
        """Return what is known of these accelerators, in their order; all of them were met."""
        known = self._rows[host_id]
        if not known.uuids.startswith(uuids):
            known = self._rows[host_id] = _led_by(known, uuids)
        return known.first(uuids)

    def gpu_id(self, host_id: int, uuid: bytes) -> int:
        """Return the id of one accelerator that was met."""
        known = self._rows[host_id]
        at = split_uuids(known.uuids).index(uuid)
        (gpu_id,) = _ID.unpack_from(known.gpu_ids, _ID.size * at)
        return int(gpu_id)

    def note_instances(self, host_id: int, uuids: Container[bytes]) -> None:
        """Note that these, where they were met, are MIG instances; once one, always one."""
        known = self._rows.get(host_id)
        if known is not None:
            flags = zip(split_uuids(known.uuids), known.instances, strict=True)
            are = bytes(is_instance or uuid in uuids for uuid, is_instance in flags)
            self._rows[host_id] = known._replace(instances=are)

    def forget(self) -> None:
        """Know none."""
        self._rows.clear()
        self.count = 0


def _led_by(known: Row, uuids: bytes) -> Row:
    """Return a row whose beginning these accelerators are; the others follow as they were."""
    places = {uuid: at for at, uuid in enumerate(split_uuids(known.uuids))}
    return known.chosen([*(places.pop(uuid) for uuid in split_uuids(uuids)), *places.values()])
