"""Groups: named sets of nodes; a node may be in many.

Rules
- Three kinds: static (an administrator says who), by expression (whoever it is true of, and nobody else), and
  self-joining (machines that ask, besides those that an administrator put there).
- Names and expressions are checked all at once and before anything changes.
- Whoever joins a group gets the jobs that follow it, in the same transaction (`followers`); who leaves keeps
  what he has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.facts.condition import compile_condition
from tiercast_protocol.errors import UsageError
from tiercast_server import group_wakes, group_windows
from tiercast_server.database.tables import groups, inventory, members
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.inventories.software import rows_for
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.nodes.followers import follow
from tiercast_server.nodes.nearness import suggestion
from tiercast_server.nodes.nodes import check_name, resolve
from tiercast_server.region import Region
from tiercast_server.site_regroup import regroup
from tiercast_server.targeting import Targeting


class Groups:
    """The groups of the region."""

    def __init__(self, region: Region, targeting: Targeting, jobs: Jobs) -> None:
        self._region, self._targeting, self._jobs = region, targeting, jobs

    async def add(self, name: str, names: Sequence[str], *, where: str = "", self_join: bool = False) -> dict[str, Any]:
        """Make a group: of these nodes, or of whoever the expression `where` is true of.

        Raises:
            UsageError: name.invalid, group.exists, group.kind, node.unknown, condition.*, fact.unknown.
        """
        check_name("group", name)
        if where and (names or self_join):
            raise UsageError(
                code="group.kind",
                what="A group by expression has no other members than those that it is true of.",
                todo="Give --where alone, or nodes and --self-join.",
            )
        async with self._targeting.lock:
            found = await self._true_of(where) if where else []
            async with self._region.db.write() as connection:
                if (await connection.execute(select(groups.c.name).where(groups.c.name == name))).first():
                    raise UsageError(
                        code="group.exists",
                        what=f"The group {name!r} exists.",
                        todo="`tiercast group join` adds members to it.",
                    )
                found = found if where else [node.name for node in await resolve(connection, names, ())]
                await connection.execute(
                    insert(groups).values(
                        name=name, created=self._region.clock(), expression=where.strip(), self_join=self_join
                    )
                )
                await enter(connection, name, found)
                asking = await _asking(connection, name) if self_join else []
                by_itself = [node for node in asking if node not in found]
                await enter(connection, name, by_itself, by_itself=True)
                again = await regroup(self._region, connection, [name])  # one of this name was deleted before
        if again:
            self._jobs.told()
        return {"name": name, "members": len(found) + len(by_itself)}

    async def _true_of(self, where: str) -> list[str]:
        condition = compile_condition(where)
        async with self._region.db.read() as connection:
            rows = await rows_for(connection, [condition])
        return (await asyncio.to_thread(condition.find, rows)).names

    async def join(self, name: str, names: Sequence[str]) -> dict[str, Any]:
        """Add members; those that are in it stay.

        Raises:
            UsageError: group.unknown, group.dynamic or node.unknown.
        """
        async with self._targeting.lock:
            async with self._region.db.write() as connection:
                _only_by_hand(await _get(connection, name))
                held = set(await _members(connection, name))
                found = [node.name for node in await resolve(connection, names, ())]
                fresh = [node for node in found if node not in held]
                await enter(connection, name, fresh)
                joined = {node: [name] for node in fresh}
                await group_windows.settle(self._region, connection, fresh)
                await regroup(self._region, connection, [name] if fresh else [])
                touched = await follow(self._region, self._targeting, connection, joined)
            self._jobs.told(*touched)
        return {"name": name, "members": len(held) + len(fresh), "added": len(fresh), "jobs": touched}

    async def leave(self, name: str, names: Sequence[str]) -> dict[str, Any]:
        """Take members out; those that are not in it are an error, all named at once.

        Raises:
            UsageError: group.unknown, group.dynamic or member.unknown.
        """
        async with self._targeting.lock, self._region.db.write() as connection:
            _only_by_hand(await _get(connection, name))
            held = set(await _members(connection, name))
            strangers = sorted(set(names) - held)
            if strangers:
                raise UsageError(
                    code="member.unknown",
                    what=f"Not in the group {name!r}: {', '.join(strangers)}.",
                    todo=f"`tiercast group show {name}` shows its members. Nothing was changed.",
                )
            await expel(connection, name, sorted(set(names)))
            await group_windows.settle(self._region, connection, names)
            await regroup(self._region, connection, [name])
        self._jobs.told()
        return {"name": name, "members": len(held - set(names))}

    async def remove(self, name: str) -> dict[str, Any]:
        """Delete the group; its nodes stay.

        Raises:
            UsageError: group.unknown or group.assigned.
        """
        async with self._targeting.lock, self._region.db.write() as connection:
            await _get(connection, name)
            await assignment_rows.check_unnamed(connection, name)
            held = await _members(connection, name)
            await group_windows.put(connection, name, "", self._region.clock())
            await connection.execute(delete(members).where(members.c.group_name == name))
            await connection.execute(delete(groups).where(groups.c.name == name))
            await group_windows.settle(self._region, connection, held)
            await regroup(self._region, connection, [name])
        self._jobs.told()
        return {"name": name}

    async def set_window(self, name: str, text: str) -> dict[str, Any]:
        """Give a group a window in which packages are installed on its members, "" for none; who was told.

        Raises:
            UsageError: group.unknown, window.invalid or window.never.
        """
        async with self._targeting.lock:
            async with self._region.db.write() as connection:
                await _get(connection, name)
                kept = await group_windows.put(connection, name, text, self._region.clock())
                held = await _members(connection, name)
                told = await group_windows.settle(self._region, connection, held)
                await regroup(self._region, connection, [name])
            self._jobs.told()
        return {"name": name, "window": kept, "members": len(held), "told": len(told)}

    async def set_wake(self, name: str, *, wake: bool) -> dict[str, Any]:
        """Have its members woken for every job, or no more than others.

        Raises:
            UsageError: group.unknown.
        """
        async with self._region.db.write() as connection:
            await _get(connection, name)
            await group_wakes.put(connection, name, wake=wake)
        return {"name": name, "wake": wake}

    async def show(self, name: str) -> dict[str, Any]:
        """One group with its members, and who joined by himself."""
        async with self._region.db.read() as connection:
            group = await _get(connection, name)
            query = select(members.c.node).where(members.c.group_name == name, members.c.by_itself.is_(True))
            by_itself = sorted((await connection.execute(query)).scalars())
            held = await _members(connection, name)
            windows, waking = await group_windows.of_groups(connection), await group_wakes.of_groups(connection)
        more = {"window": windows.get(name, ""), "wake": name in waking}
        return {**_shown(group), **more, "members": held, "by_itself": by_itself}

    async def list_(self) -> list[dict[str, Any]]:
        """Every group with its number of members."""
        query = (
            select(groups, func.count(members.c.node).label("members"))
            .select_from(groups.outerjoin(members, members.c.group_name == groups.c.name))
            .group_by(groups.c.name)
            .order_by(groups.c.name)
        )
        async with self._region.db.read() as connection:
            windows = await group_windows.of_groups(connection)
            return [
                {**_shown(row), "window": windows.get(row.name, ""), "members": row.members}
                for row in await connection.execute(query)
            ]


async def enter(connection: AsyncConnection, group: str, names: Sequence[str], *, by_itself: bool = False) -> None:
    """Write members that are none yet."""
    rows = [{"group_name": group, "node": name, "by_itself": by_itself} for name in names]
    if rows:
        await connection.execute(insert(members), rows)


async def _asking(connection: AsyncConnection, name: str) -> list[str]:
    """The machines that asked for the group before it was there: their policy says so."""
    query = select(inventory.c.node, inventory.c.wishes).where(inventory.c.wishes.contains(name, autoescape=True))
    return [row.node for row in await connection.execute(query) if name in row.wishes.split()]


async def expel(connection: AsyncConnection, group: str, names: Sequence[str]) -> None:
    """Delete members."""
    for at in range(0, len(names), 1000):
        some = members.c.node.in_(names[at : at + 1000])
        await connection.execute(delete(members).where(members.c.group_name == group, some))


def _shown(group: Row[Any]) -> dict[str, Any]:
    kind = "expression" if group.expression else "self-joining" if group.self_join else "static"
    return {"name": group.name, "kind": kind, "where": group.expression}


def _only_by_hand(group: Row[Any]) -> None:
    if group.expression:
        raise UsageError(
            code="group.dynamic",
            what=f"Who is in {group.name!r} is decided by its expression: {group.expression}",
            todo="Make another group beside it, and name both: --target 'group a or group b'.",
        )


async def _get(connection: AsyncConnection, name: str) -> Row[Any]:
    """The row of `name`.

    Raises:
        UsageError: group.unknown.
    """
    found = (await connection.execute(select(groups).where(groups.c.name == name))).one_or_none()
    if found is None:
        near = suggestion(name, (await connection.execute(select(groups.c.name))).scalars())
        raise UsageError(
            code="group.unknown",
            what=f"No group is called {name!r}.",
            todo=f"{near}`tiercast group list` shows all groups.",
        )
    return found


async def _members(connection: AsyncConnection, name: str) -> list[str]:
    query = select(members.c.node).where(members.c.group_name == name).order_by(members.c.node)
    return list((await connection.execute(query)).scalars())
