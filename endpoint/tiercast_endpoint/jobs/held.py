"""What the parent holds back: rollouts of which nothing more begins here (docs/jobs.md, "Rollouts").

Rules
- The word of the present parent counts, and of it the newest list; kept, so that a restart begins nothing either.
- It delays and does nothing else: who has begun goes on, a cancel and an expiry end who waits.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from functools import partial

from tiercast_protocol.content.jobs.breaker import rollout_of
from tiercast_protocol.content.jobs.reason import Reason, because
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.post import Post
from tiercast_protocol.node.upstream import Upstream
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import body_of
from tiercast_protocol.wire.site import HeldRollout, StartsHeld, of_row, row_of

SCHEMA = """
CREATE TABLE starts_held (parent TEXT PRIMARY KEY, seq INTEGER NOT NULL, held TEXT NOT NULL) WITHOUT ROWID;
"""


class Held:
    """The list of each parent.

    Args:
        db: the agent's journal.
        parent: the name of the present parent.
        act: called whenever what is held may be something else.
    """

    def __init__(self, db: Database, parent: Callable[[], str], act: Callable[[], None] = lambda: None) -> None:
        self._db, self._parent, self.act = db, parent, act
        self._lists: dict[str, tuple[int, dict[str, HeldRollout]]] = {}

    async def load(self) -> None:
        """Read what was said before the last stop; before any job is taken up."""
        rows = await self._db.read(lambda c: c.execute("SELECT parent, seq, held FROM starts_held").fetchall())
        for parent, seq, held in rows:
            self._lists[parent] = (seq, {one[0]: of_row(one) for one in json.loads(held)})

    async def take(self, peer: str, message: StartsHeld) -> None:
        """A parent's list; returns when it is kept."""
        known = self._lists.get(peer)
        if known is not None and known[0] >= message.seq:
            return
        self._lists[peer] = (message.seq, {one.rollout: one for one in message.held})
        self.act()
        rows = [row_of(one) for one in message.held]
        await self._db.write(partial(_put, peer, message.seq, json.dumps(rows)))

    async def moved(self) -> None:
        """Another parent is the present one."""
        self.act()

    def reason(self, options: Mapping[str, object]) -> Reason | None:
        """Why a job with these options may not begin here; None when it may."""
        rollout = rollout_of(options)
        if not rollout:
            return None
        held = self._lists.get(self._parent(), (0, {}))[1].get(rollout)
        if held is None:
            return None
        return because(
            "breaker.open", since=held.since, site=held.site, rollout=rollout, have=held.have, limit=held.limit
        )


async def loaded(db: Database, post: Post, upstream: Upstream) -> Held:
    """What was said before the last stop, and whatever comes from now on."""
    back = Held(db, lambda: upstream.parent)
    await back.load()

    async def on_held(peer: str, envelope: Envelope) -> None:
        await back.take(peer, body_of(envelope, StartsHeld))

    post.on("starts.held.v1", on_held)
    return back


def _put(parent: str, seq: int, held: str, c: sqlite3.Connection) -> None:
    c.execute("DELETE FROM starts_held WHERE parent != ? AND held = '[]'", (parent,))
    c.execute(
        "INSERT INTO starts_held (parent, seq, held) VALUES (?, ?, ?)"
        " ON CONFLICT (parent) DO UPDATE SET seq = excluded.seq, held = excluded.held",
        (parent, seq, held),
    )
