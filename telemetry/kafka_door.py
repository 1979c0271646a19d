"""The files that open the way to the broker, and why it stays shut.

Owns what is checked of certificates, keys and passwords before a client is made, and the question
to the broker's door when a client gets no answer: kafka-python (3.0.12) says the same of a wrong
certificate, of a wrong password and of a broker that is away. What a file holds is never part of a
message.
"""

import os
import socket
import ssl
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from telemetry.streams import KafkaSettings

# So long before its end a certificate is warned of.
WARN_DAYS = 14
S_PER_DAY = 86_400
# A broker that does not like a certificate says so right after the handshake (TLS 1.3).
ALERT_WAIT_S = 1.0
CONNECT_S = 3.0


class Certificate(NamedTuple):
    """What a client's certificate says: whose it is, and when it ends, in seconds since 1970."""

    subject: str
    expires_s: float


def read_certificate(path: str) -> Certificate | None:
    """Return the first certificate of a PEM file; None where there is none to be read."""
    try:
        # The one reader in the standard library that takes a file; it has been there since 2.6.
        fields = ssl._ssl._test_decode_cert(path)  # type: ignore[attr-defined]  # noqa: SLF001
        subject = ",".join(f"{n}={v}" for part in fields["subject"] for n, v in part)
        return Certificate(subject, float(ssl.cert_time_to_seconds(fields["notAfter"])))
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def principal_of(settings: "KafkaSettings") -> str:
    """Return who the broker takes this client for, in words for a person."""
    if settings.kafka_security_protocol.startswith("SASL"):
        return f"user {settings.kafka_sasl_username}"
    if settings.kafka_security_protocol == "SSL" and settings.kafka_ssl_certificate_file:
        held = read_certificate(settings.kafka_ssl_certificate_file)
        if held is not None:
            return f"certificate {held.subject} (ends {_day(held.expires_s)})"
    return "this client"


def problems(settings: "KafkaSettings") -> list[str]:
    """Return what is wrong with the files, one line each: `settings:key: reason`."""
    found: list[str] = []
    protocol = settings.kafka_security_protocol
    if protocol.startswith("SASL"):
        if not settings.kafka_sasl_username:
            found.append(f"settings:kafka_sasl_username: must be given with {protocol}")
        found += _secret("kafka_sasl_password_file", settings.kafka_sasl_password_file, protocol)
    if protocol.endswith("SSL"):
        certificate, key = settings.kafka_ssl_certificate_file, settings.kafka_ssl_key_file
        if bool(certificate) != bool(key):
            found.append(
                "settings:kafka_ssl_certificate_file: goes together with kafka_ssl_key_file"
            )
        if key:
            found += _secret("kafka_ssl_key_file", key, protocol)
        if not found:
            found += _context_problems(settings)
    return found


def _secret(name: str, path: str, protocol: str) -> list[str]:
    if not path:
        return [f"settings:{name}: must be given with {protocol}"]
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            file.read(1)
    except OSError as error:
        return [f"settings:{name}: {path}: {error.strerror}"]
    if mode & stat.S_IRWXO:
        return [f"settings:{name}: {path}: everybody on this machine may use it; chmod o= it"]
    return []


def _context_problems(settings: "KafkaSettings") -> list[str]:
    try:
        _context(settings)
    except (OSError, ssl.SSLError) as error:
        # Missing, no PEM, or a key that is not the certificate's.
        return [f"settings:kafka_ssl_*_file: {error.strerror or error}"]
    return []


def _context(settings: "KafkaSettings") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.kafka_ssl_ca_file or None)
    if settings.kafka_ssl_certificate_file:
        context.load_cert_chain(settings.kafka_ssl_certificate_file, settings.kafka_ssl_key_file)
    return context


def stamp(settings: "KafkaSettings") -> tuple[int, ...]:
    """Return numbers that change when one of the files is replaced."""
    paths = (
        settings.kafka_ssl_ca_file,
        settings.kafka_ssl_certificate_file,
        settings.kafka_ssl_key_file,
        settings.kafka_sasl_password_file,
    )
    numbers: list[int] = []
    for path in paths:
        try:
            about = os.stat(path)  # noqa: PTH116 - an empty path is no file, and no error
            numbers += [about.st_mtime_ns, about.st_ino, about.st_size]
        except OSError:
            numbers.append(0)
    return tuple(numbers)


def days_left(settings: "KafkaSettings", now_s: float) -> float | None:
    """Return how long this client's certificate still holds; None without one."""
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    held = read_certificate(settings.kafka_ssl_certificate_file)
    return None if held is None else (held.expires_s - now_s) / S_PER_DAY


def why_shut(settings: "KafkaSettings") -> str:
    """Knock at the door of a broker that takes connections: a sentence where it sends us away.

    Empty where there is no lock (PLAINTEXT), or where TLS is as it should be and no password is
    asked for.
    """
    protocol, who = settings.kafka_security_protocol, principal_of(settings)
    if protocol.endswith("SSL"):
        trouble = _handshake(settings)
        if trouble:
            return (
                f"Kafka at {settings.kafka_bootstrap} refuses {principal_of(settings)}: {trouble}"
            )
    if protocol.startswith("SASL"):
        return (
            f"Kafka at {settings.kafka_bootstrap} does not answer {who}: its name, "
            f"its password or {settings.kafka_sasl_mechanism} is not what the broker expects"
        )
    return ""


def _handshake(settings: "KafkaSettings") -> str:
    """Return what TLS has against us, or empty; the first broker that answers decides."""
    for address in settings.kafka_bootstrap.split(","):
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        try:
            plain = socket.create_connection((host, int(port)), timeout=CONNECT_S)
        except OSError:
            continue
        try:
            with plain, _context(settings).wrap_socket(plain, server_hostname=host) as secured:
                secured.settimeout(ALERT_WAIT_S)
                secured.recv(1)
        except TimeoutError:
            return ""  # it waits for us to speak: the door is open
        except ssl.SSLCertVerificationError as error:
            return f"we do not trust its certificate ({error.verify_message})"
        except ssl.SSLError as error:
            return f"TLS: {error.reason or error}{_past_its_end(settings)}"
        except OSError as error:
            return f"it hangs up: {error.strerror or error}{_past_its_end(settings)}"
        return f"it hangs up after the handshake{_past_its_end(settings)}"
    return ""


def _past_its_end(settings: "KafkaSettings") -> str:
    held = read_certificate(settings.kafka_ssl_certificate_file)
    if held is None or held.expires_s > time.time():
        return ""
    return f"; our certificate ended on {_day(held.expires_s)}"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
