"""What answers mean, how long a receiver is left alone, and how a notice is signed."""

import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.notifiers import NOTIFIERS, Delivery, Outcome, make_notifier
from alerts.notifiers.webhook import judge_answer, sign
from alerts.sender import pause_after
from alerts.settings import AlertSettings, Receiver

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_2xx_is_a_yes(status: int) -> None:
    assert judge_answer(status, {}, NOW).outcome is Outcome.DELIVERED


@pytest.mark.parametrize("status", [400, 413, 422])
def test_the_same_bytes_are_not_sent_again_where_they_were_the_trouble(status: int) -> None:
    assert judge_answer(status, {}, NOW).outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    "status", [100, 301, 302, 307, 308, 401, 403, 404, 408, 410, 425, 429, 500, 502, 503, 504, 599]
)
def test_everything_else_is_tried_again(status: int) -> None:
    assert judge_answer(status, {}, NOW).outcome is Outcome.RETRY


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30), ("0", 0), ("99999", 3600), ("Sun, 01 Nov 2026 12:01:00 GMT", 60),
        ("Sun, 01 Nov 2026 11:00:00 GMT", 0), ("soon", None), ("", None), ("-5", None),
        ("1e9", None), ("٣", None),
    ],
)  # fmt: skip
def test_a_receiver_may_ask_to_be_left_alone_but_not_for_ever(
    text: str, seconds: float | None
) -> None:
    assert judge_answer(429, {"retry-after": text}, NOW).retry_after_s == seconds


FAILED = Delivery(Outcome.RETRY)


def test_pauses_double_up_to_their_limit() -> None:
    pauses = [pause_after(attempt, FAILED, 60, 1.0) for attempt in range(1, 10)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_pause_is_never_shorter_than_the_receiver_asked() -> None:
    assert pause_after(1, Delivery(Outcome.RETRY, retry_after_s=120), 60, 0.5) == 120


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_pause_has_luck_in_it_and_stays_bounded(attempts: int, luck: float) -> None:
    pause_s = pause_after(attempts, FAILED, 300, luck)
    assert 0.5 <= pause_s <= 300
    assert pause_after(attempts, FAILED, 300, 0) <= pause_s


def test_the_signature_covers_the_time_and_the_body() -> None:
    expected = hmac.new(b"key", b'1793534400.{"a":1}', hashlib.sha256).hexdigest()
    assert sign(b"key", "1793534400", '{"a":1}') == f"v1={expected}"
    assert sign(b"key", "1793534401", '{"a":1}') != f"v1={expected}"


@pytest.mark.parametrize("kind", NOTIFIERS)
def test_every_kind_of_receiver_can_be_made(kind: str) -> None:
    receiver = Receiver(kind=kind, url="https://example.com/")  # type: ignore[arg-type]
    notifier = make_notifier(receiver, AlertSettings())
    notifier.close()
