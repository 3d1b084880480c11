"""What gateways are told of assignments, and what they say of the machines below them (docs/protocol.md, section 15).

Rules
- Each gateway is told what an assignment requires of those endpoints that are its children now, whenever that is
  another than it was told; the word and that it was told are one transaction.
- What a gateway says is shown and nothing more: jobs are made of what machines said and signed themselves.  So it is
  taken as it comes, as long as it is about what that gateway was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs.assigned import HOLDS, MISSING, UNKNOWN, WRONG
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.drift import Assigned, DriftTold
from tiercast_server import handover
from tiercast_server.database.assignment_tables import assignment_sites
from tiercast_server.database.tables import nodes, placings
from tiercast_server.desired.look import Sight
from tiercast_server.nodes.nodes import find
from tiercast_server.region import Region

_STATES = frozenset({HOLDS, MISSING, WRONG, UNKNOWN})
_MOST, _LONGEST = 100, 255
#: Numbers of peers stay below this.
_LARGEST = 1 << 53


@dataclass(frozen=True, slots=True)
class Word:
    """What one gateway is to be told of one assignment; without nodes: to forget it."""

    assignment: str
    gateway: str
    requires: str = ""
    lacks: bool = False
    nodes: tuple[str, ...] = ()
    digest: bytes = b""


async def due(connection: AsyncConnection, sights: Mapping[str, Sight]) -> list[Word]:
    """What gateways are to be told that they were not."""
    c = assignment_sites.c
    told = {
        (row.assignment, row.gateway): row.told
        for row in await connection.execute(select(c.assignment, c.gateway, c.told))
    }
    if not sights and not told:
        return []
    wanted = await _wanted(connection, sights)
    found = [word for key, word in wanted.items() if told.get(key) != word.digest]
    found += [Word(*key) for key in told.keys() - wanted.keys()]
    return sorted(found, key=lambda word: (word.assignment, word.gateway))


async def _wanted(connection: AsyncConnection, sights: Mapping[str, Sight]) -> dict[tuple[str, str], Word]:
    gateways: dict[str, int] = {}
    parents: dict[str, str] = {}
    query = (
        select(nodes.c.name, nodes.c.role, nodes.c.generation, nodes.c.parent, placings.c.parent.label("present"))
        .outerjoin(placings, placings.c.node == nodes.c.name)
        .where(nodes.c.state == "joined")
    )
    for row in await connection.execute(query):
        if row.role == "gateway":
            gateways[row.name] = row.generation
        else:
            parents[row.name] = row.present or row.parent
    return await asyncio.to_thread(_words, sights, gateways, parents)


def _words(
    sights: Mapping[str, Sight], gateways: Mapping[str, int], parents: Mapping[str, str]
) -> dict[tuple[str, str], Word]:
    found: dict[tuple[str, str], Word] = {}
    for name, sight in sights.items():
        below: dict[str, list[str]] = {}
        for node in sight.machines:
            if (parent := parents.get(node, "")) in gateways:
                below.setdefault(parent, []).append(node)
        for gateway, names in below.items():
            text = sight.rule.text
            said = [str(gateways[gateway]), text, str(sight.rule.lacks), *sorted(names)]
            digest = blake2b("\0".join(said).encode(), digest_size=16).digest()
            found[name, gateway] = Word(name, gateway, text, sight.rule.lacks, tuple(sorted(names)), digest)
    return found


async def tell(region: Region, connection: AsyncConnection, words: list[Word]) -> None:
    """Put these words for the tree, and write down that they were told."""
    if not words:
        return
    c = assignment_sites.c
    last = (await connection.execute(select(func.max(c.seq)))).scalar_one_or_none() or 0
    seq = max(last + 1, region.clock())  # also above what was forgotten meanwhile
    for word in words:
        which = (c.assignment == word.assignment) & (c.gateway == word.gateway)
        await connection.execute(delete(assignment_sites).where(which))
        if word.nodes:
            empty = {"at": 0, "counts": codec.encode({}), "away": codec.encode([])}
            row = {"assignment": word.assignment, "gateway": word.gateway, "told": word.digest, "seq": seq}
            await connection.execute(insert(assignment_sites).values(**row, **empty))
        message = Assigned(
            name=word.assignment, seq=seq, requires=word.requires, lacks=word.lacks, nodes=list(word.nodes)
        )
        await handover.put(connection, message, receiver=word.gateway, cause=word.assignment)


async def take(region: Region, message: DriftTold) -> bool:
    """Keep what a gateway says of its children; False where it was not asked that, or said something later.

    Raises:
        SignatureInvalid: it did not say it.
    """
    counts = {state: count for state, count in message.counts.items() if state in _STATES and 0 <= count < _LARGEST}
    away = [
        [node[:_LONGEST], state, version[:_LONGEST]]
        for node, state, version in message.some[:_MOST]
        if state in _STATES
    ]
    if not 0 <= message.at < _LARGEST or not 0 <= message.of < _LARGEST:
        return False
    c = assignment_sites.c
    which = (c.assignment == message.name) & (c.gateway == message.node) & (c.seq == message.of) & (c.at <= message.at)
    async with region.db.write() as connection:
        node = await find(connection, message.node)
        if node is None or not node.has_joined or node.role != "gateway":
            return False
        message.prove(node.public_key)
        done = await connection.execute(
            update(assignment_sites)
            .where(which)
            .values(at=message.at, counts=codec.encode(counts), away=codec.encode(away))
        )
    return bool(done.rowcount)


async def shown(connection: AsyncConnection, assignment: str) -> list[dict[str, Any]]:
    """What gateways say of an assignment, by name: {gateway, at, counts, away}; `at` 0 is nothing yet."""
    c = assignment_sites.c
    query = select(c.gateway, c.at, c.counts, c.away).where(c.assignment == assignment).order_by(c.gateway)
    return [
        {
            "gateway": row.gateway,
            "at": row.at,
            "counts": codec.decode_plain(row.counts),
            "away": codec.decode_plain(row.away),
        }
        for row in await connection.execute(query)
    ]
