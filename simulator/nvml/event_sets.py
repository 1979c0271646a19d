"""Event sets of a simulated driver: what was registered, and what waits to be read.

Owns the bounds of their queues. Who waits for them is woken by the driver, whose lock is held for
every call.
"""

import itertools
from collections import deque
from dataclasses import dataclass, field

EVENT_DOUBLE_BIT_ECC = 0x2
EVENT_XID = 0x8
EVENT_MIG_CONFIG_CHANGE = 0x100
EVENT_RECOVERY_ACTION = 0x8000

# An event set that nobody reads must not grow without end; the real driver drops too.
EVENTS_QUEUED_MAX = 1000


@dataclass
class EventSet:
    """Events that wait to be read, and what was registered: slot to mask of event types."""

    registered: dict[int, int] = field(default_factory=dict)
    waiting: deque[tuple[int, int, int]] = field(
        default_factory=lambda: deque(maxlen=EVENTS_QUEUED_MAX)
    )
    """(slot, event type, event data)"""


class EventSets(dict[int, EventSet]):
    """A host's event sets by number."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(1)

    def create(self) -> int:
        """Return the number of a new, empty event set."""
        number = next(self._numbers)
        self[number] = EventSet()
        return number

    def post(self, slot: int, event_type: int, data: int) -> None:
        """Put an event into the sets that registered for it."""
        for event_set in self.values():
            if event_set.registered.get(slot, 0) & event_type:
                event_set.waiting.append((slot, event_type, data))
