"""How the versions of each package are ordered: as its newest definition says (docs/packages.md, "Versions").

Rules
- The definition that was registered last speaks for all versions of its name, so that two can always be compared.
- A package that nobody registered, or that says nothing, is ordered plain.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.facts.versions import ORDERS, PLAIN
from tiercast_protocol.content.jobs import provisos
from tiercast_server.database.tables import packages
from tiercast_server.parts import parts


async def orders_of(connection: AsyncConnection, names: Collection[str]) -> dict[str, str]:
    """The order of versions of each of these packages."""
    found = dict.fromkeys(names, PLAIN)
    last = select(func.max(packages.c.id)).where(packages.c.root != b"").group_by(packages.c.name)
    query = select(packages.c.name, packages.c.definition).where(packages.c.id.in_(last))
    for some in parts(packages.c.name, list(names)):
        for name, definition in await connection.execute(query.where(*some)):
            found[name] = order_in(definition)
    return found


def order_in(definition: str) -> str:
    """The order that a sealed definition says, without reading the rest of it."""
    try:
        said = tomllib.loads(definition).get("version_order", PLAIN)
    except tomllib.TOMLDecodeError:
        return PLAIN
    return said if said in ORDERS else PLAIN


async def in_options(connection: AsyncConnection, options: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
    """The options of an order, with the order of the versions of what its package needs, and of what it can't stand."""
    found = provisos.read(options)
    named = {one.package for one in (*found.requires, *found.conflicts)}
    if not named:
        return options
    orders = await orders_of(connection, sorted(named))
    said = dict(options)
    for word, needs in ((provisos.REQUIRES, found.requires), (provisos.CONFLICTS, found.conflicts)):
        if needs:
            said[word] = provisos.requirements_text(tuple(one.ordered(orders[one.package]) for one in needs))
    return said
