"""The dashboard as it is served to browsers, in a thread of the test's own process.

`serve_dashboard(**settings)` returns the address of a running one; it ends with the test.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from dashboard.command import bind, web_server
from dashboard.settings import DashboardSettings

START_S_MAX = 30


class Serving:
    """One dashboard on loopback, on a free port unless one is given."""

    def __init__(self, port: int = 0, **settings: Any) -> None:
        chosen = DashboardSettings(listen_address=f"127.0.0.1:{port}", **settings)
        self._listener = bind(chosen)
        self._server = uvicorn.Server(web_server(chosen))
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))
        self.port = int(self._listener.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + START_S_MAX
        while not self._server.started:
            assert self._thread.is_alive(), "the dashboard did not start"
            assert time.monotonic() < deadline, "the dashboard took too long to start"
            time.sleep(0.02)

    @property
    def connections(self) -> set[Any]:
        """The connections that it has now."""
        return set(self._server.server_state.connections)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(START_S_MAX)
        self._listener.close()


@pytest.fixture
def serve_dashboard() -> Iterator[Callable[..., str]]:
    served: list[Serving] = []

    def serve(**settings: Any) -> str:
        served.append(Serving(**settings))
        served[-1].start()
        return served[-1].address

    yield serve
    for one in served:
        one.stop()
