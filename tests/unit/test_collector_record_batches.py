"""Record batches: what is whole comes through, what is not becomes one record that says so."""

import gzip
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Any

import crc32c
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from collector import record_batches
from collector.record_batches import UNREADABLE_HEADER, BoundedBatch

LIMIT = BoundedBatch.unfolded_bytes_max_
CODECS = {0: lambda data: data, 1: gzip.compress, 4: zstandard.ZstdCompressor().compress}


def batch_of(values: list[bytes], codec: int = 0, base: int = 100) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 30,
    )
    for at, value in enumerate(values):
        builder.append(at, 1_000 + at, b"k", value, [])
    return repacked(bytes(builder.build()), codec, base)


def repacked(data: bytes, codec: int, base: int, change: Callable[[bytes], bytes] = bytes) -> bytes:
    """The batch with its records compressed, perhaps changed, and its sizes and checksum right."""
    head = DefaultRecordBatch.HEADER_STRUCT
    fields = list(head.unpack_from(data))
    body = CODECS[codec](change(data[head.size :]))
    fields[0], fields[5] = base, codec
    fields[1] = head.size - DefaultRecordBatch.AFTER_LEN_OFFSET + len(body)
    packed = head.pack(*fields) + body
    fields[4] = crc32c.crc32c(packed[DefaultRecordBatch.ATTRIBUTES_OFFSET :])
    return bytes(head.pack(*fields) + body)


def relabelled(data: bytes, codec: int) -> bytes:
    """The batch with another codec in its head, and the checksum right."""
    changed = bytearray(data)
    struct.pack_into(">h", changed, 21, codec)
    crc = crc32c.crc32c(changed[DefaultRecordBatch.ATTRIBUTES_OFFSET :])
    struct.pack_into(">I", changed, DefaultRecordBatch.CRC_OFFSET, crc)
    return bytes(changed)


def read(data: bytes) -> list[Any]:
    return list(BoundedBatch(data))


def is_stand_in(record: Any) -> bool:
    return bool(record.headers) and record.headers[0][0] == UNREADABLE_HEADER


@pytest.mark.parametrize("codec", CODECS)
def test_whole_batches_come_through(codec: int) -> None:
    records = read(batch_of([b"one", b"two", b""], codec))
    assert [(r.offset, r.value) for r in records] == [(100, b"one"), (101, b"two"), (102, b"")]
    assert not any(map(is_stand_in, records))


@pytest.mark.parametrize("codec", [1, 4])
def test_f22_a_bomb_becomes_one_record_at_the_last_offset(codec: int) -> None:
    bomb = batch_of([b"small", bytes(LIMIT + 1), b"small"], codec)
    assert len(bomb) < LIMIT // 100
    (record,) = read(bomb)
    assert is_stand_in(record)
    assert record.offset == 102
    assert b"more than" in record.headers[0][1]


CHILD = """
import resource, sys
from collector.record_batches import BoundedBatch
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + (96 << 20),) * 2)
(record,) = BoundedBatch(sys.stdin.buffer.read())
print(record.offset, record.headers[0][1].decode())
"""


@pytest.mark.parametrize("codec", [1, 4])
def test_f22_a_bomb_of_a_megabyte_does_not_kill_a_process_of_little_memory(codec: int) -> None:
    """A gigabyte from a small record, in a process that may take 96 MiB more than it has."""
    packer = (
        zlib.compressobj(1, wbits=31) if codec == 1 else zstandard.ZstdCompressor().compressobj()
    )
    zeros, parts = bytes(1 << 20), 1024 if codec == 4 else 256
    body = b"".join([*(packer.compress(zeros) for _ in range(parts)), packer.flush()])
    bomb = repacked(batch_of([b"x"]), 0, 100, lambda _: body)
    bomb = relabelled(bomb, codec)
    assert len(bomb) < 2 << 20
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=bomb, capture_output=True, check=True, timeout=60
    )
    assert done.stdout.startswith(b"100 ")
    assert b"more than" in done.stdout


@pytest.mark.parametrize("codec", [1, 4])
def test_just_below_the_limit_is_read(codec: int) -> None:
    (record,) = read(batch_of([bytes(LIMIT - 100)], codec))
    assert len(record.value) == LIMIT - 100


@pytest.mark.parametrize("codec", [2, 3, 5, 7])
def test_f22_other_codecs_are_refused(codec: int) -> None:
    (record,) = read(relabelled(batch_of([b"x"]), codec))
    assert is_stand_in(record)
    assert b"codec" in record.headers[0][1]


def test_f21_a_wrong_checksum_is_one_record() -> None:
    data = bytearray(batch_of([b"one", b"two"]))
    data[-1] ^= 1
    (record,) = read(bytes(data))
    assert is_stand_in(record)
    assert record.offset == 101
    assert b"checksum" in record.headers[0][1]


def test_records_before_the_damage_are_kept() -> None:
    whole = batch_of([b"one", b"two", b"three"])

    def cut_last(body: bytes) -> bytes:
        return body[:-3]

    records = read(repacked(whole, 0, 100, cut_last))
    assert [r.value for r in records[:2]] == [b"one", b"two"]
    assert is_stand_in(records[2])
    assert records[2].offset == 102


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(sorted(CODECS)))
def test_no_damage_raises_or_leaves_the_batch_behind(chance: random.Random, codec: int) -> None:
    whole = batch_of([chance.randbytes(chance.randrange(40)) for _ in range(5)])

    def damage(body: bytes) -> bytes:
        changed = bytearray(body)
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        return bytes(changed[: chance.choice([len(changed), chance.randrange(len(changed))])])

    offsets = [record.offset for record in read(repacked(whole, codec, 100, damage))]
    assert offsets == sorted(set(offsets))
    assert offsets[-1] == 104


def test_old_formats_are_refused_as_one_record() -> None:
    old = struct.pack(">qiIbbqii", 55, 40, 0, 1, 0, 0, -1, -1) + bytes(30)
    (record,) = record_batches._OldBatch(memoryview(old), 1)
    assert is_stand_in(record)
    assert record.offset == 55


def test_the_client_reads_through_the_bounded_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_records, "DefaultRecordBatch", DefaultRecordBatch)
    monkeypatch.setattr(memory_records, "LegacyRecordBatch", memory_records.LegacyRecordBatch)
    record_batches.install(1 << 20)
    both = batch_of([bytes((1 << 20) + 1)], 4, base=7) + batch_of([b"good"], 4, base=8)
    batches = memory_records.MemoryRecords(both)
    records = [record for batch in batches for record in batch]
    assert [is_stand_in(record) for record in records] == [True, False]
    assert [record.offset for record in records] == [7, 8]
