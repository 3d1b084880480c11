"""In and out of the parent's groups, in its order and within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.hop import until

from tiercast_protocol.errors import BrokerLost
from tiercast_protocol.node.grouptopics import MOST_GROUPS, GroupTopics
from tiercast_protocol.wire.messages import GroupJoin, GroupJoined, GroupLeave

LANE = b"lane"


class Link:
    """A connection that remembers what it hears, and refuses some."""

    def __init__(self) -> None:
        self.heard: set[int] = set()
        self.refused: set[int] = set()
        self.joined: list[int] = []
        self.topics = GroupTopics(self.subscribe, self.unsubscribe, self.tell)
        self.topics.new_lane(LANE)

    async def subscribe(self, group: int) -> None:
        self.heard.add(group)
        if group in self.refused:
            raise BrokerLost("mqtt://x", "refused")

    async def unsubscribe(self, group: int) -> None:
        self.heard.discard(group)
        if group in self.refused:
            raise BrokerLost("mqtt://x", "not connected")

    async def tell(self, message: GroupJoined) -> None:
        assert message.epoch == self.topics.epoch
        self.joined.append(message.group)


@asynccontextmanager
async def running() -> AsyncIterator[Link]:
    link = Link()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(link.topics.run())
        try:
            yield link
        finally:
            task.cancel()


async def test_moves_are_made_in_order_and_joining_is_told() -> None:
    async with running() as link:
        link.topics.move(GroupJoin(group=7, epoch=LANE))
        link.topics.move(GroupJoin(group=8, epoch=b"of another lane"))
        link.topics.move(GroupJoin(group=9, epoch=LANE))
        link.topics.move(GroupLeave(group=7, epoch=LANE))
        await until(lambda: link.topics.groups == {9})
        assert link.joined == [7, 9]
        assert link.heard == {9}


async def test_a_new_lane_is_in_no_group_and_forgets_what_was_asked_before() -> None:
    async with running() as link:
        for group in (1, 2, 3):
            link.topics.move(GroupJoin(group=group, epoch=LANE))
        await until(lambda: link.topics.groups == {1, 2, 3})
        link.refused.add(2)  # leaving fails half-way, and all the same every topic is given up
        link.topics.move(GroupJoin(group=4, epoch=LANE))
        link.topics.new_lane(b"next")
        link.topics.move(GroupJoin(group=5, epoch=b"next"))
        await until(lambda: link.topics.groups == {5})
        assert link.heard == {5}
        assert link.joined == [1, 2, 3, 5]


async def test_a_refused_topic_is_not_asked_for_at_the_next_connect() -> None:
    async with running() as link:
        link.refused.add(1)
        link.topics.move(GroupJoin(group=1, epoch=LANE))
        link.topics.move(GroupJoin(group=2, epoch=LANE))
        await until(lambda: link.joined == [2])
        assert link.heard == {2}


async def test_a_parent_that_invites_to_every_group_is_not_followed() -> None:
    async with running() as link:
        for first in range(100, 5000, 100):
            for group in range(first, first + 100):
                link.topics.move(GroupJoin(group=group, epoch=LANE))
            assert link.topics._moves.qsize() <= MOST_GROUPS
            await until(lambda: link.topics.settled)
        assert len(link.heard) <= MOST_GROUPS
