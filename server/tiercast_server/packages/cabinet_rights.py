"""Who may look into a cabinet, and who may change what is in it (docs/packages.md, "Cabinets").

Rules
- A cabinet names readers and writers, by the names that the control socket tells of its callers; where it names none,
  whoever has the role for a verb may.  Writers may read.  Admins may all.
- Reading is: to see its packages, and to order one.  Writing is: to put packages in, to take them out, to delete them;
  and to bring further versions of them, into whichever cabinet: the newest is what a name alone means.
- What a caller may not read is left out of lists; asked for by name it is refused, not denied to be there.
- Who writes an assignment, or takes one back, names its package: he has to be one who may read it.  What assignments,
  plans and rollouts order later is judged again, by the name of who wrote them.
- Orders themselves are no content: jobs and assignments are seen by whoever has the role to look at them.
- What was ordered goes on when rights change: they are looked at when somebody asks, not when machines install.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_server.database.tables import cabinets, packages
from tiercast_server.packages.cabinets import check_cabinet
from tiercast_server.region import Region

Right = Literal["read", "write"]
MOST_NAMES, _LONGEST = 200, 64


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the name that the socket tells, and the role."""

    user: str
    role: str


def caller_of(call: Call) -> Caller:
    """Who makes this call."""
    return Caller(call.user, call.role)


#: What the region does by itself.
REGION = Caller("", "admin")
#: The role by which is judged what was planned, when its time has come; admins are known by their names.
LATER = "operator"


@dataclass(frozen=True, slots=True)
class Rights:
    """Names of one cabinet; none is everybody."""

    readers: frozenset[str] = frozenset()
    writers: frozenset[str] = frozenset()

    def allow(self, caller: Caller, right: Right) -> bool:
        """Whether the caller has it."""
        if caller.role == "admin" or caller.user in self.writers or caller.user in _admins():
            return True
        named = self.writers if right == "write" else self.readers
        return not named or caller.user in named


async def rights(connection: AsyncConnection) -> dict[str, Rights]:
    """Of every cabinet."""
    query = select(cabinets.c.name, cabinets.c.readers, cabinets.c.writers)
    return {row.name: Rights(_read(row.readers), _read(row.writers)) for row in await connection.execute(query)}


async def check(connection: AsyncConnection, cabinet: str, caller: Caller, right: Right) -> None:
    """Refuse a caller without the right.

    Raises:
        UsageError: cabinet.denied.
    """
    found = (await rights(connection)).get(cabinet, Rights())
    if found.allow(caller, right):
        return
    who = ", ".join(sorted(found.writers if right == "write" else found.readers | found.writers))
    raise UsageError(
        code="cabinet.denied",
        what=f"{caller.user} may not {right} the cabinet {cabinet}; these may: {who}, and admins.",
        todo="Ask one of them, or an admin for `tiercast cabinet rights`. Nothing was done.",
    )


def readable(found: Mapping[str, Rights], caller: Caller) -> set[str]:
    """The cabinets that the caller may read."""
    return {name for name, one in found.items() if one.allow(caller, "read")}


async def hidden(connection: AsyncConnection, caller: Caller) -> set[tuple[str, str]]:
    """Names and versions of packages that the caller may not read."""
    shut = (found := await rights(connection)).keys() - readable(found, caller)
    if not shut:
        return set()
    query = select(packages.c.name, packages.c.version).where(packages.c.cabinet.in_(sorted(shut)))
    return {(row.name, row.version) for row in await connection.execute(query)}


async def set_rights(region: Region, name: str, readers: list[str], writers: list[str]) -> dict[str, Any]:
    """Name those who may; an empty list is everybody.

    Raises:
        UsageError: cabinet.unknown, cabinet.rights.
    """
    for one in (*readers, *writers):
        if not one or len(one) > _LONGEST or any(mark.isspace() or mark == "," for mark in one):
            raise UsageError("cabinet.rights", f"{one[:80]!r} is no name of a user.", todo="Write it as `id -un` does.")
    if max(len(readers), len(writers)) > MOST_NAMES:
        raise UsageError("cabinet.rights", "That are too many names.", todo=f"Name {MOST_NAMES} at most.")
    async with region.db.write() as connection:
        await check_cabinet(connection, name)
        said = {"readers": _written(readers), "writers": _written(writers)}
        await connection.execute(update(cabinets).where(cabinets.c.name == name).values(**said))
    return {"name": name, "readers": sorted(set(readers)), "writers": sorted(set(writers))}


@lru_cache(maxsize=1)
def _admins() -> frozenset[str]:
    """Names that are admins at every socket of this daemon; what they planned is begun later in their name alone."""
    names = {"root"}
    with suppress(KeyError):
        names.add(pwd.getpwuid(os.geteuid()).pw_name)
    return frozenset(names)


def _read(text: str) -> frozenset[str]:
    return frozenset(text.split(",")) if text else frozenset()


def _written(names: list[str]) -> str:
    return ",".join(sorted(set(names)))
