"""A webhook: the message as JSON by POST, signed.

Owns the request. The receiver can check that it came from us and is fresh:
`X-Fleetgauge-Signature` is `v1=` and the hexadecimal HMAC-SHA256 of `<timestamp>.<body>` with the
shared key, `X-Fleetgauge-Timestamp` the Unix time of sending; `Idempotency-Key` stays the same over
all tries. Nothing of the answer is kept but its number: no redirect is followed, its body is
read up to a limit without being unpacked, and all of it has one deadline.
"""

import asyncio
import hashlib
import hmac
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from alerts.notifiers import Delivery, Message, Outcome
from alerts.notifiers.address import (
    ForbiddenTarget,
    Policy,
    Resolve,
    Target,
    check_target,
    resolve_name,
)
from alerts.settings import AlertSettings, Receiver
from telemetry.clock import Clock, SystemClock

ANSWER_BYTES_MAX = 64 * 1024
RETRY_AFTER_MAX_S = 3600.0

# The same bytes would be refused again: bad request, too large, unprocessable.
_REFUSALS = frozenset({400, 413, 422})


class WebhookNotifier:
    """One URL."""

    def __init__(
        self,
        receiver: Receiver,
        settings: AlertSettings,
        *,
        clock: Clock | None = None,
        resolve: Resolve = resolve_name,
    ) -> None:
        self._url = receiver.url
        self._key_file = Path(receiver.secret_file) if receiver.secret_file else None
        self._timeout_s = settings.webhook_timeout_s
        self._policy = Policy(settings.allowed_networks(), settings.allowed_ports())
        self._clock = clock or SystemClock()
        self._resolve = resolve
        self._tls = ssl.create_default_context()

    def send(self, message: Message) -> Delivery:
        """POST the message; whatever goes wrong is in the answer, in words without secrets."""
        try:
            target = check_target(self._url, self._policy, self._resolve)
            headers = self._headers(message)
        except ForbiddenTarget as error:
            return Delivery(Outcome.RETRY, error=f"not allowed: {error}")
        except OSError as error:
            return Delivery(Outcome.RETRY, error=f"cannot start: {error.strerror or error}")
        try:
            return asyncio.run(self._post(target, headers, message.body.encode()))
        except TimeoutError:
            return Delivery(Outcome.RETRY, error=f"no answer within {self._timeout_s:g} s")
        except (httpx.HTTPError, ssl.SSLError, OSError) as error:
            # The library's words may hold the URL, and with it a token.
            return Delivery(Outcome.RETRY, error=f"the connection failed: {type(error).__name__}")

    def close(self) -> None:
        """Every delivery has a connection of its own; there is none to let go of."""

    async def _post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Delivery:
        # trust_env off: proxies and certificates of the environment would undo the guard.
        async with (
            asyncio.timeout(self._timeout_s),
            httpx.AsyncClient(
                verify=self._tls, trust_env=False, follow_redirects=False, timeout=self._timeout_s
            ) as client,
        ):
            request = client.build_request(
                "POST",
                target.pinned_url,
                headers={"Host": target.host_header, **headers},
                content=body,
                extensions={"sni_hostname": target.host},
            )
            response = await client.send(request, stream=True)
            read_bytes = 0
            async for chunk in response.aiter_raw():
                read_bytes += len(chunk)
                if read_bytes > ANSWER_BYTES_MAX:
                    break
            await response.aclose()
        return judge_answer(response.status_code, response.headers, self._now())

    def _headers(self, message: Message) -> dict[str, str]:
        timestamp = str(self._clock.now_us() // 1_000_000)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "fleetgauge-alerts",
            "Accept-Encoding": "identity",
            "Idempotency-Key": f"{message.dedup_key}/{message.message_id}",
            "X-Fleetgauge-Timestamp": timestamp,
        }
        if self._key_file is not None:
            # Read anew each time, so that a rotated key is used at once.
            key = self._key_file.read_bytes().strip()
            headers["X-Fleetgauge-Signature"] = sign(key, timestamp, message.body)
        return headers

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC)


def sign(key: bytes, timestamp: str, body: str) -> str:
    """Return the signature header of a body sent at a time."""
    signed = f"{timestamp}.{body}".encode()
    return f"v1={hmac.new(key, signed, hashlib.sha256).hexdigest()}"


def judge_answer(status: int, headers: Mapping[str, str], now: datetime) -> Delivery:
    """Say what an answer means: only a 2xx is a yes, and few are a no for ever."""
    if 200 <= status < 300:
        return Delivery(Outcome.DELIVERED, status)
    if status in _REFUSALS:
        return Delivery(Outcome.REFUSED, status, f"refused with {status}")
    if 300 <= status < 400:
        return Delivery(Outcome.RETRY, status, f"redirected with {status}, which is not followed")
    retry_after_s = _retry_after_s(headers.get("retry-after", ""), now)
    return Delivery(Outcome.RETRY, status, f"answered {status}", retry_after_s)


def _retry_after_s(text: str, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, which may be a number or a date."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(float(text), RETRY_AFTER_MAX_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), RETRY_AFTER_MAX_S)
