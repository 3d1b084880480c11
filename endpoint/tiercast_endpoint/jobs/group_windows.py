"""The windows of this machine's groups, as the region told them (docs/jobs.md, "Groups").

Rules
- Only the region's signed word for this node at its generation counts, and of those the one that was issued last.
- It is kept before it is acknowledged; a restart installs nothing outside of it either.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from functools import partial

from tiercast_endpoint.jobs.orders import Identity
from tiercast_protocol.content.jobs.groupwindows import open_windows
from tiercast_protocol.content.jobs.vouching import kept_windows
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid, UsageError
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.post import Post
from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer.calendar import Window
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import body_of
from tiercast_protocol.wire.site import WindowsTold

SCHEMA = """
CREATE TABLE group_windows (one INTEGER PRIMARY KEY CHECK (one = 1), issued INTEGER NOT NULL, windows TEXT NOT NULL);
"""
#: By group, in the order of their names.
Windows = tuple[tuple[str, tuple[Window, ...]], ...]


class GroupWindows:
    """What was told last; `act` is called when it is something else than before."""

    def __init__(self, db: Database, me: Identity, act: Callable[[], None] = lambda: None) -> None:
        self._db, self._me, self.act = db, me, act
        self._issued = -1
        self.windows: Windows = ()

    async def load(self) -> None:
        """Read what was told before the last stop; before any job is taken up."""
        rows = await self._db.read(lambda c: c.execute("SELECT issued, windows FROM group_windows").fetchall())
        for issued, text in rows:
            self._issued, self.windows = issued, _parsed(json.loads(text))

    async def take(self, message: WindowsTold) -> None:
        """The region's word; returns when it is kept.

        Raises:
            SignatureInvalid: the region did not say it, or not to this node.
            MessageInvalid: it can't be read.
        """
        said = open_windows(message.data, message.signature, self._me.region_key)
        if (said.region, said.node, said.generation) != (self._me.region, self._me.name, self._me.generation):
            raise SignatureInvalid("windows", f"they are for {said.node} of {said.region}")
        if said.issued <= self._issued:
            return
        try:
            windows = _parsed(said.windows)
        except UsageError as error:
            raise MessageInvalid(error.what, "windows") from error
        await self._db.write(partial(_put, said.issued, json.dumps(said.windows)))
        self._issued, self.windows = said.issued, windows
        self.act()

    def shown(self) -> list[dict[str, str]]:
        """As the control socket shows them."""
        return [{"group": group, "window": calendar.shown(windows)} for group, windows in self.windows]


async def loaded(db: Database, post: Post, me: Identity) -> GroupWindows:
    """What was told before the last stop, and whatever comes from now on."""
    held = GroupWindows(db, me)
    await held.load()

    async def on_windows(_peer: str, envelope: Envelope) -> None:
        await held.take(body_of(envelope, WindowsTold))

    post.on("windows.told.v1", on_windows)
    return held


def read_windows(options: Mapping[str, object]) -> Windows:
    """Those of the groups by which a gateway added this machine to a job, as the job's row keeps them."""
    return _parsed(kept_windows(options))


def _parsed(rows: list[tuple[str, str]]) -> Windows:
    return tuple((group, calendar.parse(text)) for group, text in rows)


def _put(issued: int, text: str, c: sqlite3.Connection) -> None:
    c.execute(
        "INSERT INTO group_windows (one, issued, windows) VALUES (1, ?, ?)"
        " ON CONFLICT (one) DO UPDATE SET issued = excluded.issued, windows = excluded.windows",
        (issued, text),
    )
