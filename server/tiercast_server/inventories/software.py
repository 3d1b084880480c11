"""Lists of software in the region's database, and facts as conditions see them.

Rules (docs/protocol.md, section 13)
- One row for each list, whoever has it; a list that no machine names is swept away.
- Facts are read without software, which is fifty times as much, unless a condition asks for it; and then only the
  entries that it names are unpacked, once for each list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_gateway.facts.software_rows import made
from tiercast_protocol.content.facts import software
from tiercast_protocol.content.facts.condition import Condition
from tiercast_protocol.content.facts.inventory import SOFTWARE
from tiercast_protocol.wire.facts import SoftwareList
from tiercast_server.database.tables import inventory, software_lists
from tiercast_server.parts import parts

Row = tuple[str, str]


async def take(connection: AsyncConnection, given: Sequence[SoftwareList]) -> tuple[list[str], list[str]]:
    """Keep the lists that prove themselves: digests of those that are new, and what is wrong with others."""
    names = {one.base.hex() for one in given if one.base} | {one.digest.hex() for one in given}
    held = await packed(connection, names)
    bases = {bytes.fromhex(digest): data for digest, data in held.items()}
    rows, wrong = await asyncio.to_thread(made, given, bases)
    fresh = {digest.hex(): data for digest, data, _, _ in rows if digest.hex() not in held}
    if fresh:
        await connection.execute(
            insert(software_lists), [{"digest": digest, "data": data} for digest, data in fresh.items()]
        )
    return list(fresh), wrong


async def packed(connection: AsyncConnection, digests: Collection[str]) -> dict[str, bytes]:
    """Of these lists those that are here."""
    found: dict[str, bytes] = {}
    for some in parts(software_lists.c.digest, digests):
        found |= {row.digest: row.data for row in await connection.execute(select(software_lists).where(*some))}
    return found


async def lacking(connection: AsyncConnection, nodes: Collection[str]) -> set[str]:
    """The lists that these name and that are not here."""
    named: set[str] = set()
    for some in parts(inventory.c.node, nodes):
        query = select(inventory.c.software).where(inventory.c.software != "", *some).distinct()
        named |= set((await connection.execute(query)).scalars())
    return named - (await packed(connection, named)).keys()


async def sweep(connection: AsyncConnection) -> None:
    """Forget the lists that no machine names."""
    named = select(inventory.c.software)
    await connection.execute(delete(software_lists).where(software_lists.c.digest.not_in(named)))


async def rows_for(
    connection: AsyncConnection, conditions: Sequence[Condition], only: Collection[str] | None = None
) -> list[Row]:
    """Name and facts of every machine (of `only`) that said what it is, as these conditions ask for them."""
    found: list[tuple[str, str, str]] = []
    query = select(inventory.c.node, inventory.c.facts, inventory.c.software)
    for some in parts(inventory.c.node, only):
        found += [(row[0], row[1], row[2]) for row in await connection.execute(query.where(*some))]
    asking = [one for one in conditions if one.wants_software]
    if not asking:
        return [(node, facts) for node, facts, _ in found]
    lists = await packed(connection, {digest for _, _, digest in found if digest})
    entries = _entries(asking)
    return await asyncio.to_thread(_joined, found, lists, entries)


def _entries(asking: Sequence[Condition]) -> frozenset[str] | None:
    """The entries that these ask for; None where one asks for more than entries."""
    found: set[str] = set()
    for one in asking:
        some = one.entries.get(SOFTWARE)
        if some is None:
            return None
        found |= some
    return frozenset(found)


def _joined(
    found: Sequence[tuple[str, str, str]], lists: dict[str, bytes], entries: frozenset[str] | None
) -> list[Row]:
    told = {digest: software.as_json(bytes.fromhex(digest), data, entries) for digest, data in lists.items()}
    return [(node, software.joined(facts, told[digest]) if digest in told else facts) for node, facts, digest in found]
