"""Agent and collector against a real Kafka with TLS, passwords and ACLs: what opens, what does not.

One broker for all of it. Its plain listener is the administrator's.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ConfigResource,
    ConfigResourceType,
    KafkaAdminClient,
    NewPartitions,
    NewTopic,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
)

import agent.connection_files
import agent.kafka
from collector.consumer import Consumer
from collector.settings import CollectorSettings
from simulator.services.kafka import Kafka
from simulator.services.kafka_security import Authority, Security
from telemetry.streams import KafkaSettings, Stream
from tests.fix_agent_kafka import consume, make_topics, rig
from tests.fix_services import SERVICES
from tests.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning"),
    pytest.mark.usefixtures("sockets_left_by_the_client"),
]

USER, PASSWORD = "collector", "correct-horse"
DENIED = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
)


@dataclass(frozen=True)
class Secured:
    """A broker, who signs its clients' certificates, and where these lie."""

    kafka: Kafka
    authority: Authority
    folder: Path

    def client(self, name: str, prefix: str, days: int = 30) -> KafkaSettings:
        """The settings of a client with a certificate of its own, in files of its own."""
        certificate, key = self.authority.issue(f"{name}", days)
        return KafkaSettings(
            kafka_bootstrap=self.kafka.ssl_address,
            kafka_topic_prefix=prefix,
            kafka_security_protocol="SSL",
            kafka_ssl_ca_file=str(self.authority.certificate),
            kafka_ssl_certificate_file=str(certificate),
            kafka_ssl_key_file=str(key),
        )

    def allow(self, principal: str, kind: ResourceType, name: str, *operations: str) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.kafka.address)
        try:
            admin.create_acls([
                ACL(
                    f"User:{principal}", "*", ACLOperation[operation], ACLPermissionType.ALLOW,
                    ResourcePattern(kind, name),
                )
                for operation in operations
            ])  # fmt: skip
        finally:
            admin.close()

    def allow_agent(self, principal: str, settings: KafkaSettings) -> None:
        """What docs/security.md grants an agent."""
        for stream in Stream:
            self.allow(principal, ResourceType.TOPIC, settings.topic(stream), "WRITE", "DESCRIBE")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    if SERVICES != "all":
        pytest.skip("ACLs and certificates are Apache Kafka's: FLEETGAUGE_TEST_SERVICES=all")
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder)
    certificate, key = authority.issue("broker")
    keystore = folder / "broker.both.pem"
    keystore.write_text(key.read_text() + certificate.read_text())
    security = Security(keystore, authority.certificate, {USER: PASSWORD, "agent-sasl": PASSWORD})
    with Kafka(folder / "kafka", security=security) as kafka:
        yield Secured(kafka, authority, folder)


def secret(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute of waiting is right on a host, and too long here."""
    monkeypatch.setattr(agent.kafka, "FORBIDDEN_PAUSE_S", 1.0)
    monkeypatch.setattr(agent.connection_files, "LOOK_EVERY_S", 0.2)


def test_what_an_agent_sends_over_tls_a_collector_reads_with_a_password(
    secured: Secured, topic_prefix: str, tmp_path: Path
) -> None:
    settings = secured.client("agent-east", topic_prefix)
    make_topics(secured.kafka.address, settings)
    secured.allow_agent("agent-east", settings)
    for stream in Stream:
        secured.allow(USER, ResourceType.TOPIC, settings.topic(stream), "READ", "DESCRIBE")
    secured.allow(USER, ResourceType.GROUP, "collectors", "READ")
    with rig(tmp_path, settings) as bench:
        bench.write(5)
        until(bench.is_empty)
    consumer = Consumer(
        CollectorSettings(
            kafka_bootstrap=secured.kafka.sasl_address,
            kafka_topic_prefix=topic_prefix,
            kafka_security_protocol="SASL_SSL",
            kafka_ssl_ca_file=str(secured.authority.certificate),
            kafka_sasl_username=USER,
            kafka_sasl_password_file=secret(tmp_path / "password", PASSWORD + "\n"),
            collector_group="collectors",
        )
    )
    try:
        found = []

        def read() -> bool:
            found.extend(consumer.poll(0.2))
            if consumer.take_changes():
                consumer.read_from(dict.fromkeys(consumer.assigned(), 0))
            return len(found) >= 5

        until(read)
    finally:
        consumer.close()
    assert {record.stream for record in found} == {Stream.SAMPLES}


def test_t04_an_agents_certificate_may_write_its_topics_and_nothing_else(
    secured: Secured, topic_prefix: str, tmp_path: Path
) -> None:
    settings = secured.client("agent-west", topic_prefix)
    other = KafkaSettings(kafka_topic_prefix=f"{topic_prefix}-other")
    make_topics(secured.kafka.address, settings)
    make_topics(secured.kafka.address, other)
    secured.allow_agent("agent-west", settings)
    own, foreign = settings.topic(Stream.SAMPLES), other.topic(Stream.SAMPLES)
    for topic in (own, foreign):
        produce({"bootstrap_servers": secured.kafka.address}, topic)
    options = settings.client_options()
    admin = KafkaAdminClient(**options)
    granted = ACL(
        "User:agent-west", "*", ACLOperation.READ, ACLPermissionType.ALLOW,
        ResourcePattern(ResourceType.TOPIC, own),
    )  # fmt: skip
    every_acl = ACLFilter(
        None, "*", ACLOperation.ANY, ACLPermissionType.ANY,
        ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
    )  # fmt: skip
    attempts: dict[str, Callable[[], Any]] = {
        "write another's topic": lambda: produce(options, foreign),
        "write in a transaction": lambda: produce(options, own, transactional_id="mine"),
        "read its own topic": lambda: fetch(options, own),
        "read another's topic": lambda: fetch(options, foreign),
        "join the collectors' group": lambda: join(options, own),
        "see the collectors' offsets": lambda: admin.list_group_offsets({"collectors": None}),
        "describe the collectors' group": lambda: raising(admin.describe_groups(["collectors"])),
        "delete the collectors' group": lambda: raising(admin.delete_groups(["collectors"])),
        "see another's topic": lambda: raising(admin.describe_topics([foreign])),
        "make a topic": lambda: admin.create_topics([NewTopic(f"{topic_prefix}.new", 1, 1)]),
        "delete its own topic": lambda: admin.delete_topics([own]),
        "add partitions": lambda: admin.create_partitions({own: NewPartitions(9)}),
        "delete records": lambda: admin.delete_records({TopicPartition(own, 0): 0}),
        "see a topic's settings": lambda: shown(
            admin.describe_configs(
                [ConfigResource(ConfigResourceType.TOPIC, own)], config_filter="all"
            )
        ),
        "change a topic's settings": lambda: raising(
            admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, own, configs={"retention.ms": "1"})],
                raise_on_unknown=False,
            )
        ),
        "move a partition": lambda: raising(
            admin.alter_partition_reassignments({TopicPartition(own, 0): [1]})
        ),
        "see ACLs": lambda: admin.describe_acls(every_acl),
        "grant itself more": lambda: raising(admin.create_acls([granted])),
        "take ACLs away": lambda: raising(admin.delete_acls([every_acl])),
    }
    try:
        outcomes = {what: outcome(attempt) for what, attempt in attempts.items()}
    finally:
        admin.close()
    assert {what: said for what, said in outcomes.items() if said != "denied"} == {}
    assert len(outcomes) >= 15
    # And what it may do, it can.
    with rig(tmp_path, settings) as bench:
        bench.write(1)
        until(bench.is_empty)


def outcome(attempt: Callable[[], Any]) -> str:
    try:
        answer = attempt()
    except DENIED:
        return "denied"
    except KafkaError as error:
        return "denied" if any(kind.__name__ in str(error) for kind in DENIED) else repr(error)
    except (ValueError, RuntimeError) as error:
        return repr(error)
    return f"allowed: {answer!r}"


def raising(answer: Any) -> Any:
    """Raise what an answer holds instead of raising it itself."""
    text = repr(answer)  # error classes, codes or words, as each answer has it
    for kind in DENIED:
        if f"error_code': {kind.errno}" in text or kind.__name__ in text:
            raise kind(text)
    return answer


def shown(settings: dict[str, dict[str, dict[str, Any]]]) -> Any:
    """Raise where the broker has left a topic's settings out of its answer."""
    if not any(settings["topic"].values()):
        raise TopicAuthorizationFailedError
    return settings


def produce(options: dict[str, Any], topic: str, transactional_id: str | None = None) -> Any:
    producer = KafkaProducer(
        **options, transactional_id=transactional_id, max_block_ms=20_000,
        enable_idempotence=transactional_id is not None,
    )  # fmt: skip
    try:
        if transactional_id is not None:
            producer.init_transactions()
        return producer.send(topic, b"forged").get(20)
    finally:
        with suppress(KafkaError):
            producer.close(timeout=1)


def fetch(options: dict[str, Any], topic: str) -> Any:
    consumer = KafkaConsumer(**options, auto_offset_reset="earliest", enable_auto_commit=False)
    try:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek(TopicPartition(topic, 0), 0)
        return polled(consumer)
    finally:
        consumer.close()


def join(options: dict[str, Any], topic: str) -> Any:
    consumer = KafkaConsumer(topic, **options, group_id="collectors")
    try:
        return polled(consumer)
    finally:
        with suppress(KafkaError):
            consumer.close()


def polled(consumer: KafkaConsumer) -> Any:
    """Poll a topic that holds something; raise where nothing of it comes, as of a hidden one."""
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        if found := consumer.poll(timeout_ms=500):
            return found
    raise TopicAuthorizationFailedError


def test_f17_an_agent_without_an_acl_names_itself_and_the_topic_and_waits(
    secured: Secured,
    topic_prefix: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    impatient: None,
) -> None:
    settings = secured.client("agent-north", topic_prefix)
    make_topics(secured.kafka.address, settings)
    with rig(tmp_path, settings) as bench:
        bench.write(3)
        until(lambda: "does not let certificate commonName=agent-north" in caplog.text)
        assert f"write to {topic_prefix}.samples" in caplog.text
        assert bench.outbox.state().messages == 3
        secured.allow_agent("agent-north", settings)
        until(bench.is_empty)
    assert len(consume(secured.kafka.address, settings.topic(Stream.SAMPLES))) == 3


def test_f17_an_expired_certificate_is_named_with_its_end_and_replaced_without_a_restart(
    secured: Secured,
    topic_prefix: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    impatient: None,
) -> None:
    settings = secured.client("agent-south", topic_prefix, days=-1)
    make_topics(secured.kafka.address, settings)
    secured.allow_agent("agent-south", settings)
    with rig(tmp_path, settings) as bench:
        bench.write(3)
        until(lambda: "our certificate ended on" in caplog.text)
        assert "certificate commonName=agent-south (ends " in caplog.text
        assert bench.outbox.state().messages >= 3
        # A new one, in the same place.
        secured.authority.issue("agent-south")
        until(bench.is_empty)
    assert len(consume(secured.kafka.address, settings.topic(Stream.SAMPLES))) == 3
    assert caplog.text.count("our certificate ended on") <= 2


def test_f17_a_wrong_password_is_told_as_such_and_replaced_without_a_restart(
    secured: Secured,
    topic_prefix: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    impatient: None,
) -> None:
    password = tmp_path / "password"
    settings = KafkaSettings(
        kafka_bootstrap=secured.kafka.sasl_address,
        kafka_topic_prefix=topic_prefix,
        kafka_security_protocol="SASL_SSL",
        kafka_ssl_ca_file=str(secured.authority.certificate),
        kafka_sasl_username="agent-sasl",
        kafka_sasl_password_file=secret(password, "battery-staple"),
    )
    make_topics(secured.kafka.address, settings)
    secured.allow_agent("agent-sasl", settings)
    with rig(tmp_path, settings) as bench:
        bench.write(3)
        until(lambda: "does not answer user agent-sasl" in caplog.text)
        secret(password, PASSWORD)
        until(bench.is_empty)
    assert "battery-staple" not in caplog.text
    assert PASSWORD not in caplog.text


def test_f17_a_broker_whose_certificate_we_do_not_trust_is_not_spoken_to(
    secured: Secured,
    topic_prefix: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    impatient: None,
) -> None:
    settings = secured.client("agent-east", topic_prefix)
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "stranger")
    ours = tmp_path / "ca.pem"
    shutil.copy(stranger.certificate, ours)
    doubting = KafkaSettings(
        **{
            name: getattr(settings, name) for name in KafkaSettings.__dataclass_fields__
        } | {"kafka_ssl_ca_file": str(ours)}
    )  # fmt: skip
    make_topics(secured.kafka.address, settings)
    secured.allow_agent("agent-east", settings)
    with rig(tmp_path, doubting) as bench:
        bench.write(2)
        until(lambda: "we do not trust its certificate" in caplog.text)
        shutil.copy(secured.authority.certificate, ours)
        until(bench.is_empty)
