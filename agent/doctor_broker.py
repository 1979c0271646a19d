"""Whether the broker can be reached and its topics be written.

Owns the findings about Kafka. It asks for metadata and sends nothing; whether a write would be
allowed is what the broker itself says, where it has an authorizer.
"""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from kafka import KafkaAdminClient
from kafka.errors import (
    KafkaError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from agent.doctor import Finding, NoAnswer, fail, ok, warn, within
from telemetry import kafka_door
from telemetry.streams import KafkaSettings, Stream

CONNECT_S = 3.0
BOOTSTRAP_MS = 5000
ANSWER_DEADLINE_S = 20.0
# Kafka's AclOperation names, of which one is needed.
OPERATIONS_WRITE = {"ALL", "WRITE"}

Connect = Callable[[KafkaSettings], "Admin"]


class Admin(Protocol):
    """What is needed of a Kafka client."""

    def describe_topics(self, topics: list[str]) -> list[Mapping[str, Any]]:
        """Return metadata, one entry a topic, those that do not exist included."""

    def close(self) -> None:
        """Let go of the connection."""


def make_admin(settings: KafkaSettings) -> Admin:
    """Return kafka-python's client."""
    admin: Admin = KafkaAdminClient(
        **settings.client_options(),
        client_id="fleetgauge-doctor",
        bootstrap_timeout_ms=BOOTSTRAP_MS,
        request_timeout_ms=10_000,
    )
    return admin


def check_broker(settings: KafkaSettings, connect: Connect = make_admin) -> Iterator[Finding]:
    """Yield findings about the broker and its topics."""
    reached = [check_address(address) for address in settings.kafka_bootstrap.split(",")]
    yield from reached
    if all(finding.verdict == "fail" for finding in reached):
        return
    yield from check_files(settings)
    topics = [settings.topic(stream) for stream in Stream]
    try:
        entries = within(ANSWER_DEADLINE_S, lambda: _describe(settings, topics, connect))
    except SaslAuthenticationFailedError as error:
        step = "check kafka_sasl_username, its password file and kafka_sasl_mechanism"
        yield fail("broker", f"does not know this client: {error}", step)
    except (KafkaError, OSError, ValueError, NoAnswer) as error:
        step = "check kafka_security_protocol and the certificates against the broker's listener"
        yield fail("broker", f"is reached but gives no metadata: {error}", step)
    else:
        for entry in entries:
            yield judge_topic(entry)


def check_address(address: str) -> Finding:
    """Say whether a TCP connection can be made."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except socket.gaierror as error:
        return fail("broker", f"{host} has no address: {error.strerror}", "check kafka_bootstrap")
    except (OSError, OverflowError) as error:
        step = "check kafka_bootstrap, the broker and the firewall; until then readings are spooled"
        return fail("broker", f"{address} cannot be reached: {error}", step)
    return ok("broker", f"{address} can be reached")


def check_files(settings: KafkaSettings) -> Iterator[Finding]:
    """Yield what is wrong with the files that the connection needs."""
    for problem in kafka_door.problems(settings):
        yield fail(
            "broker", problem.removeprefix("settings:"), "let the agent's user alone read it"
        )
    left = kafka_door.days_left(settings, time.time())
    if left is not None and left <= kafka_door.WARN_DAYS:
        verdict = fail if left <= 0 else warn
        sentence = f"{settings.kafka_ssl_certificate_file} ends in {max(0.0, left):.1f} days"
        yield verdict("broker", sentence, "put a new one in its place; no restart is needed")
    if settings.kafka_security_protocol in ("PLAINTEXT", "SASL_PLAINTEXT"):
        yield warn(
            "broker",
            "readings travel unencrypted",
            "set kafka_security_protocol to SSL or SASL_SSL outside a trusted network",
        )


def _describe(
    settings: KafkaSettings, topics: list[str], connect: Connect
) -> list[Mapping[str, Any]]:
    admin = connect(settings)
    try:
        return admin.describe_topics(topics)
    finally:
        admin.close()


def judge_topic(entry: Mapping[str, Any]) -> Finding:
    """Return what the broker's metadata of a topic means for an agent. Pure."""
    name, code = entry["name"], entry["error_code"]
    subject = f"topic {name}"
    if code == UnknownTopicOrPartitionError.errno:
        step = "run `fleetgauge migrate` where the collector runs; or let this client describe it"
        return fail(subject, "is not there, or hidden from this client", step)
    if code == TopicAuthorizationFailedError.errno:
        return fail(subject, "may not be seen by this client", "grant it Write and Describe")
    if code:
        return fail(subject, f"has a problem: {for_code(code).__name__}", "look at the broker")
    leaderless = [p for p in entry["partitions"] if p.get("leader_id", -1) < 0]
    count = len(entry["partitions"])
    if leaderless:
        sentence = f"{len(leaderless)} of {count} partitions have no leader"
        return fail(subject, sentence, "bring the broker that held them back")
    allowed = entry.get("authorized_operations")
    if allowed is not None and OPERATIONS_WRITE.isdisjoint(allowed):
        return fail(subject, "may not be written by this client", "grant it Write and Describe")
    known = "" if allowed is None else ", may be written"
    return ok(subject, f"{count} partitions{known}")
