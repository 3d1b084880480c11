"""Waiting for a job to change."""

import asyncio

from tiercast_server.changes import Changes


async def test_a_touch_between_looking_and_waiting_is_not_lost() -> None:
    changes = Changes()
    seen = changes.count("j")
    changes.touch("j")
    async with asyncio.timeout(60):
        await changes.wait("j", seen, timeout=60)


async def test_other_jobs_wake_nobody_and_time_does() -> None:
    changes = Changes()
    changes.touch("other")
    await changes.wait("j", 0, timeout=0.01)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(changes.wait("j", 0, timeout=60))
        await asyncio.sleep(0)
        changes.touch("other")
        changes.touch("j")
        await waiting


async def test_who_paces_himself_hears_of_the_end_at_once() -> None:
    changes = Changes()
    await changes.pace("j", 0.01)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        pacing = tasks.create_task(changes.pace("j", 60))
        await asyncio.sleep(0)
        changes.touch("j")
        await asyncio.sleep(0)
        assert not pacing.done()
        changes.end("other")
        changes.end("j")
        await pacing


async def test_any_of_several_jobs_wakes_who_waits_for_them() -> None:
    changes = Changes()
    seen = {"a": changes.count("a"), "b": changes.count("b")}
    await changes.wait_any(seen, timeout=0.01)
    changes.touch("b")
    async with asyncio.timeout(60):
        await changes.wait_any(seen, timeout=60)


async def test_who_waits_for_any_job_hears_of_every_one() -> None:
    changes = Changes()
    changes.touch("j")
    await changes.wait_touch(0, timeout=60)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(changes.wait_touch(changes.touches(), timeout=60))
        await asyncio.sleep(0)
        assert not waiting.done()
        changes.touch("other")
        await waiting
