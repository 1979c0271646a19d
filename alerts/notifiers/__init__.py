"""Notifiers: one module a way of telling somebody, behind one contract.

Owns the contract and the table. Adding one is a module here, a line in `NOTIFIERS` and its name in
`Receiver.kind`. A notifier delivers one message within bounded time and says what came of it; when
to try again is the sender's business.
"""

from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Protocol, cast

from alerts.settings import AlertSettings, Receiver

NOTIFIERS = {
    "log": "alerts.notifiers.log:LogNotifier",
    "webhook": "alerts.notifiers.webhook:WebhookNotifier",
}


class Outcome(StrEnum):
    """What came of a try.

    REFUSED: the receiver will never take these bytes; trying again is noise.
    """

    DELIVERED = "delivered"
    RETRY = "retry"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A try and what came of it.

    Attributes:
        status: the receiver's answer as a number, where it gives one.
        error: why it was not taken, without anything secret.
        retry_after_s: how long the receiver asked to be left alone.
    """

    outcome: Outcome
    status: int | None = None
    error: str | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What is delivered: the same bytes at every try."""

    message_id: int
    dedup_key: str
    body: str


class Notifier(Protocol):
    """One receiver. One thread uses it."""

    def send(self, message: Message) -> Delivery:
        """Deliver a message, or say why not. Nothing is raised for what a receiver does."""

    def close(self) -> None:
        """Let go of connections."""


def make_notifier(receiver: Receiver, settings: AlertSettings) -> Notifier:
    """Return the notifier of a receiver."""
    module, _, attribute = NOTIFIERS[receiver.kind].partition(":")
    make = getattr(import_module(module), attribute)
    return cast("Notifier", make(receiver, settings))
