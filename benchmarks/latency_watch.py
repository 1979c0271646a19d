"""Eyes of the latency bench: on the database, on the live line, on the screen, on the webhook.

Owns noting when a tick of the probe is first seen in each place. A tick is named by its time to a
tenth of a second, which is what the pages carry.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import psycopg
from websockets.exceptions import WebSocketException

from benchmarks.chromium import HEIGHT_PX, WIDTH_PX, chromium, why_absent
from benchmarks.live_line import watch
from benchmarks.probe_hosts import FACILITY
from sql import queries

CHANNEL = "fleetgauge_stored"
LOOK_S = 0.2
JOIN_S = 15.0
BODY_BYTES_MAX = 1 << 20
# Notes, after the frame in which it was drawn, each new time in the row of the probe's facility.
NOTE_TICKS = """
window.noted = [];
(() => {
  let last = null;
  const look = () => {
    for (const row of document.querySelectorAll(".fleet-row")) {
      if (row.querySelector(".row-link")?.textContent !== "FACILITY") continue;
      const since = row.querySelector(".cell-age [data-since]")?.dataset.since;
      if (!since || since === last) continue;
      last = since;
      requestAnimationFrame(() => setTimeout(() => window.noted.push([since, Date.now()]), 0));
    }
  };
  new MutationObserver(look).observe(document, {
    subtree: true, childList: true, attributes: true, attributeFilter: ["data-since"],
  });
})();
""".replace("FACILITY", FACILITY)


@dataclass(slots=True)
class Seen:
    """Unix times: of readings by name, and at which they were seen; of Xids and their webhooks."""

    ticks: dict[str, float] = field(default_factory=dict)
    in_database: dict[str, float] = field(default_factory=dict)
    on_line: dict[str, float] = field(default_factory=dict)
    on_screen: dict[str, float] = field(default_factory=dict)
    xids: dict[str, float] = field(default_factory=dict)
    webhooks: dict[str, float] = field(default_factory=dict)

    def forget(self) -> None:
        """Begin anew."""
        for times in (self.ticks, self.in_database, self.on_line, self.on_screen):
            times.clear()


class Watchers:
    """All eyes, each on a thread, for as long as the block lasts."""

    def __init__(self, database_url: str, seen: Seen) -> None:
        self._url = database_url
        self._seen = seen
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._take_webhook))

    @property
    def webhook_address(self) -> str:
        """Where alerts are to be sent."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def __enter__(self) -> Self:
        self._start(self._server.serve_forever)
        self._start(self._watch_database)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._server.shutdown()
        for thread in self._threads:
            thread.join(JOIN_S)
        self._server.server_close()

    def look_at(self, address: str) -> list[str]:
        """Watch a dashboard's live line and, with a browser, its first page; say what is absent."""
        self._start(lambda: asyncio.run(self._watch_line(address)))
        absent = why_absent()
        if absent:
            return [absent]
        self._start(lambda: self._watch_screen(address))
        return []

    def stored_messages(self) -> int:
        """Return how many messages the collectors have stored."""
        with psycopg.connect(self._url) as connection:
            row = connection.execute(queries("bench")["stored_messages"]).fetchone()
        return int(row[0]) if row else 0

    def _start(self, task: Callable[[], Any]) -> None:
        thread = threading.Thread(target=task, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _watch_database(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"listen {CHANNEL}".encode())
            while not self._ending.is_set():
                if not list(connection.notifies(timeout=LOOK_S, stop_after=1)):
                    continue
                now_s = time.time()
                found = connection.execute(queries("bench")["newest_of"], {"facility": FACILITY})
                for (time_s,) in found:
                    self._seen.in_database.setdefault(f"{time_s:.1f}", now_s)

    async def _watch_line(self, address: str) -> None:
        with suppress(WebSocketException, OSError):
            async for heard in watch(address, "/"):
                if self._ending.is_set():
                    return
                rows = heard.decoded()["slots"].get("fleet-rows")
                for since in ages_of(rows, FACILITY):
                    self._seen.on_line.setdefault(since, heard.received_s)

    def _watch_screen(self, address: str) -> None:
        with chromium() as browser:
            context = browser.new_context(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
            page = context.new_page()
            page.add_init_script(NOTE_TICKS)
            page.goto(f"{address}/")
            while not self._ending.wait(LOOK_S):
                for since, at_ms in page.evaluate("() => window.noted.splice(0)"):
                    self._seen.on_screen.setdefault(since, at_ms / 1000)

    def _take_webhook(self, body: bytes, now_s: float) -> None:
        message = json.loads(body)
        if message.get("rule") == "fatal_xid" and message.get("status") == "firing":
            self._seen.webhooks.setdefault(str(message.get("facility")), now_s)


def ages_of(slot: Any, facility: str) -> Iterator[str]:
    """Yield the times in the row of a facility, out of a slot as a page gets it.

    A slot holds parts of {t: tag, a: attributes, c: children}; see `dashboard/markup.py`.
    """
    for row in _parts(slot["children"] if slot else None):
        if row["a"].get("class", "").startswith("fleet-row") and facility in _texts(row):
            for part in _parts(row):
                if "data-since" in part["a"]:
                    yield str(part["a"]["data-since"])


def _parts(content: Any) -> Iterator[dict[str, Any]]:
    """Yield a part and all parts inside it."""
    if isinstance(content, list):
        for inner in content:
            yield from _parts(inner)
    elif isinstance(content, dict):
        yield content
        yield from _parts(content["c"])


def _texts(part: dict[str, Any]) -> Iterator[str]:
    for inner in _parts(part):
        yield from (text for text in inner["c"] if isinstance(text, str))


def _handler(take: Callable[[bytes, float], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Takes every message and says yes."""

        def do_POST(self) -> None:
            now_s = time.time()
            size = min(int(self.headers.get("Content-Length", "0")), BODY_BYTES_MAX)
            take(self.rfile.read(size), now_s)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *_words: Any) -> None:  # noqa: A002 - the library's name
            """Keep standard error for progress."""

    return Handler
