"""A viewer without a browser: the page's own protocol over a raw socket.

Owns the subscription and what comes of it: frames, and the messages that speak of them. What the
protocol is stands in `dashboard/live.py`.
"""

import json
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from websockets.asyncio.client import connect

OPEN_S_MAX = 30.0


class Heard(NamedTuple):
    """One message of the live line, with the frames that came before it.

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
        subscription = {"path": path, "search": search, "ask": 1, "frames": True}
        await socket.send(json.dumps(subscription))
        frame_bytes = 0
        async for content in socket:
            if isinstance(content, bytes):
                frame_bytes += len(content)
                continue
            text = content.encode()
            yield Heard(time.time(), len(text), frame_bytes, text)
            frame_bytes = 0
