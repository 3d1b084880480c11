"""The groups of a document, made so inside the transaction of its `apply`.

Rules
- `members` are all that an administrator put there, no more and no fewer; who joined by himself stays while the group
  lets him.
- Whoever joins a group by that gets the jobs that follow it, as by `group join`; the caller sees to it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.facts.condition import compile_condition
from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar
from tiercast_server import group_windows
from tiercast_server.database.tables import groups, inventory, members, nodes
from tiercast_server.desired.changes import Changed, Mistakes
from tiercast_server.desired.document import Group
from tiercast_server.groups import enter, expel
from tiercast_server.inventories.software import rows_for
from tiercast_server.nodes.nearness import suggestion
from tiercast_server.nodes.nodes import check_name

Joined = dict[str, list[str]]
#: Whether something that recurs every week is ever open is seen in two of them.
_WEEKS_S = 15 * 86_400.0


async def held(connection: AsyncConnection) -> dict[str, Group]:
    """Every group of the region as a document has it."""
    said: dict[str, list[str]] = {}
    query = select(members.c.group_name, members.c.node).where(members.c.by_itself.is_(False)).order_by(members.c.node)
    for row in await connection.execute(query):
        said.setdefault(row.group_name, []).append(row.node)
    windows = await group_windows.of_groups(connection)
    return {
        row.name: Group(
            row.name,
            [] if row.expression else said.get(row.name, []),
            row.expression,
            row.self_join,
            windows.get(row.name, ""),
        )
        for row in await connection.execute(select(groups).order_by(groups.c.name))
    }


class GroupChanges:
    """Makes the groups what a document says; `joined` are nodes with the groups that they came into."""

    def __init__(self, connection: AsyncConnection, now: int, mistakes: Mistakes) -> None:
        self._connection, self._now, self._mistakes = connection, now, mistakes
        self.joined: Joined = {}
        self._names: set[str] | None = None

    async def make(self, wanted: Collection[Group], *, prune: bool) -> list[Changed]:
        """Add, change and (with `prune`) remove groups; what that was."""
        before = await held(self._connection)
        found: list[Changed] = []
        for group in wanted:
            old = before.get(group.name)
            if not await self._sound(group):
                continue
            window = calendar.shown(calendar.parse(group.install_window)) if group.install_window.strip() else ""
            new = Group(group.name, sorted(group.members), group.where.strip(), group.self_join, window)
            if old == new:
                continue
            found.append(Changed("group", group.name, "changed" if old else "added", _differs(old, new)))
            await self._write(new, old)
        for name in sorted(before.keys() - {group.name for group in wanted}) if prune else ():
            found.append(Changed("group", name, "removed", ()))
            await group_windows.put(self._connection, name, "", self._now)
            await self._connection.execute(delete(members).where(members.c.group_name == name))
            await self._connection.execute(delete(groups).where(groups.c.name == name))
        return found

    async def _sound(self, group: Group) -> bool:
        """Whether it can be; what is wrong is noted."""
        where, wrong = f"group.{group.name}", self._mistakes
        count = len(wrong)
        wrong.check(where, check_name, "group", group.name)
        if group.where and (group.members or group.self_join):
            wrong.add(where, "a group by expression has no other members than those that it is true of")
        if group.where.strip():
            wrong.check(f"{where}.where", compile_condition, group.where)
        if group.install_window.strip():
            wrong.check(f"{where}.install_window", check_window, group.install_window, self._now)
        if twice := sorted(name for name, times in Counter(group.members).items() if times > 1):
            wrong.add(f"{where}.members", f"named twice: {', '.join(twice[:10])}")
        known = await self._known()
        if strangers := sorted(set(group.members) - known):
            near = "".join(suggestion(name, known) for name in strangers[:3])
            wrong.add(
                f"{where}.members", f"no node is called {', '.join(map(repr, strangers[:10]))}. {near}".rstrip(". ")
            )
        return len(wrong) == count

    async def _known(self) -> set[str]:
        if self._names is None:
            query = select(nodes.c.name).where(nodes.c.state != "removed")
            self._names = set((await self._connection.execute(query)).scalars())
        return self._names

    async def _write(self, new: Group, old: Group | None) -> None:
        values: dict[str, Any] = {"expression": new.where, "self_join": new.self_join}
        if old is None:
            await self._connection.execute(insert(groups).values(name=new.name, created=self._now, **values))
        else:
            await self._connection.execute(update(groups).where(groups.c.name == new.name).values(**values))
        await group_windows.put(self._connection, new.name, new.install_window, self._now)
        query = select(members.c.node, members.c.by_itself).where(members.c.group_name == new.name)
        there = {row.node: row.by_itself for row in await self._connection.execute(query)}
        wanted = await self._true_of(new.where) if new.where else set(new.members)
        asking = await self._asking(new.name) if new.self_join else set[str]()
        keep = wanted | {node for node, by_itself in there.items() if by_itself and new.self_join}
        # who joined by himself and is named now belongs there by an administrator's word
        own = [node for node in wanted if there.get(node)]
        await expel(self._connection, new.name, sorted((there.keys() - keep) | set(own)))
        fresh = sorted(wanted - there.keys())
        await enter(self._connection, new.name, [*fresh, *own])
        by_itself = sorted(asking - wanted - there.keys())
        await enter(self._connection, new.name, by_itself, by_itself=True)
        for node in (*fresh, *by_itself):
            self.joined.setdefault(node, []).append(new.name)

    async def _true_of(self, where: str) -> set[str]:
        condition = compile_condition(where)
        found = await asyncio.to_thread(condition.find, await rows_for(self._connection, [condition]))
        return set(found.names) & await self._known()

    async def _asking(self, name: str) -> set[str]:
        query = select(inventory.c.node, inventory.c.wishes).where(inventory.c.wishes.contains(name, autoescape=True))
        return {row.node for row in await self._connection.execute(query) if name in row.wishes.split()}


def check_window(text: str, now: int) -> None:
    """Refuse what is no window, and one that never opens.

    Raises:
        UsageError: window.invalid or window.never.
    """
    windows = calendar.parse(text)
    if not calendar.capacity(windows, now / 1000, now / 1000 + _WEEKS_S)[0]:
        raise UsageError(
            code="window.never",
            what=f"With {calendar.shown(windows)} nothing would ever be installed.",
            todo="Add one that opens. Nothing was changed.",
        )


def _differs(old: Group | None, new: Group) -> tuple[str, ...]:
    if old is None:
        return ()
    said: list[str] = []
    more, fewer = sorted(set(new.members) - set(old.members)), sorted(set(old.members) - set(new.members))
    if more:
        said.append(f"{len(more)} more: {_some(more)}")
    if fewer:
        said.append(f"{len(fewer)} fewer: {_some(fewer)}")
    said += [
        f"{word}: {getattr(old, word)!r} -> {getattr(new, word)!r}"
        for word in ("where", "self_join", "install_window")
        if getattr(old, word) != getattr(new, word)
    ]
    return tuple(said)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")  # noqa: PLR2004 - a line of a terminal
