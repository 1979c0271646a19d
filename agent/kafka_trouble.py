"""What is wrong between an agent and its broker, in words: said when it begins and when it is over.

Owns the sentences and what was said last about which subject. Nothing is decided here but whether
a broker shuts this client out, which nobody knows before it has been asked.
"""

import logging
from collections.abc import Callable

from kafka.errors import (
    AuthorizationError,
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
)

from telemetry import kafka_door
from telemetry.streams import KafkaSettings, Stream

log = logging.getLogger(__name__)

# What trouble may be about, besides a stream.
BROKER = "broker"
CLIENT = "client"

_FORBIDDEN = (
    AuthorizationError,
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
)


def is_forbidden(error: BaseException) -> bool:
    """Whether the broker answers, and does not let us."""
    return isinstance(error, _FORBIDDEN)


class Trouble:
    """What is wrong now, by subject.

    Args:
        settings: where the broker is, and who we are there.
        answers: whether any of the brokers' addresses takes a connection.
        why_shut: what a broker that takes connections has against this client.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        answers: Callable[[str], bool],
        why_shut: Callable[[KafkaSettings], str],
    ) -> None:
        self._settings = settings
        self._answers = answers
        self._why_shut = why_shut
        self._sentences: dict[str, str] = {}

    def say(self, subject: str, sentence: str) -> None:
        """Log what is wrong when it changes, and with an empty sentence when it is over."""
        before = self._sentences.get(subject, "")
        self._sentences[subject] = sentence
        if sentence and sentence != before:
            log.warning("%s", sentence)
        elif before and not sentence:
            log.info("Kafka takes messages again: %s", subject)

    def explain(self, stream: Stream, error: BaseException) -> bool:
        """Say why a message of a stream was not taken; return whether we are shut out."""
        where = self._settings.kafka_bootstrap
        topic = self._settings.topic(stream)
        told = self._sentences.get(BROKER) or self._sentences.get(stream)
        if is_forbidden(error):
            who = kafka_door.principal_of(self._settings)
            self.say(stream, f"Kafka at {where} does not let {who} write to {topic}: {error}")
        elif told and self._settings.kafka_security_protocol == "PLAINTEXT":
            pass  # while a client that is sent away at the door tries every two seconds by itself
        elif not self._answers(where):
            self.say(BROKER, f"Kafka at {where} does not answer; everything is kept until it does")
        elif sentence := self._why_shut(self._settings):
            self.say(BROKER, f"{sentence}; everything is kept until it is let in")
            return True
        else:
            self.say(
                stream,
                f"topic {topic} cannot be written at {where}: {error!r};"
                " is it there? `fleetgauge migrate` makes it",
            )
        return False
