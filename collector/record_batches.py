"""Kafka record batches that cannot hurt: bounded unfolding, and damage that is passed on as data.

kafka-python unfolds a compressed batch without a limit, so that 6 KB on the wire can become 200 MB
in memory, and raises out of `poll` where a batch is damaged, which blocks the partition for good.
This module puts its own reader in the place of the library's: a batch that unfolds to too much, or
that cannot be read, becomes one record at the batch's last offset, whose header names the reason.
The collector quarantines that record like any other bad one, and the log goes on.

Owns the bound and the stand-in record. Messages themselves are judged in `intake.py`.
"""

import logging
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import zstandard
from kafka.errors import KafkaError
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch

UNREADABLE_HEADER = "fleetgauge-unreadable"
STORED_BYTES_MAX = 4096

log = logging.getLogger(__name__)

_GZIP_WINDOW = 31  # zlib's code for "gzip with the largest window"
_READ_ERRORS = (
    KafkaError,
    ValueError,
    IndexError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    zstandard.ZstdError,
    UnicodeDecodeError,
    NotImplementedError,
)


class UnreadableBatchError(ValueError):
    """A batch that is refused before it is unfolded any further."""


def install(unfolded_bytes_max: int) -> None:
    """Let every consumer of this process read batches through the bounded reader.

    NOTE: this replaces two names inside kafka-python (tried with 3.0.12); the unit test fails
    loudly where a later version no longer looks them up there.
    """

    class Bounded(BoundedBatch):
        unfolded_bytes_max_ = unfolded_bytes_max

    memory_records.DefaultRecordBatch = Bounded
    memory_records.LegacyRecordBatch = _OldBatch


class BoundedBatch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python is untyped
    """A batch of format 2 that yields its records, or one that says why it cannot."""

    unfolded_bytes_max_ = 16 << 20
    _buffer: bytearray
    _pos: int
    _decompressed: bool

    def validate_crc(self) -> bool:
        """Leave the judgement to the iteration, which can say which offsets it is about."""
        return True

    def __iter__(self) -> Iterator[Any]:
        reached = self.base_offset - 1
        wire = bytes(memoryview(self._buffer)[self._pos :][:STORED_BYTES_MAX])
        try:
            if not super().validate_crc():
                raise UnreadableBatchError("checksum is wrong")
            self._maybe_uncompress()
            while self._next_record_index < self._num_records:
                record = self._read_msg()
                self._next_record_index += 1
                if not reached < record.offset <= self.last_offset:
                    raise UnreadableBatchError("offsets do not rise")
                reached = record.offset
                yield record
            if self._pos != len(self._buffer):
                raise UnreadableBatchError("bytes follow the last record")
        except _READ_ERRORS as error:
            if reached < self.last_offset:
                yield stand_in(self.last_offset, self.max_timestamp, error, wire)
            else:
                log.warning("batch at offset %d: all records read, then %s", reached, error)

    def _maybe_uncompress(self) -> None:
        if self._decompressed or self.compression_type == self.CODEC_NONE:
            self._decompressed = True
            return
        data = memoryview(self._buffer)[self._pos :]
        if self.compression_type == self.CODEC_GZIP:
            plain = _gunzip(data, self.unfolded_bytes_max_)
        elif self.compression_type == self.CODEC_ZSTD:
            plain = _unzstd(data, self.unfolded_bytes_max_)
        else:
            raise UnreadableBatchError(
                f"codec {self.compression_type}: only gzip and zstd are read"
            )
        self._buffer, self._pos, self._decompressed = bytearray(plain), 0, True


class _OldBatch:
    """A batch of the formats before 2, which no supported broker hands out any more."""

    magic = 1
    base_offset = -1

    def __init__(self, data: memoryview, _magic: int) -> None:
        self._data = bytes(data[:STORED_BYTES_MAX])
        (self.offset,) = struct.unpack_from(">q", data)

    def validate_crc(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        error = UnreadableBatchError("record format before version 2")
        yield stand_in(self.offset, 0, error, self._data)


def stand_in(offset: int, timestamp_ms: int, error: Exception, wire: bytes) -> DefaultRecord:
    """Return the record that stands for a batch that could not be read."""
    reason = f"{type(error).__name__}: {error}"[:500]
    headers = [(UNREADABLE_HEADER, reason.encode())]
    return DefaultRecord(len(wire), offset, timestamp_ms, 0, None, wire, headers)


def _gunzip(data: memoryview, bytes_max: int) -> bytes:
    reader = zlib.decompressobj(_GZIP_WINDOW)
    plain = reader.decompress(data, bytes_max)
    if reader.unconsumed_tail or not reader.eof:
        raise UnreadableBatchError(f"gzip: cut off, or unfolds to more than {bytes_max} bytes")
    return plain


def _unzstd(data: memoryview, bytes_max: int) -> bytes:
    # The window bounds what the frame may make the decoder allocate before the first byte.
    decoder = zstandard.ZstdDecompressor(max_window_size=bytes_max)
    with decoder.stream_reader(data, read_across_frames=True) as reader:
        plain = reader.read(bytes_max + 1)
    if len(plain) > bytes_max:
        raise UnreadableBatchError(f"zstd: unfolds to more than {bytes_max} bytes")
    return plain
