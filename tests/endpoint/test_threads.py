"""A cancelled task waits for its thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tiercast_endpoint.threads import in_thread


async def test_results_and_errors_come_back() -> None:
    assert await in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 7, 0)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancel_is_heard_when_the_thread_has_ended(fails: bool) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(60)
        ended.set()
        if fails:
            raise OSError("disk")

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(in_thread(work))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        await asyncio.wait([task], timeout=0.05)
        assert not task.done()
        go_on.set()
        await asyncio.wait([task], timeout=60)
        assert task.cancelled()
        assert ended.is_set()
