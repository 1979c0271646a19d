"""A Kafka node's secured listeners: TLS with client certificates, SCRAM over TLS, and ACLs.

Owns the settings that a node needs for them, and the certificates, made by the `openssl` command.
The plain listener stays, for an administrator who may do everything; whoever comes over the others
may do what an ACL allows and nothing else.
"""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_SSL_PROPERTIES = """\
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.ssl.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


@dataclass(frozen=True, slots=True)
class Security:
    """What a secured node is started with.

    Attributes:
        keystore: PEM file with the node's private key and its certificate.
        authority: PEM file of who signs the clients' certificates.
        users: SCRAM users with their passwords, made when the log is formatted.
    """

    keystore: Path
    authority: Path
    users: Mapping[str, str] = field(default_factory=dict)

    def properties(self) -> str:
        """Return the node's settings."""
        return _SSL_PROPERTIES.format(keystore=self.keystore, authority=self.authority)

    def format_arguments(self) -> list[str]:
        """Return what makes the users when the log is formatted."""
        arguments = []
        for name, password in self.users.items():
            arguments += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
        return arguments


class Authority:
    """An authority of one's own: signs certificates of nodes and clients in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.certificate = folder / f"{name}.pem"
        self._folder = folder
        self._key = folder / f"{name}.key"
        _openssl(
            "req", "-x509", *_new_key(self._key), "-out", self.certificate, "-days", "3650",
            "-subj", f"/CN={name}",
        )  # fmt: skip

    def issue(self, name: str, days: int = 30, address: str = "127.0.0.1") -> tuple[Path, Path]:
        """Make a certificate for a name; return its file and that of its key.

        With -1 days it is past its end since yesterday.
        """
        key, request = self._folder / f"{name}.key", self._folder / f"{name}.csr"
        certificate = self._folder / f"{name}.pem"
        _openssl("req", *_new_key(key), "-out", request, "-subj", f"/CN={name}")
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName=IP:{address}\n")
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
            "-CAcreateserial", "-days", str(days), "-extfile", extensions, "-out", certificate,
        )  # fmt: skip
        return certificate, key


def _new_key(path: Path) -> list[str | Path]:
    return [
        "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", path,
    ]  # fmt: skip


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)  # noqa: S607
