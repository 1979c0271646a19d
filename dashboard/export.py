"""Downloads: the readings of one accelerator, and events, as CSV.

Owns the routes, how text is made harmless for spreadsheets, and their bounds: a download is read
in slices of a few minutes, so that no query is long and no answer is held in memory, at most a few
run at a time, and a longer range is cut to its newest part, which the file's name says.
"""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.responses import StreamingResponse

from dashboard import seat
from dashboard.access.audiences import Audiences
from dashboard.past import SAMPLES_SPAN_S_MAX
from dashboard.sources import Sources
from dashboard.view import View, Window
from dashboard.wording import iso
from telemetry.catalogue import CATALOGUE
from telemetry.errors import RetryableError
from telemetry.metrics import Group

AT_ONCE_MAX = 2
SLICE_S = {Group.FAST: 900, Group.SLOW: 6 * 3600}
SLICE_ROWS_MAX = 20_000
# What spreadsheets take for the beginning of a formula, full-width forms included.
# https://owasp.org/www-community/attacks/CSV_Injection
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
EVENT_COLUMNS = ("time", "host", "gpu", "kind", "code", "message", "detail")


def add_routes(server: FastAPI, audiences: Audiences) -> None:
    """Add the routes to the web application. Their addresses are those of the Hosts page."""
    busy: set[object] = set()

    @server.get("/export/samples.csv")
    async def samples(request: Request) -> Response:
        """Every reading of one accelerator in a range, in the driver's own units."""
        view = View.parse("/host", request.url.query)
        sources = (await audiences.ready(request.scope["visit"].identity.audience)).sources()
        gpu_id = _accelerator(sources, view)
        slow = request.query_params.get("group") == Group.SLOW
        if gpu_id is None:
            return _refused(404, "there is no such accelerator")
        window = _newest_part(view.window(sources.now_s))
        lines = _sample_lines(sources, gpu_id, Group.SLOW if slow else Group.FAST, window)
        kind = "slow" if slow else "samples"
        return _download(lines, busy, f"{view.get('host')}-gpu{view.get('gpu')}-{kind}", window)

    @server.get("/export/events.csv")
    async def events(request: Request) -> Response:
        """What happened on one host in a range, with all evidence."""
        view = View.parse("/host", request.url.query)
        sources = (await audiences.ready(request.scope["visit"].identity.audience)).sources()
        host = seat.find_host(sources.picture, view)
        if host is None:
            return _refused(404, "there is no such host")
        window = view.window(sources.now_s)
        lines = _event_lines(sources, host.host_id, window)
        return _download(lines, busy, f"{view.get('host')}-events", window)


def _accelerator(sources: Sources, view: View) -> int | None:
    host = seat.find_host(sources.picture, view)
    at = None if host is None else seat.find_gpu(sources.picture, host, view.get("gpu"))
    return None if at is None else int(sources.picture.gpu_ids[at])


def _newest_part(window: Window) -> Window:
    start_s = max(window.start_s, window.end_s - SAMPLES_SPAN_S_MAX)
    return Window(start_s, window.end_s, window.step_s, live=window.live)


def _refused(status: int, reason: str) -> Response:
    body = msgspec.json.encode({"error": reason})
    return Response(body, status_code=status, media_type="application/json")


def _download(
    lines: AsyncIterator[bytes], busy: set[object], name: str, window: Window
) -> Response:
    """Answer with a file whose name says what it is, and of when; refuse where too many run."""
    if len(busy) >= AT_ONCE_MAX:
        return _refused(429, f"{AT_ONCE_MAX} downloads run already; try again in a minute")
    ticket = object()
    busy.add(ticket)

    async def counted() -> AsyncIterator[bytes]:
        try:
            async for part in lines:
                yield part
        finally:
            busy.discard(ticket)

    start, end = (
        datetime.fromtimestamp(edge_s, UTC).strftime("%Y%m%dT%H%M%SZ")
        for edge_s in (window.start_s, window.end_s)
    )
    plain = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in name)
    headers = {
        "content-disposition": f'attachment; filename="{plain}-{start}-{end}.csv"',
        "cache-control": "no-store",
    }
    return StreamingResponse(counted(), media_type="text/csv; charset=utf-8", headers=headers)


async def _sample_lines(
    sources: Sources, gpu_id: int, group: Group, window: Window
) -> AsyncIterator[bytes]:
    names = [metric.name for metric in CATALOGUE.group(group)]
    yield line(["time", *names])
    start_s = window.start_s
    while start_s < window.end_s:
        end_s = min(start_s + SLICE_S[group], window.end_s)
        values = {"gpu_id": gpu_id, "start_s": start_s, "end_s": end_s, "limit": SLICE_ROWS_MAX}
        try:
            rows = await sources.queries.rows("host", f"raw_{group.value}", values)
        except RetryableError as error:
            yield line([f"incomplete: {error}"])
            return
        parts = [line([iso(row.time_s), *row[1:]]) for row in reversed(rows)]
        if parts:
            yield b"".join(parts)
        start_s = end_s


async def _event_lines(sources: Sources, host_id: int, window: Window) -> AsyncIterator[bytes]:
    yield line(EVENT_COLUMNS)
    values = {
        "host_id": host_id, "gpu_id": None, "start_s": window.start_s, "end_s": window.end_s,
    }  # fmt: skip
    try:
        rows = await sources.queries.rows("host", "events", values)
    except RetryableError as error:
        yield line([f"incomplete: {error}"])
        return
    for row in reversed(rows):
        detail = msgspec.json.encode(row.detail).decode() if row.detail else ""
        yield line([iso(row.time_s), row.host, row.index, row.kind, row.code, row.message, detail])


def cell(value: object) -> str:
    """Return one cell: numbers as they are, text quoted where it must be, and never a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    if text.startswith(FORMULA_STARTS):
        text = f"'{text}"
    if any(mark in text for mark in ',"\r\n'):
        text = '"' + text.replace('"', '""') + '"'
    return text


def line(values: Iterable[object]) -> bytes:
    """Return one line as RFC 4180 has it."""
    return (",".join(cell(value) for value in values) + "\r\n").encode()
