"""Telling the tree what the region decided, exactly as often as it takes.

Rules
- `put` writes the message in the transaction of the decision; nothing is told before that commits.
- `drain` tells in order and forgets afterwards, so a kill in between tells twice: the tree's calls are
  idempotent.  At start it runs once for whatever the last run left.
- What the tree refuses for good (it breaks the protocol, or its receiver is unknown by now) is logged and
  dropped, or it would block all that stands behind it; anything else is tried again.
"""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.errors import ProtocolError, TiercastError, UsageError
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import (
    CATALOGUE,
    KIND_OF,
    Admitted,
    Dismissed,
    JobShape,
    Message,
    OrderBundle,
    TokenIssued,
)
from tiercast_protocol.wire.site import BreakersOpened, SiteOrder
from tiercast_server.database.engine import Database
from tiercast_server.database.tables import handovers
from tiercast_server.tree import Tree

_log = structlog.get_logger(__name__)
_BATCH = 64
_RETRY_S = 2.0


async def put(connection: AsyncConnection, message: Message, *, receiver: str = "", cause: str = "") -> None:
    """Have `message` told after the open transaction; `receiver` for those that go to one node."""
    await connection.execute(
        insert(handovers).values(
            kind=KIND_OF[type(message)], receiver=receiver, cause=cause, body=codec.encode(message)
        )
    )


class Handover:
    """The one task that tells the tree."""

    def __init__(self, db: Database, tree: Tree) -> None:
        self._db = db
        self._tree = tree
        self._woken = asyncio.Event()
        self._lock = asyncio.Lock()

    def wake(self) -> None:
        """Something was put (and committed)."""
        self._woken.set()

    async def run(self) -> None:
        """For ever: tell what was put, as soon as it was."""
        while True:
            self._woken.clear()
            try:
                await self.drain()
            except TiercastError as error:
                _log.warning("handover failed, trying again", reason=str(error))
                await asyncio.sleep(_RETRY_S)
                continue
            await self._woken.wait()

    async def drain(self) -> int:
        """Tell everything that is put; how many messages that were.

        Raises:
            TiercastError: the tree can't take it now.
        """
        told = 0
        async with self._lock:
            while True:
                async with self._db.read() as connection:
                    query = select(handovers).order_by(handovers.c.id).limit(_BATCH)
                    rows = (await connection.execute(query)).all()
                if not rows:
                    return told
                done: list[int] = []
                try:
                    for row in rows:
                        await self._tell(row.kind, row.receiver, row.cause, row.body)
                        done.append(row.id)
                finally:
                    if done:
                        async with self._db.write() as connection:
                            await connection.execute(delete(handovers).where(handovers.c.id.in_(done)))
                told += len(done)

    async def _tell(self, kind: str, receiver: str, cause: str, body: bytes) -> None:
        try:
            message = codec.decode(body, CATALOGUE[kind])
            match message:
                case OrderBundle():
                    await self._tree.take_order(message, cause=cause)
                case Admitted():
                    await self._tree.admit(message)
                case Dismissed():
                    await self._tree.dismiss(message)
                case TokenIssued():
                    await self._tree.issue_token(message)
                case JobShape():
                    await self._tree.take_shape(message)
                case SiteOrder():
                    await self._tree.take_site(message, cause=cause)
                case BreakersOpened():
                    await self._tree.open_breakers(message)
                case _:
                    await self._tree.tell(receiver, message, cause=cause)
        except (ProtocolError, UsageError) as error:
            _log.error("handover refused, dropped", kind=kind, to=receiver, cause=cause, reason=str(error))
