"""The log as a receiver: what a deployment without any other gets, and what the demo shows."""

import json
import logging

from alerts.notifiers import Delivery, Message, Outcome
from alerts.settings import AlertSettings, Receiver

log = logging.getLogger(__name__)


class LogNotifier:
    """Writes each notice as one line."""

    def __init__(self, receiver: Receiver, settings: AlertSettings) -> None:
        del receiver, settings  # the log needs neither

    def send(self, message: Message) -> Delivery:
        """Write the line; that never fails."""
        notice = json.loads(message.body)
        log.warning(
            "%s %s: %s%s",
            notice["severity"],
            notice["kind"],
            notice["summary"],
            "" if notice["page"] else " (no page)",
        )
        return Delivery(Outcome.DELIVERED)

    def close(self) -> None:
        """Nothing to let go of."""
