"""Apache Kafka 4 on one node (KRaft), run from the jars that `.ci/services` keeps.

The production broker for the tests that the in-memory one cannot answer: its log survives kill -9.
This file owns the node's folder and settings; topics belong to the programs.
"""

import base64
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

from simulator.services.broker import answers
from simulator.services.installed import installed
from simulator.services.kafka_security import Security
from simulator.services.place import ServiceError, free_port
from simulator.services.process import Command, ServiceProcess, run

_START_TIMEOUT_S = 60.0
_JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=CONTROLLER://127.0.0.1:{controller_port},{listeners}
advertised.listeners={advertised}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/log
auto.create.topics.enable=false
num.partitions=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
# Tests let a member be missed sooner than the six seconds that are the least by default.
group.min.session.timeout.ms=1000
{security}
"""
_PLAIN = "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"


class Kafka(ServiceProcess):
    """A single Kafka node on loopback whose log lives in a folder over restarts.

    Without a folder it works in a temporary one, which `stop` removes. Clients are told to come
    back to `advertised` (a proxy's address) where one is given. With `security` it also listens for
    TLS with client certificates and for SCRAM over TLS.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        advertised: str | None = None,
        security: Security | None = None,
    ) -> None:
        super().__init__("kafka")
        self._advertised = advertised
        self._security = security
        self._temporary = folder is None
        self._folder = folder
        self._port = free_port()
        self._ssl_port = free_port()
        self._sasl_port = free_port()
        self._controller_port = free_port()

    @property
    def address(self) -> str:
        """The bootstrap address, `host:port`."""
        return f"127.0.0.1:{self._port}"

    @property
    def ssl_address(self) -> str:
        """The same for clients with a certificate."""
        return f"127.0.0.1:{self._ssl_port}"

    @property
    def sasl_address(self) -> str:
        """The same for clients with a user and a password, over TLS."""
        return f"127.0.0.1:{self._sasl_port}"

    def start(self) -> None:
        """Format the log folder if it is new, start, and wait until the node serves metadata."""
        folder = self._folder = self._folder or Path(tempfile.mkdtemp(prefix="fleetgauge-kafka-"))
        folder.mkdir(parents=True, exist_ok=True)
        properties = folder / "server.properties"
        listeners = {"PLAINTEXT": self.address}
        if self._security is not None:
            listeners |= {"SSL": self.ssl_address, "SASL_SSL": self.sasl_address}
        advertised = listeners | {"PLAINTEXT": self._advertised or self.address}
        properties.write_text(
            _PROPERTIES.format(
                listeners=_joined(listeners),
                controller_port=self._controller_port,
                advertised=_joined(advertised),
                folder=folder.resolve(),
                security=self._security.properties() if self._security else _PLAIN,
            )
        )
        if not (folder / "log" / "meta.properties").exists():
            cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            format_log = ["format", f"--cluster-id={cluster_id}", f"--config={properties}"]
            format_log += self._security.format_arguments() if self._security else []
            run(_java(folder, "kafka.tools.StorageTool", *format_log), _START_TIMEOUT_S)
        command = _java(folder, "kafka.Kafka", str(properties))
        self._launch(command, lambda _: answers("127.0.0.1", self._port), _START_TIMEOUT_S)

    def stop(self, timeout_s: float = 20.0) -> None:
        """Shut the node down in order."""
        super().stop(timeout_s)
        if self._temporary and self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None


def _joined(listeners: Mapping[str, str]) -> str:
    return ",".join(f"{name}://{address}" for name, address in listeners.items())


def _java(folder: Path, main_class: str, *arguments: str) -> Command:
    """A Java program out of Kafka's jars."""
    java = shutil.which("java")
    if java is None:
        raise ServiceError("Apache Kafka needs Java 17: .ci/services installs it")
    jars = installed("kafka", "complete")
    argv = [java, *_JVM, _QUIET, "-cp", f"{jars}/*", main_class, *arguments]
    return Command(argv, folder / "kafka.log")
