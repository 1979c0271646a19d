"""The routes beside Dash's own: the live socket, binary frames, and where a map's seat leads.

Owns their protocol. A page opens one socket and says over it which view it shows; it is sent that
view's slots as they change, and the frames that its canvases are painted from. Dash's own callback
socket is not used: it keeps callbacks of closed tabs running, encodes once per viewer, and gives up
after a few minutes without a server.
"""

import asyncio
import contextlib

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from dashboard import rewind
from dashboard.access.audiences import Audiences
from dashboard.access.gate import Visit
from dashboard.access.routes import page_roles
from dashboard.broadcast import Broadcaster, TooManyViewers
from dashboard.maps import describe
from dashboard.markup import encode
from dashboard.shell import search
from dashboard.tasks import end
from dashboard.view import View

SUBSCRIPTION_BYTES_MAX = 4096
# A viewer that takes nothing for this long is cut off; it comes back by itself.
SEND_TIMEOUT_S = 20.0
# A socket whose page does not say what it shows is closed.
SUBSCRIBE_S_MAX = 20.0
# How often it is looked whether whoever opened a socket is still let in.
KNOWN_EVERY_S = 10.0


class Subscription(msgspec.Struct):
    """What a page says.

    Attributes:
        path: of the address that it shows.
        search: parameters of the address.
        ask: a number by which it knows the answers.
        frames: whether it takes frames over the socket; else it fetches them.
    """

    path: str
    search: str = ""
    ask: int = 0
    frames: bool = False


def add_routes(
    server: FastAPI,
    audiences: Audiences,
    paths: frozenset[str],
    build: str,
    *,
    can_log_out: bool,
) -> None:
    """Add the routes. `paths` are the pages that have a live view; a new `build` reloads them."""

    @server.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        visit: Visit = socket.scope["visit"]
        mine = frozenset(path for path in paths if visit.identity.role in page_roles(path))
        try:
            broadcaster = audiences.of(visit.identity.audience)
        except TooManyViewers as error:
            await _close(socket, 4429, str(error))
            return
        leaving = asyncio.create_task(_close_when_unknown(socket, visit))
        try:
            with contextlib.suppress(WebSocketDisconnect):
                await _serve(socket, audiences, broadcaster, mine, build)
        finally:
            await end(leaving)

    @server.get("/me")
    async def me(request: Request) -> Response:
        """Tell a page who looks at it."""
        identity = request.scope["visit"].identity
        shown = {"name": identity.name, "role": identity.role, "can_log_out": can_log_out}
        return Response(msgspec.json.encode(shown), media_type="application/json")

    @server.get("/frame/{name}")
    async def frame(request: Request, name: str) -> Response:
        content = audiences.of(request.scope["visit"].identity.audience).blob(name)
        if content is None:
            return Response(status_code=404)
        headers = {"content-encoding": "gzip", "cache-control": "private, max-age=60, immutable"}
        return Response(content, headers=headers, media_type="application/octet-stream")

    @server.get("/find")
    async def find(request: Request, q: str = "") -> Response:
        """Answer the search box."""
        broadcaster = await audiences.ready(request.scope["visit"].identity.audience)
        body = encode({"children": await search(q, broadcaster.sources())})
        return Response(body, media_type="application/json")

    @server.get("/cell")
    async def cell(request: Request, n: int, facility: str = "") -> Response:
        """Name what is in a cell of a mosaic: what a map shows under the pointer."""
        broadcaster = await audiences.ready(request.scope["visit"].identity.audience)
        picture = broadcaster.picture
        if facility and picture.facility(facility) is None:
            return Response(status_code=404)
        now_s = broadcaster.sources().now_s
        named = describe(picture, broadcaster.maps.of(picture, facility), n, now_s)
        if named is None:
            return Response(status_code=404)
        return Response(msgspec.json.encode(named), media_type="application/json")

    rewind.add_routes(server, audiences)


async def _serve(
    socket: WebSocket,
    audiences: Audiences,
    broadcaster: Broadcaster,
    paths: frozenset[str],
    build: str,
) -> None:
    """Send one view after the other, as the page asks for them, until it leaves."""
    sender: asyncio.Task[None] | None = None
    try:
        while True:
            async with asyncio.timeout(SUBSCRIBE_S_MAX if sender is None else None):
                wanted = _read(await _hear(socket), paths)
            if sender is not None:
                await end(sender)
            if wanted is None:
                await _close(socket, 4400)
                return
            mark = msgspec.json.encode({"ask": wanted.ask, "build": build})
            try:
                audiences.check_room()
            except TooManyViewers as error:
                await _close(socket, 4429, str(error))
                return
            view = View.parse(wanted.path, wanted.search)
            sender = asyncio.create_task(
                _send(socket, broadcaster, view, mark, with_frames=wanted.frames)
            )
    except TimeoutError:
        await _close(socket, 4408, "nothing was asked for")
    finally:
        if sender is not None:
            await end(sender)


async def _hear(socket: WebSocket) -> str:
    """Return what the page says; nothing where that is no text.

    Raises:
        WebSocketDisconnect: it has left, or was sent away while nobody listened.
    """
    try:
        message = await socket.receive()
    except RuntimeError as error:  # it was closed from here
        raise WebSocketDisconnect(1006) from error
    if message["type"] != "websocket.receive":
        raise WebSocketDisconnect(message.get("code", 1006))
    return message.get("text") or ""


async def _close(socket: WebSocket, code: int, reason: str = "") -> None:
    """Close a socket, whether or not the other side or somebody here has done so already."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(code, reason)


async def _close_when_unknown(socket: WebSocket, visit: Visit) -> None:
    """Close a socket when the login that opened it is over; looking counts as use of it."""
    while visit.is_known():  # noqa: ASYNC110 - a store is asked; nothing tells
        await asyncio.sleep(KNOWN_EVERY_S)
    await _close(socket, 4401, "this login is over")


def _read(text: str, paths: frozenset[str]) -> Subscription | None:
    """Return what a page subscribes to; None if it makes no sense."""
    if len(text) > SUBSCRIPTION_BYTES_MAX:
        return None
    try:
        wanted = msgspec.json.decode(text, type=Subscription)
    except msgspec.DecodeError:
        return None
    return wanted if wanted.path in paths else None


async def _send(
    socket: WebSocket, broadcaster: Broadcaster, view: View, mark: bytes, *, with_frames: bool
) -> None:
    """Send a view's updates until the page leaves; `mark` is a JSON object put into each message.

    A frame goes before the message that speaks of it, as its name and its gzipped bytes.
    """
    updates = broadcaster.updates(view)
    try:
        async for update in updates:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                for name, content in update.frames if with_frames else ():
                    await socket.send_bytes(name.encode() + content)
                await socket.send_text((update.message[:-1] + b"," + mark[1:]).decode())
    except TooManyViewers as error:
        await _close(socket, 4429, str(error))
    except TimeoutError:
        await _close(socket, 4408, "too slow")
    except (WebSocketDisconnect, RuntimeError):
        # Starlette raises RuntimeError when the other side has gone in the middle of a send.
        pass
    finally:
        await updates.aclose()  # type: ignore[attr-defined]
