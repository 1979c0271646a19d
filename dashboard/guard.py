"""The outermost layer of the web server: what every request and every answer must satisfy.

Owns Host and Origin checks, the body cap, how long a body and an answer may take, and security
headers; who may ask for what is decided by `access/gate.py`, and answered here.
Pure ASGI, so that pages, assets, sockets and Dash's own routes all pass through it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from dashboard.access.gate import Gate, Refusal
from dashboard.access.identity import asking
from dashboard.callback_body import Shapes, odd
from dashboard.tasks import end

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CALLBACK_PATH = "/_dash-update-component"
PROGRAM_FOLDERS = ("/assets/", "/_dash-component-suites/")
# A client that takes longer to send a body is cut off; for its head see `connections.py`.
BODY_S_MAX = 15.0
# An answer that has not begun by then is given up, and so is what it waits for.
ANSWER_S_MAX = 30.0
# Closing codes of a socket say the same as statuses of a request.
CLOSE_CODE = 4000


def content_security_policy(script_hashes: Collection[str]) -> str:
    """Return the policy: everything from here, scripts by file or by hash, framed by nobody."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {' '.join(script_hashes)}",
            # Not ours to do without: dcc and the renderer put 20 style elements into each page, and
            # Plotly sets up to 46 style attributes as markup, as Chromium counts them.
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self'",
            "connect-src 'self'",
            "worker-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


class Guard:
    """Refuses what is malformed, and adds the security headers to what is answered."""

    def __init__(
        self,
        app: App,
        *,
        gate: Gate,
        host_names: Collection[str],
        public_url: str,
        body_bytes_max: int,
        callback_shapes: Callable[[], Shapes],
        policy: Callable[[], str],
    ) -> None:
        self._app = app
        self._gate = gate
        self._host_names = host_names
        self._public_url = public_url.rstrip("/")
        self._body_bytes_max = body_bytes_max
        self._callback_shapes = callback_shapes
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI calls it."""
        if scope["type"] == "websocket":
            await self._guard_socket(scope, receive, send)
        elif scope["type"] == "http":
            await self._guard_request(scope, receive, self._with_headers(scope, send))
        else:
            await self._app(scope, receive, send)

    async def _guard_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal: Refusal | None = None
        if not self._knows(_header(scope, b"host")) or not self._is_own_origin(scope):
            refusal = Refusal(403, "this socket is for our own pages")
        elif isinstance(verdict := self._gate.decide(scope), Refusal):
            refusal = verdict
        else:
            scope["visit"] = verdict
        if refusal is not None:
            await receive()
            await send({"type": "websocket.close", "code": CLOSE_CODE + refusal.status})
            return
        await self._app(scope, receive, send)

    async def _guard_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._knows(_header(scope, b"host")):
            await _answer(send, 421, "this name is not served here; see `allowed_hosts`")
            return
        verdict = self._gate.decide(scope)
        if isinstance(verdict, Refusal):
            await _answer(send, verdict.status, verdict.reason, verdict.location)
            return
        scope["visit"] = verdict
        token = asking.set(verdict.identity if verdict else None)
        try:
            if scope["method"] in ("GET", "HEAD"):
                await self._answer_while_wanted(scope, b"", receive, send)
            else:
                await self._guard_body(scope, receive, send)
        finally:
            asking.reset(token)

    async def _guard_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_of_own_page(scope):
            await _answer(send, 403, "this is for our own pages")
            return
        if _header(scope, b"content-type").partition(";")[0].strip() != "application/json":
            await _answer(send, 415, "send JSON")
            return
        if _header(scope, b"content-encoding"):
            await _answer(send, 415, "send it as it is")
            return
        try:
            async with asyncio.timeout(BODY_S_MAX):
                body = await self._read(receive)
        except TimeoutError:
            await _answer(send, 408, f"the body took longer than {BODY_S_MAX:.0f} s")
            return
        if body is None:
            await _answer(send, 413, f"the body is larger than {self._body_bytes_max} bytes")
            return
        if scope["path"] == CALLBACK_PATH and (reason := odd(body, self._callback_shapes())):
            await _answer(send, 400, reason)
            return
        await self._answer_while_wanted(scope, body, receive, send)

    async def _answer_while_wanted(
        self, scope: Scope, body: bytes, receive: Receive, send: Send
    ) -> None:
        """Have the application answer, until it has or nobody waits for it any more.

        What it waits for ends with it: psycopg cancels the statement of a cancelled task.
        """
        gone = asyncio.create_task(_gone(receive))
        is_begun = is_whole = False

        async def watched(message: Message) -> None:
            nonlocal is_begun, is_whole
            if not is_begun:
                is_begun = True
                patience.reschedule(None)
            is_whole = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        answering = asyncio.ensure_future(self._app(scope, _replay(body, gone), watched))
        try:
            async with asyncio.timeout(ANSWER_S_MAX) as patience:
                await asyncio.wait({gone, answering}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done() or is_whole:
                await answering
        except TimeoutError:
            if is_begun:
                raise
            if not answering.done():
                await end(answering)
            await _answer(send, 503, f"there is no answer within {ANSWER_S_MAX:.0f} s")
        finally:
            await end(*(task for task in (gone, answering) if not task.done()))

    def _is_own_origin(self, scope: Scope) -> bool:
        """Whether a page of ours asks. Browsers send the origin with sockets and changes."""
        origin = _header(scope, b"origin")
        parts = urlsplit(origin)
        return bool(origin) and (
            origin == self._public_url
            or (parts.scheme in ("http", "https") and parts.netloc == _header(scope, b"host"))
        )

    def _is_of_own_page(self, scope: Scope) -> bool:
        """Whether a change is asked for by a page of ours, or by no browser at all."""
        names = {key for key, _ in scope["headers"]}
        site = _header(scope, b"sec-fetch-site")
        if b"sec-fetch-site" in names and site not in ("same-origin", "none"):
            return False
        if b"origin" in names:
            return self._is_own_origin(scope)
        # No browser sends a change without either; but only reading is done for what is no browser.
        return site == "same-origin" or scope["path"] == CALLBACK_PATH

    def _knows(self, host: str) -> bool:
        return (urlsplit(f"//{host}").hostname or "") in self._host_names

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the whole body; None if it is too large."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b""
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._body_bytes_max:
                return None
            if not message.get("more_body"):
                return b"".join(parts)

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        policy = self._policy()
        # Scripts and styles are the same for all who may have them, and come with every page.
        is_program = scope["path"].startswith(PROGRAM_FOLDERS)

        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [*message.get("headers", [])]
                own = {
                    b"content-security-policy": policy.encode(),
                    b"x-content-type-options": b"nosniff",
                    b"x-frame-options": b"DENY",
                    b"referrer-policy": b"no-referrer",
                    b"cross-origin-opener-policy": b"same-origin",
                    b"cross-origin-resource-policy": b"same-origin",
                    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
                    b"vary": b"Cookie",
                }
                if not is_program and all(key.lower() != b"cache-control" for key, _ in given):
                    own[b"cache-control"] = b"no-store"
                message["headers"] = [*given, *own.items()]
            await send(message)

        return wrapped


def _header(scope: Scope, name: bytes) -> str:
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else ""


def _replay(body: bytes, gone: "asyncio.Task[Message]") -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await asyncio.shield(gone)

    return replayed


async def _gone(receive: Receive) -> Message:
    """Return when the other side has left, or has got its answer."""
    while (message := await receive())["type"] == "http.request":
        pass
    return message


async def _answer(send: Send, status: int, reason: str, location: str = "") -> None:
    body = msgspec.json.encode({"error": reason})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if location:
        headers.append((b"location", location.encode("latin-1", "replace")))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
