"""The web application: Dash's pages on FastAPI, the broadcaster's life, and the guard around all.

Owns how the parts are put together. Pages are in `pages/`, live data in `broadcast.py`, routes
beside Dash's in `live.py`. Never run with Dash's debug mode: there is no switch for it.
"""

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, MutableMapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from dash import Dash, page_container, register_page
from dash.development.base_component import Component
from fastapi import FastAPI, Request, Response
from starlette.middleware.gzip import GZipMiddleware

from dashboard import acts, elements, export, program, shell
from dashboard.access.audiences import Audiences
from dashboard.access.gate import Door, Gate, OpenDoor
from dashboard.access.identity import LOCAL, Audience, asking
from dashboard.access.oidc import OidcDoor
from dashboard.access.proxy import ProxyDoor
from dashboard.access.routes import Routes, page_roles
from dashboard.access.sessions import Sessions
from dashboard.broadcast import Broadcaster, TooManyViewers
from dashboard.first import Site
from dashboard.guard import App, Guard, content_security_policy
from dashboard.live import add_routes
from dashboard.pages import PAGES
from dashboard.queries import Queries
from dashboard.settings import DashboardSettings
from dashboard.tasks import end
from dashboard.view import View
from telemetry.clock import SystemClock

ASSETS = Path(__file__).with_name("assets")


def build(settings: DashboardSettings) -> App:
    """Return the ASGI application of one process."""
    modules = {path: import_module(name) for path, name in PAGES.items()}
    clock = SystemClock()
    queries = Queries(settings, clock)
    renders = {path: module.render for path, module in modules.items()}

    def broadcaster(audience: Audience) -> Broadcaster:
        return Broadcaster(
            queries.seen_by(audience),
            renders,
            clock,
            tick_interval_s=settings.tick_interval_s,
            tick_fastest_s=settings.tick_fastest_s,
            cpu_s=time.process_time,
            viewers_max=settings.viewers_max,
            views_max=settings.views_max,
        )

    audiences = Audiences(
        broadcaster,
        clock,
        viewers_max=settings.viewers_max,
        audiences_max=settings.audiences_max,
    )
    sessions = Sessions(
        clock,
        file=settings.sessions_file,
        idle_s=settings.session_idle_s,
        absolute_s=settings.session_absolute_s,
    )
    door = _door(settings, sessions, clock)
    dash: list[Dash] = []

    @contextlib.asynccontextmanager
    async def lifespan(_server: FastAPI) -> AsyncIterator[None]:
        # Private, and the reason for the pin of Dash: what it does before its first request.
        # Without it a fresh process knows no callback and no page until somebody asks for one of
        # Dash's own routes; a deep link, or a page open during a restart, would stay broken.
        backend: Any = dash[0].backend
        for prepare in backend._before_request_funcs:  # noqa: SLF001
            await prepare() if inspect.iscoroutinefunction(prepare) else prepare()
        await queries.open()
        always = LOCAL.audience if settings.access == "none" else None
        task = asyncio.create_task(audiences.run(always))
        try:
            yield
        finally:
            await end(task)
            await queries.close()
            sessions.close()

    server = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    can_log_out = isinstance(door, OidcDoor)
    add_routes(server, audiences, frozenset(PAGES), version("fleetgauge"), can_log_out=can_log_out)
    export.add_routes(server, audiences)
    acts.add_routes(server, settings)
    if isinstance(door, OidcDoor):
        door.add_routes(server)
    server.add_exception_handler(TooManyViewers, _no_room)
    programs = [program.join(ASSETS, kind) for kind in program.MEDIA_TYPES]
    program.add_routes(server, programs)
    dash.append(_dash(server, modules, program.tags(programs)))
    server.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=3)
    gate = Gate(door, Routes(PAGES, with_login=bool(door.login_path)))
    return _guarded(server, dash[0], settings, gate)


async def _no_room(_request: Request, error: Exception) -> Response:
    body = msgspec.json.encode({"error": str(error)})
    return Response(body, status_code=503, media_type="application/json")


def _door(settings: DashboardSettings, sessions: Sessions, clock: SystemClock) -> Door:
    if settings.access == "oidc":
        return OidcDoor(settings, sessions, clock)
    return ProxyDoor(settings) if settings.access == "proxy" else OpenDoor()


def _dash(server: FastAPI, modules: dict[str, ModuleType], programs: tuple[str, str]) -> Dash:
    app = Site(
        "dashboard",
        server=server,  # type: ignore[arg-type]
        use_pages=True,
        # Not Dash's own discovery: it would import each page a second time under another name.
        pages_folder="",
        assets_folder=str(ASSETS),
        # Joined by `program.py`; the rest is asked for by its name.
        assets_ignore=r".",
        index_string=shell.index_string(version("fleetgauge")),
        title="Fleetgauge",
        update_title="",
        suppress_callback_exceptions=True,
        health_endpoint="healthz",
    )
    # Or else its renderer keeps a second socket open, which nothing here uses.
    app.backend.websocket_capability = False
    for order, (path, module) in enumerate(modules.items()):
        # Dash's own definition carries no types.
        register_page(  # type: ignore[no-untyped-call]
            module.__name__,
            path=path,
            name=module.NAME,
            title=f"{module.NAME} · Fleetgauge",
            order=order,
            layout=_layout(path, module),
        )

    def frame(content: Component = page_container) -> Component:
        open_ones = {path: module.NAME for path, module in modules.items() if _may_open(path)}
        return shell.layout(open_ones, content)

    def first(view: View) -> tuple[str, Component] | None:
        module = modules.get(view.path)
        if module is None:
            return None
        content = _layout(view.path, module)(**dict(view.parameters))
        return f"{module.NAME} · Fleetgauge", frame(content)

    app.layout = frame
    app.first = first
    app.programs = programs
    shell.add_callbacks(app)
    return app


def _layout(path: str, module: ModuleType) -> Any:
    """Return the layout function that Dash calls with the parameters of the address."""

    def layout(**values: object) -> Any:
        view = View.of(path, values)
        if not _may_open(path):
            return shell.page(view, [elements.empty("Not for your role", "Ask an administrator.")])
        return shell.page(view, module.layout(view))

    return layout


def _may_open(path: str) -> bool:
    """Whether whoever asks may open a page; Dash itself asks too, when it sets itself up."""
    identity = asking.get()
    return identity is None or identity.role in page_roles(path)


def _guarded(server: FastAPI, app: Dash, settings: DashboardSettings, gate: Gate) -> App:
    policies: list[str] = []
    shapes: MutableMapping[str, tuple[int, int]] = {}

    def policy() -> str:
        # Hashes are complete once Dash has set itself up, which the lifespan has seen to.
        if not policies:
            policies.append(content_security_policy(app.csp_hashes()))
        return policies[0]

    def callback_shapes() -> MutableMapping[str, tuple[int, int]]:
        if not shapes:
            for name, entry in app.callback_map.items():
                shapes[name] = (len(entry["inputs"]), len(entry["state"]))
        return shapes

    return Guard(
        server,
        gate=gate,
        host_names=settings.host_names,
        public_url=settings.public_url,
        body_bytes_max=settings.body_bytes_max,
        callback_shapes=callback_shapes,
        policy=policy,
    )
