"""Tasks of the event loop that are to end before what they work for goes."""

import asyncio
import contextlib
from typing import Any


async def end(task: "asyncio.Future[Any]") -> None:
    """Cancel a task and wait until it has ended; what else it ended with is raised."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
