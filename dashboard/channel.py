"""One view while somebody watches it: its slots, and the message for each who watches.

Owns which slot changed when, and messages; when they are rendered is `broadcast.py`'s.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from dashboard.markup import encode
from dashboard.sources import Render, Slots
from dashboard.view import View


@dataclass(slots=True)
class Channel:
    """One view while somebody watches it: its slots with the version each last changed in.

    Attributes:
        frames: addresses of the frames that its slots speak of.
        envelopes: messages of this tick, by the version that the viewer had seen: most viewers
            are as far as the others.
    """

    view: View
    render: Render
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    slots: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    frames: list[str] = field(default_factory=list)
    envelopes: dict[int, bytes] = field(default_factory=dict)
    version: int = 0
    ticks: int = 0
    trouble: str = ""
    viewers: int = 0
    task: asyncio.Task[None] | None = None
    rendering: asyncio.Task[None] | None = None

    def take(self, slots: Slots) -> None:
        """Take what was rendered; slots that are not in it stay as they are."""
        for name, properties in slots.items():
            encoded = encode(properties)
            if self.slots.get(name, (0, b""))[1] != encoded:
                self.slots[name] = (self.version + 1, encoded)
        self.version += 1
        self.ticks += 1
        self.envelopes.clear()

    def envelope(self, seen: int, head: Mapping[str, Any]) -> tuple[bytes, int]:
        """Return the message for a viewer that has all up to a version, and its new slots' count.

        A message that was already made for another viewer has none that are new.
        """
        if seen in self.envelopes:
            return self.envelopes[seen], 0
        fresh = {name: body for name, (n, body) in self.slots.items() if n > seen}
        told = msgspec.json.encode({"view": self.view.href(), **head})
        slots = b",".join(msgspec.json.encode(name) + b":" + body for name, body in fresh.items())
        message = told[:-1] + b',"slots":{' + slots + b"}}"
        self.envelopes[seen] = message
        return message, len(fresh)
