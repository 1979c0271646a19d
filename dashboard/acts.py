"""What operators do about incidents: acknowledge, assign, comment, silence.

Owns the routes and the shape of what is sent. Whether it may be done and what is written, audit
included, is decided by functions in the database (`sql/migrations/*_acts.sql`), which is all that
the role used here may call; who may ask at all by `access/routes.py`.
"""

import logging
from typing import Annotated, Any

import msgspec
import psycopg
from dash import html
from dash.development.base_component import Component
from fastapi import FastAPI, Request, Response
from msgspec import Meta

import sql
from dashboard import elements
from dashboard.access.identity import OPERATORS, Identity, asking
from dashboard.settings import DashboardSettings
from dashboard.view import View

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 3
Words = Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"\S")]
Number = Annotated[int, Meta(gt=0, le=1 << 53)] | None


class _OnIncident(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The incident, by its own number or by that of one of its alerts."""

    incident: Number = None
    alert: Number = None

    def __post_init__(self) -> None:
        if (self.incident is None) == (self.alert is None):
            raise ValueError("give an incident or an alert")


class _Acknowledge(_OnIncident):
    comment: Annotated[str, Meta(max_length=1000)] = ""


class _Assign(_OnIncident):
    to: Annotated[str, Meta(min_length=1, max_length=120, pattern=r"\S")]


class _Comment(_OnIncident):
    comment: Words


class _Silence(_OnIncident):
    comment: Words
    hours: Annotated[float, Meta(gt=0, le=720)]


class _EndSilence(msgspec.Struct, forbid_unknown_fields=True):
    silence: Annotated[int, Meta(gt=0, le=1 << 53)]
    comment: Annotated[str, Meta(max_length=1000)] = ""


ACTS: dict[str, type[msgspec.Struct]] = {
    "acknowledge": _Acknowledge,
    "assign": _Assign,
    "comment": _Comment,
    "silence": _Silence,
    "end-silence": _EndSilence,
}


def add_routes(server: FastAPI, settings: DashboardSettings) -> None:
    """Add /act/{name}."""

    @server.post("/act/{name}")
    async def act(name: str, request: Request) -> Response:
        if name not in ACTS:
            return _answer(404, "there is no such act")
        try:
            asked = msgspec.json.decode(await request.body(), type=ACTS[name])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _answer(400, str(error))
        values = msgspec.to_builtins(asked)
        if any("\x00" in value for value in values.values() if isinstance(value, str)):
            return _answer(400, "no NUL in text")
        identity: Identity = request.scope["visit"].identity
        try:
            told = await _do(settings, identity, name.replace("-", "_"), values)
        except psycopg.Error as error:
            return _refused(error)
        log.info("%s by %r: %s", name, identity.name, told)
        return Response(msgspec.json.encode({"told": told}), media_type="application/json")


async def _do(
    settings: DashboardSettings, identity: Identity, name: str, values: dict[str, Any]
) -> str:
    """Run one act. Acts are rare: each has a connection of its own, which may write."""
    scope = {"tenant": identity.tenant, "facility": identity.facility, "role": str(identity.role)}
    statements = sql.queries("dashboard_acts")
    async with (
        await psycopg.AsyncConnection.connect(
            settings.database_url,
            connect_timeout=CONNECT_TIMEOUT_S,
            options=f"-c statement_timeout={settings.statement_timeout_ms} -c timezone=UTC"
            " -c application_name=fleetgauge-desk",
        ) as connection,
        connection.transaction(),
    ):
        await connection.execute(statements["enter"], scope)
        cursor = await connection.execute(statements[name], values | {"author": identity.name})
        row = await cursor.fetchone()
        return str(row[0]) if row else ""


def controls(view: View) -> Component | None:
    """Return the place where an operator acts on an incident; `assets/45-acts.js` fills it."""
    identity = asking.get()
    if identity is None or identity.role not in OPERATORS:
        return None
    key = "incident" if view.get("incident") else "alert"
    place = elements.attributes({f"data-{key}": view.get(key)})
    return elements.section("What to do", html.Div(id="acts", className="acts", **place))


def _refused(error: psycopg.Error) -> Response:
    """Say what the database made of it: its own sentences are for people."""
    statuses = {
        psycopg.errors.NoDataFound: 404,
        psycopg.errors.InsufficientPrivilege: 403,
        psycopg.errors.CheckViolation: 400,
        psycopg.DataError: 400,
    }
    status = next((code for kind, code in statuses.items() if isinstance(error, kind)), 503)
    if status == 503:
        log.warning("an act failed: %s", error)
        return _answer(503, "the database does not answer as it should")
    return _answer(status, error.diag.message_primary or "not accepted")


def _answer(status: int, reason: str) -> Response:
    body = msgspec.json.encode({"error": reason})
    return Response(body, status_code=status, media_type="application/json")
