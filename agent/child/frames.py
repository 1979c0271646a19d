"""What an agent and its child say to each other: length, then msgpack, through a socket.

Owns the words and the framing. A frame from the child is bounded and checked like any foreign
bytes: a driver's library that has gone wild may have written anything anywhere.
"""

import os
import select
from collections.abc import Iterator
from typing import Any

import msgspec

from agent.accelerators import Inspection
from agent.child.compact import Readings
from telemetry.errors import DecodeError
from telemetry.metrics import Group
from telemetry.records import Event

FRAME_BYTES_MAX = 4 << 20
CHUNK_BYTES = 1 << 16
_LENGTH_BYTES = 4


class Read(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """To the child: read one group of these positions, and answer within the deadline."""

    number: int
    group: Group
    positions: tuple[int, ...]
    deadline_s: float


class Opened(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """From the child, once: what opening the driver has found."""

    inspection: Inspection


class NotOpened(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """From the child, once, as its last word: why the driver could not be opened."""

    why: str
    mismatch: bool


class Events(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """From the child, by itself: what the driver reports, and what was counted on the way."""

    events: list[Event]
    counts: dict[str, int] = {}


Answer = Opened | NotOpened | Readings

_encoder = msgspec.msgpack.Encoder()


class Channel:
    """One end of a connection; reads frames of one type and writes any.

    Args:
        descriptor: of a stream socket; owned from now on.
        words: what may be read from it.
    """

    def __init__(self, descriptor: int, words: Any) -> None:
        self.descriptor = descriptor
        self._decoder = msgspec.msgpack.Decoder(words)
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def send(self, word: msgspec.Struct) -> None:
        """Write one frame; blocks while the other side does not read.

        Raises:
            OSError: the other side is gone.
        """
        body = _encoder.encode(word)
        rest = memoryview(len(body).to_bytes(_LENGTH_BYTES, "little") + body)
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]

    def receive(self, timeout_s: float | None = None) -> Any:
        """Return the next frame; None when there is none in time.

        Raises:
            EOFError: the other side is gone.
            DecodeError: what came is no frame.
        """
        found = self._take()
        while found is None:
            wait_ms = None if timeout_s is None else max(0, round(timeout_s * 1000))
            if not self._poll.poll(wait_ms):
                return None
            self.fill()
            found = self._take()
        return found

    def drain(self) -> Iterator[Any]:
        """Yield the frames that `fill` has brought."""
        while (found := self._take()) is not None:
            yield found

    def fill(self) -> None:
        """Read what there is; blocks when there is nothing.

        Raises:
            EOFError: the other side is gone.
        """
        try:
            chunk = os.read(self.descriptor, CHUNK_BYTES)
        except ConnectionError as error:
            raise EOFError("the other side is gone") from error
        if not chunk:
            raise EOFError("the other side is gone")
        self._buffer += chunk

    def close(self) -> None:
        """Let the other side see that this one is gone; a second call does nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _take(self) -> Any:
        buffer = self._buffer
        if len(buffer) < _LENGTH_BYTES:
            return None
        end = _LENGTH_BYTES + int.from_bytes(buffer[:_LENGTH_BYTES], "little")
        if end > FRAME_BYTES_MAX:
            raise DecodeError("oversized", f"a frame of {end} bytes")
        if len(buffer) < end:
            return None
        body = bytes(buffer[_LENGTH_BYTES:end])
        del buffer[:end]
        try:
            return self._decoder.decode(body)
        except msgspec.MsgspecError as error:
            raise DecodeError("malformed", str(error)) from error
