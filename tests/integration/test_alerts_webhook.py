"""One try at a time, to a real socket that behaves badly."""

import hashlib
import hmac
import time
from pathlib import Path
from typing import Any

import pytest

from alerts.notifiers import Message, Outcome
from alerts.notifiers.webhook import WebhookNotifier
from alerts.settings import AlertSettings
from alerts.settings import Receiver as ReceiverSettings
from tests.fix_receiver import Behaviour, Receiver, answer, babble, drip, flood, hang_up

LOOPBACK = "127.0.0.0/8,::1/128"


def notifier(url: str, *, secret_file: str = "", **settings: Any) -> WebhookNotifier:
    record = AlertSettings(**{
        "webhook_allow_networks": LOOPBACK, "webhook_timeout_s": 1.0, **settings,
    })  # fmt: skip
    return WebhookNotifier(ReceiverSettings(url=url, secret_file=secret_file), record)


MESSAGE = Message(7, "fleetgauge/gpu_lost/1", '{"summary": "é"}')


# F44, T13: what one try comes to.


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (answer(204), Outcome.DELIVERED),
        (answer(200, b"ok"), Outcome.DELIVERED),
        (answer(200, b'{"error": "nope"}'), Outcome.DELIVERED),
        (answer(200, b"\x1f\x8b" + b"\x00" * 100, Content_Encoding="gzip"), Outcome.DELIVERED),
        (flood, Outcome.DELIVERED),
        (answer(400), Outcome.REFUSED),
        (answer(429, Retry_After="7"), Outcome.RETRY),
        (answer(500, b"trace"), Outcome.RETRY),
        (answer(302, Location="http://169.254.169.254/latest/"), Outcome.RETRY),
        (answer(307, Location="/elsewhere"), Outcome.RETRY),
        (hang_up, Outcome.RETRY),
        (drip, Outcome.RETRY),
        (babble, Outcome.RETRY),
    ],
)
def test_f44_whatever_a_receiver_does_the_try_ends_soon_and_is_judged(
    receiver: Receiver, behaviour: Behaviour, outcome: Outcome
) -> None:
    receiver.script = [behaviour]
    delivery = notifier(receiver.url).send(MESSAGE)
    assert delivery.outcome is outcome
    assert len(receiver.received) == 1, "a redirect was followed, or it was sent twice"
    assert "canary" not in (delivery.error or "")


def test_f44_a_receiver_that_drips_is_cut_off_at_the_deadline(receiver: Receiver) -> None:
    receiver.script = [drip]
    started_s = time.monotonic()
    delivery = notifier(receiver.url, webhook_timeout_s=0.5).send(MESSAGE)
    assert delivery.error == "no answer within 0.5 s"
    # It drips for 30 s; the bound is wide because the machine may be busy.
    assert time.monotonic() - started_s < 20


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/", "connection failed"),
        ("https://127.0.0.1:1/", "connection failed"),
        ("http://10.0.0.1/", "not allowed"),
        ("http://[::ffff:10.0.0.1]/", "not allowed"),
        ("https://169.254.169.254/", "not allowed"),
        ("https://nowhere.invalid/", "cannot start"),
    ],
)
def test_where_it_cannot_go_it_says_so(url: str, words: str) -> None:
    delivery = notifier(url).send(MESSAGE)
    assert delivery.outcome is Outcome.RETRY
    assert words in (delivery.error or "")


def test_https_is_spoken_with_a_check_of_the_certificate(receiver: Receiver) -> None:
    delivery = notifier(receiver.url.replace("http:", "https:")).send(MESSAGE)
    assert delivery.outcome is Outcome.RETRY
    assert receiver.received == []


def test_a_name_is_asked_once_and_the_connection_goes_to_the_answer(receiver: Receiver) -> None:
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    record = AlertSettings(webhook_allow_networks=LOOPBACK)
    url = f"http://hooks.example.com:{receiver.server_port}/in"
    delivery = WebhookNotifier(ReceiverSettings(url=url), record, resolve=resolve).send(MESSAGE)
    assert delivery.outcome is Outcome.DELIVERED
    assert asked == ["hooks.example.com"]
    headers = receiver.received[0].headers
    assert headers["Host"] == f"hooks.example.com:{receiver.server_port}"


def test_proxies_of_the_environment_are_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert notifier(receiver.url).send(MESSAGE).outcome is Outcome.DELIVERED


def test_what_is_sent_is_signed_and_recognisable(receiver: Receiver, tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("sesame\n")
    sending = notifier(receiver.url, secret_file=str(secret))
    sending.send(MESSAGE)
    secret.write_text("rotated")
    sending.send(MESSAGE)
    for got, key in zip(receiver.received, (b"sesame", b"rotated"), strict=True):
        assert got.body == MESSAGE.body.encode()
        assert got.headers["Content-Type"] == "application/json"
        assert got.headers["Idempotency-Key"] == "fleetgauge/gpu_lost/1/7"
        signed = got.headers["X-Fleetgauge-Timestamp"].encode() + b"." + got.body
        expected = hmac.new(key, signed, hashlib.sha256).hexdigest()
        assert got.headers["X-Fleetgauge-Signature"] == f"v1={expected}"


def test_a_key_that_cannot_be_read_sends_nothing_unsigned(
    receiver: Receiver, tmp_path: Path
) -> None:
    secret = tmp_path / "key"
    secret.write_text("sesame")
    sending = notifier(receiver.url, secret_file=str(secret))
    secret.unlink()
    assert sending.send(MESSAGE).outcome is Outcome.RETRY
    assert receiver.received == []
