"""A viewer without a browser: the page's own protocol over a raw socket.

Owns the subscription and what a page would fetch next: frames by address, once each. What the
protocol is stands in `dashboard/live.py`.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect

FRAME = re.compile(rb"/frame/[0-9a-f]+")
FRAMES_KEPT = 60
OPEN_S_MAX = 30.0


class Heard(NamedTuple):
    """One message of the live line, with the frames that it made a page fetch.

    Attributes:
        received_s: unix time at which the message and its frames were there.
        message_bytes: of the message.
        frame_bytes: of the frames, as they crossed the network.
    """

    received_s: float
    message_bytes: int
    frame_bytes: int
    content: bytes

    def decoded(self) -> dict[str, Any]:
        """Return the message."""
        found: dict[str, Any] = json.loads(self.content)
        return found


async def watch(address: str, path: str, search: str = "") -> AsyncIterator[Heard]:
    """Yield what a viewer of a page is sent, from now on.

    Args:
        address: of the dashboard, as `http://host:port`.
        path: of the page.
        search: its parameters, with the question mark.
    """
    place = urlsplit(address).netloc
    async with connect(
        f"ws://{place}/live",
        origin=address,  # type: ignore[arg-type] # a NewType of str in the library
        compression=None,
        max_size=None,
        open_timeout=OPEN_S_MAX,
        proxy=None,
    ) as socket:
        await socket.send(json.dumps({"path": path, "search": search, "ask": 1}))
        fetcher = Fetcher(place)
        try:
            while True:
                yield await _next(socket, fetcher)
        finally:
            fetcher.close()


async def _next(socket: ClientConnection, fetcher: "Fetcher") -> Heard:
    text = await socket.recv(decode=False)
    frames = 0
    for name in dict.fromkeys(FRAME.findall(text)):
        frames += await fetcher.fetch(name)
    return Heard(time.time(), len(text), frames, text)


class Fetcher:
    """Fetches frames over one kept connection, each address once, as the page's cache does."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._seen: dict[bytes, None] = {}
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def fetch(self, path: bytes) -> int:
        """Return the bytes of the body; 0 when it was fetched before."""
        if path in self._seen:
            return 0
        self._seen[path] = None
        if len(self._seen) > FRAMES_KEPT:
            del self._seen[next(iter(self._seen))]
        try:
            return await self._ask(path)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.close()  # a kept connection may have been idle too long
            return await self._ask(path)

    async def _ask(self, path: bytes) -> int:
        if self._streams is None:
            host, _, port = self._place.rpartition(":")
            self._streams = await asyncio.open_connection(host, int(port))
        reader, writer = self._streams
        writer.write(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path, self._place.encode()))
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if length is None or not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(head.split(b"\r\n", 1)[0].decode(errors="replace"))
        return len(await reader.readexactly(int(length[1])))

    def close(self) -> None:
        """Let the connection go."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
