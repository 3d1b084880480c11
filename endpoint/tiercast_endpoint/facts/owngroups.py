"""The groups that this machine wants to be in, and what the region said of that (docs/protocol.md, section 13).

Rules
- The owner's wishes stand in the database until he takes them back or the region refuses them; those of the settings
  always stand.
- What the region answers to a wish is a word for the owner, no more: nothing is done by it here.
- A wish travels with the machine's inventory, under its number: an answer to an older word changes nothing.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from tiercast_protocol.content.facts.inventory import MOST_GROUPS
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.facts import GroupsTold
from tiercast_protocol.wire.topics import valid_name

SCHEMA = """
CREATE TABLE own_group (
    name TEXT PRIMARY KEY, wished INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
"""
#: Longest that a wish waits for the region's answer, in seconds.
_PATIENCE_S = 60
ASKED, JOINED, REFUSED = "asked", "joined", "refused"


class OwnGroups:
    """What the machine wants to be in.

    Args:
        db: the agent's journal; the number of the last word about this machine stands in it, too.
        settled: groups of the settings.
        generation: of this node's key.
        changed: called when a wish is another.
    """

    def __init__(self, db: Database, settled: tuple[str, ...], generation: int, changed: Callable[[], None]) -> None:
        self._db, self._settled, self._generation, self._changed = db, settled, generation, changed
        self._anew = True
        self._told = asyncio.Condition()

    async def wanted(self) -> list[str]:
        """Their names, as they are told."""
        return sorted({*await self._db.read(_wished), *self._settled})[:MOST_GROUPS]

    async def unsaid(self) -> bool:
        """Whether a wish waits for an answer, and was not said since it was made or this agent began."""
        return self._anew and await self._db.read(_waits)

    def said(self) -> None:
        """All were told."""
        self._anew = False

    async def told(self, message: GroupsTold) -> None:
        """The region says what came of the wishes; what it says of an older word than the last changes nothing."""
        if message.generation != self._generation:
            return
        await self._db.write(partial(_answer, message))
        async with self._told:
            self._told.notify_all()

    def register(self, verbs: Verbs) -> None:
        """Put what the owner may see and wish into the socket's table."""
        verbs.add("group.list", "viewer", self._list)
        verbs.add("group.join", "operator", self._join)
        verbs.add("group.leave", "operator", self._leave)

    async def _list(self, call: Call) -> list[dict[str, str]]:
        """The groups that this machine asked for, and what came of it."""
        del call
        rows = await self._db.read(lambda c: c.execute("SELECT name, wished, state, reason FROM own_group").fetchall())
        found = {
            name: {"group": name, "state": state, "reason": reason}
            for name, wished, state, reason in rows
            if wished or name in self._settled
        }
        for name in self._settled:
            found.setdefault(name, {"group": name, "state": ASKED, "reason": ""})
        return [found[name] for name in sorted(found)]

    async def _join(self, call: Call) -> dict[str, str]:
        """Ask to be in a group, and wait `wait_s` seconds for the answer."""
        name, wait = call.text("group"), call.number("wait_s", 0)
        if not valid_name(name):
            raise UsageError("name.invalid", f"{name[:80]!r} can't name a group.", todo="Type it as the region does.")
        if not 0 <= wait <= _PATIENCE_S:
            raise UsageError("argument.invalid", f"wait_s must be 0 to {_PATIENCE_S}.", "group.join")
        await self._db.write(partial(_wish, name))
        self._anew = True
        self._changed()
        state, reason = await self._answered(name, wait)
        if state == REFUSED:
            raise UsageError(
                code="group.refused",
                what=f"The region does not let this machine into {name!r}: {reason}.",
                todo="Ask its administrator; a group that machines may join is made with --self-join.",
            )
        return {"group": name, "state": state}

    async def _answered(self, name: str, wait: int) -> tuple[str, str]:
        found = [ASKED, ""]

        async def is_answered() -> None:
            async with self._told:
                while found[0] == ASKED:
                    row = await self._db.read(partial(_state, name))
                    found[:] = row if row is not None else (REFUSED, "it was taken back")
                    if found[0] == ASKED:
                        await self._told.wait()

        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await is_answered()
        return found[0], found[1]

    async def _leave(self, call: Call) -> dict[str, str]:
        """Take a wish back."""
        name = call.text("group")
        if name in self._settled:
            raise UsageError(
                code="group.settled",
                what=f"The settings of this machine say that it wants to be in {name!r}.",
                todo="Take it out of `groups` in endpoint.toml, and restart the agent.",
            )
        if not await self._db.write(partial(_take_back, name)):
            raise UsageError(
                code="group.unknown",
                what=f"This machine did not ask to be in {name!r}.",
                todo="`tiercast-endpoint group list` shows what it asked for; an administrator's groups are his.",
            )
        self._changed()
        return {"group": name, "state": "left"}


def _wished(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM own_group WHERE wished = 1 AND state != ?", (REFUSED,))
    return [row[0] for row in rows]


def _waits(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM own_group WHERE state = ? LIMIT 1", (ASKED,)).fetchone() is not None


def _take_back(name: str, connection: sqlite3.Connection) -> int:
    return connection.execute("DELETE FROM own_group WHERE name = ? AND wished = 1", (name,)).rowcount


def _wish(name: str, connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO own_group (name, wished, state) VALUES (?, 1, ?)"
        " ON CONFLICT (name) DO UPDATE SET wished = 1, state = iif(state = ?, excluded.state, state), reason = ''",
        (name, ASKED, REFUSED),
    )


def _state(name: str, connection: sqlite3.Connection) -> tuple[str, str] | None:
    row: tuple[str, str] | None = connection.execute(
        "SELECT state, reason FROM own_group WHERE name = ?", (name,)
    ).fetchone()
    return row


def _answer(message: GroupsTold, connection: sqlite3.Connection) -> None:
    row = connection.execute("SELECT seq FROM inventory").fetchone()
    if row is None or message.seq < row[0]:
        return
    rows = [(JOINED, "", name) for name in message.joined]
    rows += [(REFUSED, reason[:500], name) for name, reason in message.refused.items()]
    connection.executemany(
        "INSERT INTO own_group (state, reason, name, wished) VALUES (?, ?, ?, 0)"
        " ON CONFLICT (name) DO UPDATE SET state = excluded.state, reason = excluded.reason",
        rows,
    )
