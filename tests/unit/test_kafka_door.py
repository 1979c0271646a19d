"""The files of the connection to Kafka: refused when wrong, watched while in use, never shown."""

import time
from pathlib import Path

import pytest

from agent.connection_files import LOOK_EVERY_S, WARN_EVERY_S, ConnectionFiles
from fleetgauge.__main__ import main
from simulator.services.kafka_security import Authority
from telemetry import kafka_door
from telemetry.errors import ConfigError
from telemetry.records import EventKind
from telemetry.streams import KafkaSettings


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def over_tls(authority: Authority, certificate: Path, key: Path) -> KafkaSettings:
    return KafkaSettings(
        kafka_security_protocol="SSL",
        kafka_ssl_ca_file=str(authority.certificate),
        kafka_ssl_certificate_file=str(certificate),
        kafka_ssl_key_file=str(key),
    )


def with_password(path: Path | str, user: str = "agent") -> KafkaSettings:
    return KafkaSettings(
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_username=user,
        kafka_sasl_password_file=str(path),
    )


def test_sound_files_are_used(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("agent-1")
    settings = over_tls(authority, certificate, key)
    assert kafka_door.problems(settings) == []
    assert settings.client_options()["ssl_certfile"] == str(certificate)
    assert kafka_door.principal_of(settings).startswith("certificate commonName=agent-1 (ends 20")
    password = tmp_path / "password"
    password.write_text("words\n")
    password.chmod(0o640)
    assert with_password(password).client_options()["sasl_plain_password"] == "words"


def test_t03_a_secret_that_everybody_may_read_is_refused(
    authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("agent-2")
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="everybody on this machine may use it"):
        over_tls(authority, certificate, key).client_options()
    password = tmp_path / "password"
    password.write_text("sesame")
    password.chmod(0o604)
    with pytest.raises(ConfigError) as caught:
        with_password(password).client_options()
    assert "kafka_sasl_password_file" in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_files_that_do_not_fit_are_named(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("agent-3")
    other, other_key = authority.issue("agent-4")
    cases = {
        "kafka_ssl_*_file": over_tls(authority, certificate, other_key),  # of another certificate
        "kafka_ssl_key_file": over_tls(authority, certificate, tmp_path / "absent"),
        "kafka_sasl_password_file": with_password(tmp_path / "absent"),
        "kafka_sasl_username": with_password(key, user=""),
        "kafka_ssl_certificate_file": KafkaSettings(
            kafka_security_protocol="SSL", kafka_ssl_certificate_file=str(other)
        ),
    }
    for name, settings in cases.items():
        (problem,) = kafka_door.problems(settings)
        assert problem.startswith(f"settings:{name}:"), problem
    swapped = over_tls(authority, key, certificate)
    certificate.chmod(0o600)
    assert kafka_door.problems(swapped)


def test_an_agent_does_not_start_with_files_that_are_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--kafka-security-protocol", "SASL_SSL", "--kafka-sasl-username", "a"]
    words += ["--kafka-sasl-password-file", str(tmp_path / "absent")]
    spool = ["--spool-path", str(tmp_path / "spool")]
    assert main(["agent", "--simulate", "h100", *words, *spool]) == 2
    assert "kafka_sasl_password_file" in capsys.readouterr().err


def test_f17_a_certificate_is_warned_of_fourteen_days_before_its_end(authority: Authority) -> None:
    certificate, key = authority.issue("agent-5", days=30)
    files = ConnectionFiles(over_tls(authority, certificate, key))
    today, day = time.time(), 86_400.0
    assert files.look(0.0, today) == (False, None)
    # Fifteen days before its end nothing is said; thirteen before, once a day.
    assert files.look(WARN_EVERY_S, today + 15 * day) == (False, None)
    _, warning = files.look(2 * WARN_EVERY_S, today + 17 * day)
    assert warning is not None
    assert warning.kind is EventKind.CERTIFICATE_EXPIRING
    assert warning.code in (12, 13)
    assert str(certificate) in warning.message
    assert files.look(2 * WARN_EVERY_S + LOOK_EVERY_S, today + 17 * day) == (False, None)
    _, again = files.look(3 * WARN_EVERY_S, today + 18 * day)
    assert again is not None


def test_f17_replaced_files_are_noticed(authority: Authority) -> None:
    certificate, key = authority.issue("agent-6", days=5)
    files = ConnectionFiles(over_tls(authority, certificate, key))
    _, warning = files.look(0.0, time.time())
    assert warning is not None
    authority.issue("agent-6", days=90)
    assert files.look(1.0, time.time()) == (False, None)  # not looked at yet
    assert files.look(LOOK_EVERY_S, time.time()) == (True, None)
    assert files.look(2 * LOOK_EVERY_S, time.time()) == (False, None)


def test_a_file_that_is_no_certificate_has_no_end(tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert kafka_door.read_certificate(str(junk)) is None
    assert kafka_door.read_certificate(str(tmp_path / "absent")) is None
    assert kafka_door.read_certificate("") is None
