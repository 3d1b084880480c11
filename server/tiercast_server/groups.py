"""Static groups: many nodes in many groups.

Rules
- Names are checked all at once and before anything changes.
- A job takes the members at the moment it is created; joining a group later starts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.topics import valid_name
from tiercast_server.database.tables import groups, members
from tiercast_server.nearness import suggestion
from tiercast_server.nodes import resolve
from tiercast_server.region import Region


def check_name(what: str, name: str) -> None:
    """Refuse a name that can't be one topic level, one path element and one shell word.

    Raises:
        UsageError: name.invalid.
    """
    if not valid_name(name):
        raise UsageError(
            code="name.invalid",
            what=f"{name!r} can't name a {what}.",
            todo="Use 1 to 63 letters, digits and . _ -, the first a letter or digit; not `join-...`.",
        )


async def add(region: Region, name: str, names: Sequence[str]) -> dict[str, Any]:
    """Make a group with these members."""
    check_name("group", name)
    async with region.db.write() as connection:
        if (await connection.execute(select(groups.c.name).where(groups.c.name == name))).first():
            raise UsageError(
                code="group.exists",
                what=f"The group {name!r} exists.",
                todo="`tiercast group join` adds members to it.",
            )
        found = await resolve(connection, names, ())
        await connection.execute(insert(groups).values(name=name, created=region.clock()))
        if found:
            rows = [{"group_name": name, "node": node.name} for node in found]
            await connection.execute(insert(members), rows)
    return {"name": name, "members": len(found)}


async def join(region: Region, name: str, names: Sequence[str]) -> dict[str, Any]:
    """Add members; those that are in it stay."""
    async with region.db.write() as connection:
        held = set(await _members(connection, name))
        found = await resolve(connection, names, ())
        rows = [{"group_name": name, "node": node.name} for node in found if node.name not in held]
        if rows:
            await connection.execute(insert(members), rows)
    return {"name": name, "members": len(held) + len(rows), "added": len(rows)}


async def leave(region: Region, name: str, names: Sequence[str]) -> dict[str, Any]:
    """Take members out; those that are not in it are an error, all named at once."""
    async with region.db.write() as connection:
        held = set(await _members(connection, name))
        strangers = sorted(set(names) - held)
        if strangers:
            raise UsageError(
                code="member.unknown",
                what=f"Not in the group {name!r}: {', '.join(strangers)}.",
                todo=f"`tiercast group show {name}` shows its members. Nothing was changed.",
            )
        await connection.execute(
            delete(members).where(members.c.group_name == name, members.c.node.in_(sorted(set(names))))
        )
    return {"name": name, "members": len(held - set(names))}


async def remove(region: Region, name: str) -> dict[str, Any]:
    """Delete the group; its nodes stay."""
    async with region.db.write() as connection:
        await _members(connection, name)
        await connection.execute(delete(members).where(members.c.group_name == name))
        await connection.execute(delete(groups).where(groups.c.name == name))
    return {"name": name}


async def show(region: Region, name: str) -> dict[str, Any]:
    """One group with its members."""
    async with region.db.read() as connection:
        return {"name": name, "members": await _members(connection, name)}


async def list_(region: Region) -> list[dict[str, Any]]:
    """Every group with its number of members."""
    query = (
        select(groups.c.name, func.count(members.c.node).label("members"))
        .select_from(groups.outerjoin(members, members.c.group_name == groups.c.name))
        .group_by(groups.c.name)
        .order_by(groups.c.name)
    )
    async with region.db.read() as connection:
        return [{"name": row.name, "members": row.members} for row in await connection.execute(query)]


async def _members(connection: AsyncConnection, name: str) -> list[str]:
    """The members of `name`, by name.

    Raises:
        UsageError: group.unknown.
    """
    if not (await connection.execute(select(groups.c.name).where(groups.c.name == name))).first():
        near = suggestion(name, (await connection.execute(select(groups.c.name))).scalars())
        raise UsageError(
            code="group.unknown",
            what=f"No group is called {name!r}.",
            todo=f"{near}`tiercast group list` shows all groups.",
        )
    query = select(members.c.node).where(members.c.group_name == name).order_by(members.c.node)
    return list((await connection.execute(query)).scalars())
