"""The end of tasks: what they work for goes after them, and a cancel of who waits is not lost."""

import asyncio

import pytest

from dashboard.tasks import end


async def slow_to_end(ended: list[str], name: str, leave: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await leave.wait()
        ended.append(name)


def test_all_tasks_have_ended_when_it_returns() -> None:
    async def scenario() -> list[str]:
        ended: list[str] = []
        leave = asyncio.Event()
        leave.set()
        tasks = [asyncio.create_task(slow_to_end(ended, name, leave)) for name in "ab"]
        await asyncio.sleep(0)
        await end(*tasks)
        await end(*tasks)  # and once more is no harm
        return ended

    assert sorted(asyncio.run(scenario())) == ["a", "b"]


def test_a_cancel_of_the_caller_is_kept_until_the_tasks_have_ended() -> None:
    async def scenario() -> tuple[bool, list[str]]:
        ended: list[str] = []
        leave = asyncio.Event()
        tasks = [asyncio.create_task(slow_to_end(ended, name, leave)) for name in "ab"]
        await asyncio.sleep(0)
        caller = asyncio.create_task(end(*tasks))
        await asyncio.sleep(0)
        for _ in range(3):
            caller.cancel()
            await asyncio.sleep(0)
        assert not caller.done()
        leave.set()
        await asyncio.wait({caller})
        return caller.cancelled(), ended

    cancelled, ended = asyncio.run(scenario())
    assert cancelled
    assert sorted(ended) == ["a", "b"]


def test_what_else_a_task_ended_with_is_raised() -> None:
    async def broken() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    async def scenario() -> None:
        task = asyncio.create_task(broken())
        await asyncio.sleep(0)
        await end(task)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(scenario())
