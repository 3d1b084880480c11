"""What machines say of themselves, into the database; and what follows from it: who is in which group.

Rules
- Believed only with the signature of the node's present key and generation; of two words the higher number stands.
- Groups by expression, wishes to join, and the jobs that follow are settled in the transaction that takes the word.
- A wish is answered: the node's owner hears of what it is in, and why not of the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import structlog
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_gateway.condition import compile_condition
from tiercast_protocol.content import target
from tiercast_protocol.content.inventory import FACTS, Inventory, open_inventory
from tiercast_protocol.errors import ProtocolError, SignatureInvalid, UsageError
from tiercast_protocol.wire.facts import GroupsTold, InventoryEntry
from tiercast_server import handover, nodes
from tiercast_server.database.tables import groups, inventory, members
from tiercast_server.followers import follow
from tiercast_server.groups import enter, expel
from tiercast_server.jobs import Jobs
from tiercast_server.region import Region
from tiercast_server.targeting import Targeting

_log = structlog.get_logger(__name__)
Joined = dict[str, list[str]]


class Inventories:
    """Takes and shows inventories; `refused` counts those that were not believed."""

    def __init__(self, region: Region, targeting: Targeting, jobs: Jobs) -> None:
        self._region, self._targeting, self._jobs = region, targeting, jobs
        self.refused = 0

    async def take(self, entries: Iterable[InventoryEntry]) -> int:
        """Keep what is new among `entries`; how many were."""
        async with self._targeting.lock:
            async with self._region.db.read() as connection:
                fresh = [one for entry in entries if (one := await self._believed(connection, entry)) is not None]
                expressions = {
                    row.name: row.expression
                    for row in await connection.execute(select(groups).where(groups.c.expression != ""))
                }
            if not fresh:
                return 0
            facts = {one.node: msgspec.json.encode(one.facts).decode() for one in fresh}
            meant = await asyncio.to_thread(_meant, expressions, facts)
            touched: list[str] = []
            async with self._region.db.write() as connection:
                await self._keep(connection, fresh, facts)
                joined: Joined = {}
                for group, names in meant.items():
                    await _settle(connection, group, names, facts.keys(), joined)
                for one in fresh:
                    await self._wishes(connection, one, joined)
                touched = await follow(self._region, self._targeting, connection, joined)
            self._jobs.told(*touched)
        return len(fresh)

    async def _believed(self, connection: AsyncConnection, entry: InventoryEntry) -> Inventory | None:
        """The word, if it is the node's own and newer than what is held."""
        node = await nodes.find(connection, entry.node)
        query = select(inventory.c.generation, inventory.c.seq).where(inventory.c.node == entry.node)
        held = (await connection.execute(query)).one_or_none()
        if held is not None and (entry.generation, entry.seq) <= (held.generation, held.seq):
            return None
        try:
            if node is None or not node.has_joined:
                raise SignatureInvalid("inventory", "the node holds no key of this region")
            said = open_inventory(entry.data, entry.signature, node.public_key)
            mine = (self._region.name, node.name, node.generation, entry.seq)
            if (said.region, said.node, said.generation, said.seq) != mine or entry.generation != node.generation:
                raise SignatureInvalid("inventory", "it is another node's, or of another generation")
        except ProtocolError as error:
            self.refused += 1
            _log.warning("inventory refused", node=entry.node[:80], reason=str(error))
            return None
        return said

    async def _keep(self, connection: AsyncConnection, fresh: Sequence[Inventory], facts: dict[str, str]) -> None:
        now = self._region.clock()
        for one in fresh:
            values = {"generation": one.generation, "seq": one.seq, "at": one.at, "received": now}
            values |= {"facts": facts[one.node]}  # type: ignore[dict-item]
            done = await connection.execute(update(inventory).where(inventory.c.node == one.node).values(**values))
            if not done.rowcount:
                await connection.execute(insert(inventory).values(node=one.node, **values))

    async def _wishes(self, connection: AsyncConnection, said: Inventory, joined: Joined) -> None:
        """Put the node into the self-joining groups that it asks for, out of those that it asks for no more."""
        query = select(members.c.group_name, members.c.by_itself).where(members.c.node == said.node)
        held = {row.group_name: row.by_itself for row in await connection.execute(query)}
        mine = [name for name, by_itself in held.items() if by_itself]
        if not said.groups and not mine:
            return
        found = await connection.execute(select(groups).where(groups.c.name.in_(said.groups)))
        known = {row.name: row for row in found}
        refused: dict[str, str] = {}
        for name in said.groups:
            if name in held:
                continue
            if name not in known:
                refused[name] = "there is no such group"
            elif not known[name].self_join:
                refused[name] = "machines can't join it by themselves"
            else:
                await enter(connection, name, [said.node], by_itself=True)
                joined.setdefault(said.node, []).append(name)
        for name in set(mine) - set(said.groups):
            await expel(connection, name, [said.node])
        told = [name for name in said.groups if name not in refused]
        message = GroupsTold(generation=said.generation, seq=said.seq, joined=told, refused=refused)
        await handover.put(connection, message, receiver=said.node)

    # -- for administrators ------------------------------------------------------------------------------

    async def show(self, name: str) -> dict[str, Any]:
        """What one node said of itself: {node, at, received, facts}.

        Raises:
            UsageError: node.unknown or inventory.none.
        """
        async with self._region.db.read() as connection:
            node = await nodes.get(connection, name)
            row = (await connection.execute(select(inventory).where(inventory.c.node == name))).one_or_none()
        if row is None:
            raise UsageError(
                code="inventory.none",
                what=f"{name!r} has said nothing of itself: it is {_absent(node)}.",
                todo="Endpoints say it at their start and when it changes; `tiercast node list` shows who is there.",
            )
        return {"node": name, "at": row.at, "received": row.received, "facts": msgspec.json.decode(row.facts)}

    async def list_(self, text: str = "") -> dict[str, Any]:
        """What all endpoints (or those that `text` means) said: {nodes: [{node, received, facts}], unknown}.

        Raises:
            UsageError: target.syntax, node.unknown, group.unknown, condition.*, fact.unknown.
        """
        expression = target.parse(text) if text.strip() else None
        async with self._region.db.read() as connection:
            names, unknown = None, {}
            if expression is not None:
                picked = await self._targeting.pick(connection, expression, "endpoint")
                names, unknown = {node.name for node in picked.nodes}, dict(picked.unknown)
            rows = (await connection.execute(select(inventory).order_by(inventory.c.node))).all()
        shown = [
            {"node": row.node, "received": row.received, "facts": msgspec.json.decode(row.facts)}
            for row in rows
            if names is None or row.node in names
        ]
        return {"nodes": shown, "unknown": unknown, "facts": FACTS}


def _meant(expressions: dict[str, str], facts: dict[str, str]) -> dict[str, set[str]]:
    """By group, those of the machines that its expression is true of."""
    found: dict[str, set[str]] = {}
    for group, expression in expressions.items():
        try:
            condition = compile_condition(expression)
        except UsageError as error:  # of a later version, that knows more
            _log.warning("group not settled", group=group, code=error.code, reason=error.what)
            continue
        found[group] = {name for name, said in facts.items() if condition.is_true(name, said)}
    return found


async def _settle(
    connection: AsyncConnection, group: str, meant: set[str], asked: Iterable[str], joined: Joined
) -> None:
    """Make the members of `group`, as far as `asked` goes, those that are meant."""
    names = sorted(asked)
    held: set[str] = set()
    for at in range(0, len(names), 1000):
        query = select(members.c.node).where(members.c.group_name == group)
        held.update((await connection.execute(query.where(members.c.node.in_(names[at : at + 1000])))).scalars())
    fresh = sorted(meant - held)
    await enter(connection, group, fresh)
    await expel(connection, group, sorted(held - meant))
    for name in fresh:
        joined.setdefault(name, []).append(group)


def _absent(node: nodes.Node) -> str:
    if node.role != "endpoint":
        return f"a {node.role}, and those say nothing"
    return "not joined yet" if not node.has_joined else "of an older version, or was not there since it joined"
