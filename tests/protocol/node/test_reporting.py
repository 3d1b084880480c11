"""Reports leave in order, few wait, and what had no room is said anew."""

from __future__ import annotations

import asyncio

from tests.support.hop import until

from tiercast_protocol.node.reporting import MOST_REPORTS, Reports
from tiercast_protocol.wire import codec, frame
from tiercast_protocol.wire.messages import Report


def report(number: int) -> Report:
    return Report(session=1, received=number, window=0)


async def test_they_leave_in_order_and_what_had_no_room_is_said_anew_once() -> None:
    sent: list[int] = []
    again: list[int] = []
    go = asyncio.Event()

    async def publish(payload: bytes) -> None:
        await go.wait()
        sent.append(codec.decode(frame.unguarded(payload), Report).received)

    reports = Reports(publish, lambda: again.append(len(sent)))
    for number in range(MOST_REPORTS + 10):
        reports.say(report(number))
    assert reports.waiting == MOST_REPORTS
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(reports.run())
        go.set()
        await until(lambda: len(again) == 1)
        assert sent == list(range(MOST_REPORTS))
        reports.say(report(999))
        await until(lambda: sent[-1] == 999)
        assert again == [MOST_REPORTS]
        running.cancel()
