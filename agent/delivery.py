"""Which message is sent next, and when one that failed is tried again.

Owns the state of one host's stream on its way to the broker: what is in flight, what waits for a
pause to end, how fast a backlog may leave. Pure: times are passed in, nothing is sent from here.
"""

from random import Random

from agent.spool_rows import Slot
from telemetry.streams import Stream

PAUSE_MIN_S = 0.5
PAUSE_MAX_S = 30.0
IN_FLIGHT_MAX = 16
# A live host has a message or two in hand; more than this is a backlog.
BACKLOG_MESSAGES = 4


class Pause:
    """A wait that doubles with each failure and ends with a success, with jitter.

    Half of it is chance, so that a fleet does not come back as one.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._pause_s = PAUSE_MIN_S
        self._until_s = 0.0

    def over(self, now_s: float) -> bool:
        """Whether to go on."""
        return now_s >= self._until_s

    def failed(self, now_s: float, at_least_s: float = 0.0) -> None:
        """Wait, longer than last time. Failures while waiting are of the same attempt."""
        if not self.over(now_s):
            return
        pause_s = self._pause_s * self._random.uniform(0.5, 1.0)
        self._until_s = now_s + max(pause_s, at_least_s * self._random.uniform(1.0, 1.5))
        self._pause_s = min(PAUSE_MAX_S, 2 * self._pause_s)

    def succeeded(self) -> None:
        """Start small the next time."""
        self._pause_s = PAUSE_MIN_S
        self._until_s = 0.0


class Lane:
    """One stream of one host.

    Attributes:
        in_flight: messages handed to the client and not confirmed, with their sizes in bytes.
        pause: ends when the stream may be tried again.
    """

    def __init__(self, stream: Stream, random: Random, drain_per_second_max: float) -> None:
        self.stream = stream
        self.in_flight: dict[Slot, int] = {}
        self.pause = Pause(random)
        self._drain_per_second_max = drain_per_second_max
        self._tokens = float(BACKLOG_MESSAGES)
        self._filled_at_s = 0.0
        self._failed = False
        self._suspects: set[Slot] = set()
        self._maybe_more = True

    @property
    def idle(self) -> bool:
        """Whether there is nothing to send and nothing in flight."""
        return not self._maybe_more and not self.in_flight

    def stir(self) -> None:
        """Note that there may be something new to send."""
        self._maybe_more = True

    def room(self, now_s: float) -> int:
        """How many messages may be sent now.

        After a failure nothing is sent until all that was in flight has an outcome, so that the
        next one is again the oldest.
        """
        if not self._maybe_more or not self.pause.over(now_s):
            return 0
        if self.in_flight and (self._failed or self._suspects):
            return 0
        self._failed = False
        if self._suspects:
            return 1
        return max(0, min(IN_FLIGHT_MAX - len(self.in_flight), self._allowance(now_s)))

    def sent(self, slot: Slot, size_bytes: int) -> None:
        """Note a message that was handed to the client."""
        self.in_flight[slot] = size_bytes
        self._tokens -= 1

    def nothing_more(self) -> None:
        """Note that everything there is has been sent."""
        self._maybe_more = False

    def confirmed(self, slot: Slot) -> None:
        """Note a message that the broker has."""
        self.in_flight.pop(slot, None)
        self._suspects.discard(slot)
        self.pause.succeeded()

    def failed(self, slot: Slot, now_s: float, at_least_s: float = 0.0) -> None:
        """Note a message that has to be sent again."""
        self.in_flight.pop(slot, None)
        if not self._failed:
            self.pause.failed(now_s, at_least_s)
        self._failed = True
        self._maybe_more = True

    def refused(self, slot: Slot) -> bool:
        """Note that the broker takes a message never; True once it is sure that it means this one.

        A refusal may have been meant for another message of the same batch, so each is tried once
        more, alone.
        """
        self.in_flight.pop(slot, None)
        self._maybe_more = True
        if slot in self._suspects:
            self._suspects.discard(slot)
            return True
        self._suspects.add(slot)
        return False

    def _allowance(self, now_s: float) -> int:
        """A bucket of tokens, for samples alone: events never wait behind a rate."""
        if self.stream is not Stream.SAMPLES:
            return IN_FLIGHT_MAX
        gained = (now_s - self._filled_at_s) * self._drain_per_second_max
        self._tokens = min(float(BACKLOG_MESSAGES), self._tokens + gained)
        self._filled_at_s = now_s
        return int(self._tokens)
