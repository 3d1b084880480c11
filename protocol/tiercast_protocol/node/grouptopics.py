"""Which of the parent's group topics this child hears (docs/protocol.md, section 6).

Rules
- Moves are made one after the other, in the parent's order; joining is said after the broker granted it.
- Every move belongs to a lane, named by its epoch.  A new lane means: out of all groups, and what was asked
  for in the old one is forgotten.
- Not joining costs speed, never content: the parent goes on with our own topic.  So moves that fail or
  are too many are left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from tiercast_protocol.errors import TiercastError
from tiercast_protocol.wire.messages import GroupJoin, GroupJoined, GroupLeave

log = structlog.get_logger(__name__)

#: Most groups of one parent, and most moves that wait.
MOST_GROUPS = 32


class GroupTopics:
    """The groups of one connection.

    Args:
        subscribe, unsubscribe: hear a group's topic, or no more; remembered over reconnects.
        joined: tells the parent.
    """

    def __init__(
        self,
        subscribe: Callable[[int], Awaitable[None]],
        unsubscribe: Callable[[int], Awaitable[None]],
        joined: Callable[[GroupJoined], Awaitable[None]],
    ) -> None:
        self.epoch = b""
        self.groups: set[int] = set()
        self._subscribe, self._unsubscribe, self._joined = subscribe, unsubscribe, joined
        self._moves: asyncio.Queue[GroupJoin | GroupLeave | None] = asyncio.Queue()

    @property
    def settled(self) -> bool:
        """Whether no move waits."""
        return self._moves.empty()

    def new_lane(self, epoch: bytes) -> None:
        """The parent has a new lane for us: out of all groups."""
        self.epoch = epoch
        while not self._moves.empty():
            self._moves.get_nowait()
        self._moves.put_nowait(None)

    def move(self, move: GroupJoin | GroupLeave) -> None:
        """Make this move after those before it."""
        if self._moves.qsize() < MOST_GROUPS:
            self._moves.put_nowait(move)

    async def run(self) -> None:
        """Make the moves, until cancelled."""
        while True:
            move = await self._moves.get()
            if isinstance(move, GroupJoin):
                await self._join(move)
                continue
            for group in list(self.groups) if move is None else [move.group]:
                await self._leave(group)

    async def _join(self, move: GroupJoin) -> None:
        if move.epoch != self.epoch or len(self.groups) >= MOST_GROUPS:
            return
        try:
            await self._subscribe(move.group)
        except (TiercastError, OSError) as error:
            log.warning("group.failed", group=move.group, error=str(error))
            await self._leave(move.group)  # else it would be subscribed to at the next connect
            return
        self.groups.add(move.group)
        await self._joined(GroupJoined(group=move.group, epoch=move.epoch))

    async def _leave(self, group: int) -> None:
        self.groups.discard(group)
        with suppress(TiercastError, OSError):
            await self._unsubscribe(group)
