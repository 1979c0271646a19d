"""The Kafka sink: sends what the outboxes hold and tells them what the broker has confirmed.

Owns the one thread that sends. Outboxes of any number of hosts share a sink. The spool is the
source of truth: a message is forgotten when the broker has it and not before, and one that fails is
sent again from there: oldest first, but of a backlog of samples the newest first, so that an outage
does not delay what is read now. What may be sent when is `delivery.py`, with which client
`kafka_connection.py`.
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from random import Random
from typing import NamedTuple

from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from agent.counters import Counters
from agent.delivery import BACKLOG_MESSAGES, Lane, Pause
from agent.drafts import EventDraft
from agent.kafka_client import (
    METADATA_WAIT_MS,
    Producer,
    Signer,
    make_producer,
    takes_connection,
)
from agent.kafka_connection import Connection
from agent.kafka_trouble import BROKER, Trouble, is_forbidden
from agent.outbox import TOO_LARGE, Outbox
from agent.spool_rows import Slot
from telemetry import kafka_door
from telemetry.clock import Clock
from telemetry.streams import KafkaSettings, Stream

IDLE_WAIT_S = 60.0
BUSY_WAIT_S = 0.2
# Nobody is helped by an agent that asks again at once for what it may not have.
FORBIDDEN_PAUSE_S = 30.0

_REFUSED = (MessageSizeTooLargeError, RecordListTooLargeError)


class _Route(NamedTuple):
    outbox: Outbox
    lane: Lane
    signer: Signer | None


class _Outcome(NamedTuple):
    route: _Route
    slot: Slot
    error: BaseException | None


class KafkaSink:
    """Sends for all outboxes that were attached, until closed."""

    def __init__(
        self,
        settings: KafkaSettings,
        clock: Clock,
        counters: Counters,
        *,
        in_flight_bytes_max: int = 4 << 20,
        drain_messages_per_second_max: float = 2.0,
        compression: str = "none",
        connect: Callable[[], Producer] | None = None,
        answers: Callable[[str], bool] | None = None,
        why_shut: Callable[[KafkaSettings], str] = kafka_door.why_shut,
        random: Random | None = None,
    ) -> None:
        """Prepare; nothing is connected before `start`.

        Args:
            settings: where the broker is.
            clock: for pauses.
            counters: where failures are counted.
            in_flight_bytes_max: what may wait for confirmation, all hosts together.
            drain_messages_per_second_max: how fast one host's backlog of samples may leave.
            compression: `none`, `gzip` or `zstd`.
            connect: makes the client; by default kafka-python's.
            answers: whether any of the brokers' addresses takes a connection, for the log's words.
            why_shut: what a broker that takes connections has against this client.
            random: for jitter.
        """
        random = random or Random()  # noqa: S311 - jitter, no secret
        connect = connect or partial(make_producer, settings, compression)
        self._clock = clock
        self._counters = counters
        self._in_flight_bytes_max = in_flight_bytes_max
        self._drain = drain_messages_per_second_max
        self._random = random
        self._trouble = Trouble(settings, answers or takes_connection, why_shut)
        self._connection = Connection(settings, clock, counters, connect, self._trouble, random)
        self._topics = {stream: settings.topic(stream) for stream in Stream}
        self._routes: list[_Route] = []
        self._outcomes: SimpleQueue[_Outcome] = SimpleQueue()
        self._in_flight_bytes = 0
        self._topic_pauses = {stream: Pause(random) for stream in Stream}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="kafka", daemon=True)

    def attach(self, outbox: Outbox, signer: Signer | None = None) -> None:
        """Send what this outbox holds, from now on. Events go before samples.

        Args:
            outbox: of one host.
            signer: vouches for its messages; without one they are unsigned.
        """
        lanes = [
            Lane(stream, self._random, self._drain)
            for stream in (Stream.EVENTS, Stream.SAMPLES, Stream.QUEUES)
        ]
        # A new list, because the sink's thread may be going through the old one.
        self._routes = [*self._routes, *(_Route(outbox, lane, signer) for lane in lanes)]

        def changed() -> None:
            for lane in lanes:
                lane.stir()
            self._wake.set()

        outbox.on_change(changed)
        changed()

    def start(self) -> None:
        """Start sending."""
        self._thread.start()

    def drained(self, timeout_s: float) -> bool:
        """Wait until nothing is left to send; False when that took too long."""
        until_s = self._clock.monotonic_s() + timeout_s
        while not all(route.lane.idle for route in self._routes):
            if self._clock.monotonic_s() >= until_s:
                return False
            self._stopping.wait(0.05)
        return True

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop sending. What is not confirmed stays in the outboxes."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s + METADATA_WAIT_MS / 1000)
        self._connection.close(timeout_s)
        self._settle()

    def step(self) -> None:
        """Take in what the broker has answered, and send what may be sent now."""
        self._settle()
        now_s = self._clock.monotonic_s()
        producer = self._client(now_s)
        if producer is None:
            return
        for route in self._routes:
            if self._stopping.is_set():
                return
            if self._topic_pauses[route.lane.stream].over(now_s):
                self._send(producer, route)

    def _work(self) -> None:
        while not self._stopping.is_set():
            busy = any(not route.lane.idle for route in self._routes)
            self._wake.wait(BUSY_WAIT_S if busy else IDLE_WAIT_S)
            self._wake.clear()
            self.step()

    def _client(self, now_s: float) -> Producer | None:
        changed, warning = self._connection.look_at_files(now_s)
        if changed:
            for pause in self._topic_pauses.values():
                pause.succeeded()
        if warning is not None:
            for outbox in {route.outbox for route in self._routes}:
                outbox.write([EventDraft([warning])])
        return self._connection.client(
            now_s,
            wanted=any(not route.lane.idle for route in self._routes),
            in_flight=any(route.lane.in_flight for route in self._routes),
        )

    def _send(self, producer: Producer, route: _Route) -> None:
        outbox, lane, signer = route
        room = lane.room(self._clock.monotonic_s())
        if room == 0 or self._in_flight_bytes >= self._in_flight_bytes_max:
            return
        lane.nothing_more()
        # Events are few and tell a story, so they keep their order; the newest samples are live.
        backlog = BACKLOG_MESSAGES if lane.stream is Stream.SAMPLES else None
        pending = outbox.pending(lane.stream, room, lane.in_flight.keys(), backlog=backlog)
        if len(pending) == room:
            lane.stir()
        for slot, payload in pending:
            lane.sent(slot, len(payload))
            self._in_flight_bytes += len(payload)
            try:
                future = producer.send(
                    self._topics[lane.stream],
                    key=outbox.identity.key,
                    value=payload,
                    headers=signer.headers(payload) if signer is not None else [],
                )
            except KafkaError as error:
                # Without a topic every further message of the stream would wait a second too.
                self._take(_Outcome(route, slot, error))
                lane.stir()
                return
            future.add_callback(partial(self._on_answer, route, slot, None))
            future.add_errback(partial(self._on_error, route, slot))

    def _on_answer(
        self, route: _Route, slot: Slot, error: BaseException | None, _metadata: object
    ) -> None:
        # On the client's thread: only hand over.
        self._outcomes.put(_Outcome(route, slot, error))
        self._wake.set()

    def _on_error(self, route: _Route, slot: Slot, error: BaseException) -> None:
        self._on_answer(route, slot, error, None)

    def _settle(self) -> None:
        """Take in all outcomes; the confirmations of one outbox in one go."""
        confirmed: defaultdict[Outbox, list[Slot]] = defaultdict(list)
        while True:
            try:
                outcome = self._outcomes.get_nowait()
            except Empty:
                break
            if self._take(outcome):
                confirmed[outcome.route.outbox].append(outcome.slot)
        for outbox, slots in confirmed.items():
            outbox.confirm(slots)

    def _take(self, outcome: _Outcome) -> bool:
        """Note one outcome; True when the message was confirmed."""
        (outbox, lane, _), slot, error = outcome
        now_s = self._clock.monotonic_s()
        self._in_flight_bytes -= lane.in_flight.get(slot, 0)
        if error is None:
            lane.confirmed(slot)
            self._topic_pauses[lane.stream].succeeded()
            self._connection.alive(now_s)
            self._trouble.say(BROKER, "")
            self._trouble.say(lane.stream, "")
            return True
        self._counters.add("kafka_failures")
        if isinstance(error, _REFUSED):
            if lane.refused(slot):
                outbox.refuse(slot, TOO_LARGE)
            return False
        pause_s = FORBIDDEN_PAUSE_S if is_forbidden(error) else 0.0
        lane.failed(slot, now_s)
        self._topic_pauses[lane.stream].failed(now_s, pause_s)
        if self._trouble.explain(lane.stream, error):
            self._connection.shut_out(now_s, FORBIDDEN_PAUSE_S)
        return False
