"""The live line of a served dashboard, opened as a page of it opens it."""

import json
from collections.abc import Mapping
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

OPEN_S = 120


def live_line(
    address: str, *, origin: str = "", headers: Mapping[str, str] | None = None
) -> ClientConnection:
    """Open a line to the dashboard at an address, from a page of its own if of no other origin."""
    return connect(
        address.rstrip("/").replace("http", "ws", 1) + "/live",
        origin=Origin(origin or address.rstrip("/")),
        additional_headers=dict(headers or {}),
        open_timeout=OPEN_S,
        max_size=None,
    )


def ask_live(line: ClientConnection, path: str, search: str = "", **more: Any) -> None:
    """Say what the page looks at."""
    line.send(json.dumps({"path": path, "search": search, **more}))
