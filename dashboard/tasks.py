"""Tasks of the event loop that are to end before what they work for goes."""

import asyncio
from typing import Any


async def end(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel tasks and wait until all have ended; what else the first ended with is raised.

    A cancel of the caller is raised too, once they have ended.
    """
    for task in tasks:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    for task in tasks:
        if not task.cancelled():
            task.result()
