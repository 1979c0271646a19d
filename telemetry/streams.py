"""The three streams between hosts and collectors: their names, topics and Kafka settings.

Owns what producers and consumers must agree on outside the message itself. The clients are
made by the programs.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec

from telemetry import kafka_door
from telemetry.errors import ConfigError

# A message of one host: 16 times what a DGX sends in ten seconds at 1 Hz.
MESSAGE_BYTES_MAX = 1 << 20


class Stream(StrEnum):
    """One topic and one sequence of messages a host."""

    SAMPLES = "samples"
    EVENTS = "events"
    QUEUES = "queues"


@dataclass(frozen=True, kw_only=True)
class KafkaSettings:
    """How to reach the broker. Any broker that speaks Kafka's protocol will do."""

    kafka_bootstrap: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[^\s,]+:\d{1,5}(,[^\s,]+:\d{1,5})*$",
            description="Kafka brokers as HOST:PORT, comma-separated",
        ),
    ] = "127.0.0.1:9092"
    kafka_topic_prefix: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[A-Za-z0-9._-]{1,100}$",
            description="topics are named PREFIX.samples, PREFIX.events and PREFIX.queues",
        ),
    ] = "fleetgauge"
    kafka_security_protocol: Annotated[
        str,
        msgspec.Meta(
            pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$",
            description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
        ),
    ] = "PLAINTEXT"
    kafka_ssl_ca_file: Annotated[
        str, msgspec.Meta(description="PEM file of the authority that signed the brokers")
    ] = ""
    kafka_ssl_certificate_file: Annotated[
        str, msgspec.Meta(description="PEM file of this client's certificate")
    ] = ""
    kafka_ssl_key_file: Annotated[
        str, msgspec.Meta(description="PEM file of this client's private key")
    ] = ""
    kafka_sasl_mechanism: Annotated[
        str,
        msgspec.Meta(
            pattern="^(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512)$",
            description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
        ),
    ] = "SCRAM-SHA-512"
    kafka_sasl_username: Annotated[str, msgspec.Meta(description="SASL user")] = ""
    kafka_sasl_password_file: Annotated[
        str, msgspec.Meta(description="file that holds the SASL password and nothing else")
    ] = ""

    def topic(self, stream: Stream) -> str:
        """Return the topic of a stream."""
        return f"{self.kafka_topic_prefix}.{stream}"

    def client_options(self) -> dict[str, Any]:
        """Return the arguments that every kafka-python client of this deployment takes.

        Raises:
            ConfigError: a file is missing, is not what it should be, or is open to everybody.
        """
        wrong = kafka_door.problems(self)
        if wrong:
            raise ConfigError(wrong)
        options: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap.split(","),
            "security_protocol": self.kafka_security_protocol,
        }
        if self.kafka_security_protocol in ("SSL", "SASL_SSL"):
            options |= {
                "ssl_cafile": self.kafka_ssl_ca_file or None,
                "ssl_certfile": self.kafka_ssl_certificate_file or None,
                "ssl_keyfile": self.kafka_ssl_key_file or None,
            }
        if self.kafka_security_protocol.startswith("SASL"):
            password = Path(self.kafka_sasl_password_file).read_text(encoding="utf-8").strip()
            options |= {
                "sasl_mechanism": self.kafka_sasl_mechanism,
                "sasl_plain_username": self.kafka_sasl_username,
                "sasl_plain_password": password,
            }
        return options


@dataclass(frozen=True, kw_only=True)
class DatabaseSettings:
    """How to reach PostgreSQL 16 or newer, with or without TimescaleDB."""

    database_url: Annotated[
        str,
        msgspec.Meta(description="libpq URL or key=value string; empty: libpq's own PG* variables"),
    ] = ""
