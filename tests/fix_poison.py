"""Kafka values that no honest agent sends, by the thousand: what must never stop a collector.

Every value of `poison` is one that cannot be stored as it is; `damaged` adds flipped bits, of which
a few make another message that is whole.
"""

import json
import random
import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from telemetry.catalogue import CATALOGUE
from telemetry.metrics import Group
from telemetry.records import Event, EventKind, QueueSnapshot
from telemetry.streams import MESSAGE_BYTES_MAX
from telemetry.wire import MAGIC, PREFIX, VERSION, VERSIONS_READ, MessageKind
from tests.fix_collector import NOW_US, FakeHost, S

_SAMPLES, _EVENTS, _QUEUES = MessageKind.SAMPLES, MessageKind.EVENTS, MessageKind.QUEUES
_NAMES = [
    "", "\0", "a\0b", "../x", "<img src=x onerror=1>", "\u202e", "é", "x" * 1_000_000,
    "a\n", '"', "'; drop table hosts", "${jndi:x}", "\x1b[2J", "=1+1", "javascript:alert(1)",
]  # fmt: skip
_NOT_A_NAME: list[Any] = [None, True, 1, -1, 1.5, [], {}, b"bytes", *_NAMES]
_NOT_A_COUNT: list[Any] = [None, True, False, -1, 2**63, 2**64 - 1, 1.5, "1", [], {}, b"1"]
_NOT_TIMES = [-(2**63), -1, 0, 1_800_000_000, NOW_US // 1000, NOW_US * 1000, 253_402_300_799 * S]
_JSON_TEXTS = [
    "null", "true", "0", "-0", "1e999", "NaN", "Infinity", '{"gpu": NaN}', "[]", "{}", '"\\ud800"',
    '{"__proto__": 1}', '{"constructor": {}}', '{"a": 1, "a": 2}', "9" * 4301, "[" * 200_000,
]  # fmt: skip
_encode = msgspec.msgpack.encode


def message(kind: int, head: bytes, body: bytes, version: int = VERSION) -> bytes:
    """A message whose prefix is right, whatever is in it."""
    return PREFIX.pack(MAGIC, version, kind, len(head) & 0xFFFF, len(body)) + head + body


def poison(chance: random.Random) -> Iterator[bytes]:
    """Yield values of which each has to end in quarantine."""
    host = FakeHost("evil")
    samples = host.samples([NOW_US, NOW_US + S])
    events = host.events(Event(time_us=NOW_US, kind=EventKind.XID, code=79))
    queues = host.queues(QueueSnapshot(time_us=NOW_US, source="vllm", queue="q", waiting=1.0))
    yield b""
    yield from (bytes([number]) for number in range(256))
    for whole in (samples, events, queues):
        yield from (whole[:length] for length in range(2, len(whole)))
        yield from (whole + tail for tail in (b"\0", b"x" * 100, whole))
    yield from (chance.randbytes(chance.randrange(2, 200)) for _ in range(300))
    for text in _JSON_TEXTS:
        yield from (text.encode(code) for code in ("utf-8", "utf-8-sig", "utf-16", "utf-32"))
    yield bytes(MESSAGE_BYTES_MAX + 1)
    for version in set(range(256)) - set(VERSIONS_READ):
        yield samples[:4] + bytes([version]) + samples[5:]
    for kind in (0, *range(4, 256)):
        yield samples[:5] + bytes([kind]) + samples[6:]
    yield events  # whole, but not in this topic
    yield queues
    yield host.samples([NOW_US], seq=0)
    yield from (host.samples([time_us]) for time_us in _NOT_TIMES)
    yield from _bad_headers(samples)


def _bad_headers(samples: bytes) -> Iterator[bytes]:
    """Yield samples with one field of the header that is not what it has to be."""
    _, _, _, head_bytes, _ = PREFIX.unpack_from(samples)
    head = samples[PREFIX.size : PREFIX.size + head_bytes]
    body = samples[PREFIX.size + head_bytes :]
    fields = msgspec.msgpack.decode(head)
    layout = fields[8]
    wrong = {
        0: _NOT_A_NAME,
        1: _NOT_A_NAME,
        2: _NOT_A_NAME,
        3: _NOT_A_COUNT,
        4: [*_NOT_A_COUNT, 0],
        6: [*_NOT_A_COUNT, 0, 1, 3, 601],
        7: [None, 1, "x", b"", b"x" * 15, b"x" * 32, b"x" * 16 * 10_000, fields[7][:16] * 2],
        8: [None, 1, "x", b"", layout[:-1], layout + layout, layout[:3] * 300, b"\xff" * 3],
    }
    for position, values in wrong.items():
        for value in values:
            changed = [*fields[:position], value, *fields[position + 1 :]]
            yield message(_SAMPLES, _encode(changed), body)
    for count in range(len(fields)):
        yield message(_SAMPLES, _encode(fields[:count]), body)
    for value in (None, 1, "x", {}, dict(enumerate(fields)), [fields], [[]] * 9):
        yield message(_SAMPLES, _encode(value), body)
    # Lengths that promise more than there is; nothing may be allocated for them.
    for promise in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"):
        yield message(_SAMPLES, promise, body)
        yield message(_SAMPLES, b"\x99" + promise, body)
    yield message(_SAMPLES, b"\x91" * 60_000, body)
    mixed = [CATALOGUE.group(Group.FAST)[0], CATALOGUE.group(Group.SLOW)[0]]
    yield FakeHost("evil").samples([NOW_US], metrics=mixed)


def poisoned_events() -> Iterator[bytes]:
    """Yield events and queues with a body that is not what it has to be."""
    head = _encode(["lab", "hall", "evil", 1, 1, 0])
    event: dict[str, Any] = {"type": "event", "time_us": NOW_US, "kind": "xid"}
    bad: list[Any] = [None, 1, "x", {}, [1], [None], [[]], [{}], [{"type": "nobody"}]]
    not_codes: list[Any] = [True, -1, 2**63, 2**64 - 1, 1.5, "79", []]
    bad += [[event | {"code": value}] for value in not_codes]
    bad += [[event | {"time_us": value}] for value in (None, True, -1, 2**63, *_NOT_TIMES)]
    bad += [[event | {"kind": value}] for value in (None, 1, "", "explosion")]
    bad += [[event | {"accelerator": b"x" * 17}], [event | {"message": "x" * 100_000}]]
    not_details: list[Any] = [float("nan"), float("inf"), [], {}]
    bad += [[event | {"detail": {"x": value}}] for value in not_details]
    bad += [[event | {"message": "a NUL \0 in a text"}], [event] * 1001]
    for body in bad:
        yield message(_EVENTS, head, _encode(body))
    yield message(_EVENTS, head, b"\x91" * 100_000)
    yield message(_EVENTS, head, b"\x91\x82\xa4type\xa5event\xa7message\xa3\xed\xa0\x80")
    yield message(_EVENTS, head, b"\xdd\xff\xff\xff\xff")
    yield message(_EVENTS, head, json.dumps([event]).encode())


def damaged(chance: random.Random, count: int) -> Iterator[bytes]:
    """Yield samples with one to four flipped bits; most of them are no message any more."""
    for _ in range(count):
        value = bytearray(FakeHost("evil").samples([NOW_US], seq=chance.randrange(1, 10**6)))
        for _ in range(chance.randrange(1, 5)):
            value[chance.randrange(min(len(value), 80))] ^= 1 << chance.randrange(8)
        yield bytes(value)


def as_version(value: bytes, version: int) -> bytes:
    """The same message under another version number."""
    return value[:4] + struct.pack("B", version) + value[5:]
