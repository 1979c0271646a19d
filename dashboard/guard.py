"""The outermost layer of the web server: what every request and every answer must satisfy.

Owns Host and Origin checks, the body cap, the shape of callback bodies, and security headers.
Pure ASGI, so that pages, assets, sockets and Dash's own routes all pass through it.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CALLBACK_PATH = "/_dash-update-component"
# Dash opens this route by itself; no page of ours uses it (see `live.py`).
CLOSED_PATHS = ("/_dash-ws-callback",)
PART_MAX = 64


class _Property(msgspec.Struct):
    """One input, state or output of a callback body."""

    id: Annotated[str, msgspec.Meta(max_length=200)]
    property: Annotated[str, msgspec.Meta(max_length=100)]
    # The only callback that runs here is Dash's own router, which takes an address.
    value: Annotated[str, msgspec.Meta(max_length=4096)] | None = None


Properties = Annotated[list[_Property], msgspec.Meta(max_length=PART_MAX)]


class _CallbackBody(msgspec.Struct):
    """What Dash's renderer posts. Callbacks here use plain ids and flat lists."""

    output: Annotated[str, msgspec.Meta(max_length=1000)]
    outputs: _Property | Properties
    inputs: Properties
    changed: Annotated[list[str], msgspec.Meta(max_length=PART_MAX)] = msgspec.field(
        name="changedPropIds", default_factory=list
    )
    state: Properties = []


_DECODER = msgspec.json.Decoder(_CallbackBody)


def content_security_policy(script_hashes: Collection[str]) -> str:
    """Return the policy: everything from here, scripts by file or by hash, framed by nobody."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {' '.join(script_hashes)}",
            # Plotly and React size things through style attributes.
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
        host_names: Collection[str],
        body_bytes_max: int,
        callback_shapes: Callable[[], MutableMapping[str, tuple[int, int]]],
        policy: Callable[[], str],
    ) -> None:
        self._app = app
        self._host_names = host_names
        self._body_bytes_max = body_bytes_max
        self._callback_shapes = callback_shapes
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI calls it."""
        if scope["type"] == "websocket":
            await self._guard_socket(scope, receive, send)
        elif scope["type"] == "http":
            await self._guard_request(scope, receive, self._with_headers(send))
        else:
            await self._app(scope, receive, send)

    async def _guard_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = urlsplit(_header(scope, b"origin")).netloc
        host = _header(scope, b"host")
        refused = scope["path"] in CLOSED_PATHS or not self._knows(host) or origin != host
        if refused:
            await receive()
            await send({"type": "websocket.close", "code": 4403})
            return
        await self._app(scope, receive, send)

    async def _guard_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._knows(_header(scope, b"host")):
            await _answer(send, 421, "this name is not served here; see `allowed_hosts`")
            return
        if scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        body = await self._read(receive)
        if body is None:
            await _answer(send, 413, f"the body is larger than {self._body_bytes_max} bytes")
            return
        if scope["path"] == CALLBACK_PATH and (reason := self._odd(body)):
            await _answer(send, 400, reason)
            return
        await self._app(scope, _replay(body, receive), send)

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

    def _odd(self, body: bytes) -> str:
        """Say what is wrong with a callback body; empty if nothing is."""
        try:
            call = _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return f"not a callback: {error}"
        shape = self._callback_shapes().get(call.output)
        inputs = {f"{part.id}.{part.property}" for part in call.inputs}
        outputs = call.outputs if isinstance(call.outputs, list) else [call.outputs]
        wanted = [part.split("@")[0] for part in call.output.strip(".").split("...") if part]
        checks = (
            (shape is None, "there is no such callback"),
            (shape != (len(call.inputs), len(call.state)), "this callback takes other inputs"),
            (
                [f"{part.id}.{part.property}" for part in outputs] != wanted,
                "these are not its outputs",
            ),
            (not set(call.changed) <= inputs, "what changed is not among the inputs"),
            (not all(map(_is_sound, call.inputs)), "the address is not a path"),
        )
        return next((reason for is_odd, reason in checks if is_odd), "")

    def _with_headers(self, send: Send) -> Send:
        policy = self._policy()

        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {
                    b"content-security-policy": policy.encode(),
                    b"x-content-type-options": b"nosniff",
                    b"x-frame-options": b"DENY",
                    b"referrer-policy": b"no-referrer",
                    b"cross-origin-opener-policy": b"same-origin",
                    b"cross-origin-resource-policy": b"same-origin",
                    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
                }
                message["headers"] = [*message.get("headers", []), *own.items()]
            await send(message)

        return wrapped


def _is_sound(part: _Property) -> bool:
    return part.property != "pathname" or (part.value or "").startswith("/")


def _header(scope: Scope, name: bytes) -> str:
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else ""


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


async def _answer(send: Send, status: int, reason: str) -> None:
    body = msgspec.json.encode({"error": reason})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
