"""What machines say of themselves, into the database; and what follows from it: who is in which group.

Rules
- Believed only with the signature of the node's present key and generation; of two words the higher number stands.
- Groups by expression, wishes to join, and the jobs that follow are settled in the transaction that takes the word.
- A wish is answered: the node's owner hears of what it is in, and why not of the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import structlog
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content import target
from tiercast_protocol.content.condition import compile_condition
from tiercast_protocol.content.inventory import Inventory, open_inventory
from tiercast_protocol.errors import ProtocolError, SignatureInvalid, UsageError
from tiercast_protocol.wire.facts import GroupsTold, InventoryEntry
from tiercast_server import group_windows, handover, nodes
from tiercast_server.database.tables import groups, inventory, members
from tiercast_server.database.tables import nodes as nodes_table
from tiercast_server.followers import follow
from tiercast_server.groups import enter, expel
from tiercast_server.jobs import Jobs
from tiercast_server.region import Region
from tiercast_server.targeting import Targeting, parts

_log = structlog.get_logger(__name__)
Joined = dict[str, list[str]]
#: An answer ends after so many bytes of facts, far below what a socket takes.
_ANSWER_BYTES = 1 << 20
#: Why a machine is not in a group that it asked for, by whether that is there.
_REFUSED = {False: "there is no such group", True: "machines can't join it by themselves"}


class Inventories:
    """Takes and shows inventories; `refused` counts those that were not believed."""

    def __init__(self, region: Region, targeting: Targeting, jobs: Jobs) -> None:
        self._region, self._targeting, self._jobs = region, targeting, jobs
        self.refused = 0

    async def take(self, entries: Iterable[InventoryEntry]) -> int:
        """Keep what is new among `entries`; how many were."""
        newest_first = sorted(entries, key=lambda one: (one.generation, one.seq), reverse=True)
        async with self._targeting.lock:
            async with self._region.db.read() as connection:
                fresh = await self._believed(connection, newest_first)
                expressions = {
                    row.name: row.expression
                    for row in await connection.execute(select(groups).where(groups.c.expression != ""))
                }
            if not fresh:
                return 0
            facts = {one.node: msgspec.json.encode(one.facts).decode() for one in fresh}
            meant = await asyncio.to_thread(_meant, expressions, facts)
            async with self._region.db.write() as connection:
                await self._keep(connection, fresh, facts)
                joined: Joined = {}
                for group, names in meant.items():
                    await _settle(connection, group, names, facts.keys(), joined)
                await _wishes(connection, fresh, joined)
                await group_windows.settle(self._region, connection, facts)
                touched = await follow(self._region, self._targeting, connection, joined, by_themselves=True)
            self._jobs.told(*touched)
        return len(fresh)

    async def _believed(self, connection: AsyncConnection, entries: Sequence[InventoryEntry]) -> list[Inventory]:
        """The words that are their nodes' own, and newer than what is held: the first of each node."""
        names = {one.node for one in entries}
        known: dict[str, nodes.Node] = {}
        held: dict[str, tuple[int, int]] = {}
        query = select(inventory.c.node, inventory.c.generation, inventory.c.seq)
        for some in parts(inventory.c.node, names):
            held |= {row.node: (row.generation, row.seq) for row in await connection.execute(query.where(*some))}
        for some in parts(nodes_table.c.name, names):
            known |= {node.name: node for node in await nodes.all_nodes(connection, *some)}
        found: dict[str, Inventory] = {}
        for entry in entries:
            name = entry.node
            if name in found or (entry.generation, entry.seq) <= held.get(name, (-1, -1)):
                continue
            try:
                found[name] = self._proved(known.get(name), entry)
            except ProtocolError as error:
                self.refused += 1
                _log.warning("inventory refused", node=name[:80], reason=str(error))
        return list(found.values())

    def _proved(self, node: nodes.Node | None, entry: InventoryEntry) -> Inventory:
        """The word in `entry`, which is that of `node` at its present generation.

        Raises:
            ProtocolError: it is not.
        """
        if node is None or not node.has_joined:
            raise SignatureInvalid("inventory", "the node holds no key of this region")
        said = open_inventory(entry.data, entry.signature, node.public_key)
        mine = (self._region.name, node.name, node.generation, entry.seq)
        if (said.region, said.node, said.generation, said.seq) != mine or entry.generation != node.generation:
            raise SignatureInvalid("inventory", "it is another node's, or of another generation")
        return said

    async def _keep(self, connection: AsyncConnection, fresh: Sequence[Inventory], facts: dict[str, str]) -> None:
        now = self._region.clock()
        rows = [
            {"node": one.node, "generation": one.generation, "seq": one.seq, "at": one.at, "received": now}
            | {"facts": facts[one.node], "wishes": " ".join(one.groups)}
            for one in fresh
        ]
        for some in parts(inventory.c.node, facts):
            await connection.execute(delete(inventory).where(*some))
        await connection.execute(insert(inventory), rows)

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

    async def list_(self, text: str = "", after: str = "") -> dict[str, Any]:
        """What endpoints (those that `text` means) said, by name: {nodes: [{node, received, facts}], unknown, next}.

        As many as fit into an answer, of those after the name `after`; `next` is what to ask with for more, or "".

        Raises:
            UsageError: target.syntax, node.unknown, group.unknown, condition.*, fact.unknown.
        """
        expression = target.parse(text) if text.strip() else None
        async with self._region.db.read() as connection:
            names, unknown = None, {}
            if expression is not None:
                picked = await self._targeting.pick(connection, expression, "endpoint")
                names, unknown = {node.name for node in picked.nodes}, dict(picked.unknown)
            query = select(inventory).where(inventory.c.node > after).order_by(inventory.c.node)
            rows = await connection.execute(query)
        shown: list[dict[str, Any]] = []
        size = 0
        for row in rows:
            if names is None or row.node in names:
                if size > _ANSWER_BYTES:
                    return {"nodes": shown, "unknown": unknown, "next": shown[-1]["node"]}
                size += len(row.facts)
                shown.append({"node": row.node, "received": row.received, "facts": msgspec.json.decode(row.facts)})
        return {"nodes": shown, "unknown": unknown, "next": ""}


async def _wishes(connection: AsyncConnection, fresh: Sequence[Inventory], joined: Joined) -> None:
    """Put nodes into the self-joining groups that they ask for, out of those that they ask for no more; tell them."""
    names = [one.node for one in fresh]
    held: dict[str, dict[str, bool]] = {name: {} for name in names}
    query = select(members.c.node, members.c.group_name, members.c.by_itself)
    for some in parts(members.c.node, names):
        for row in await connection.execute(query.where(*some)):
            held[row.node][row.group_name] = row.by_itself
    asking = [one for one in fresh if one.groups or any(held[one.node].values())]
    if not asking:
        return
    known = {row.name: row.self_join for row in await connection.execute(select(groups.c.name, groups.c.self_join))}
    for one in asking:
        mine = held[one.node]
        refused = {name: _REFUSED[name in known] for name in one.groups if name not in mine and not known.get(name)}
        for name in one.groups:
            if name not in mine and name not in refused:
                await enter(connection, name, [one.node], by_itself=True)
                joined.setdefault(one.node, []).append(name)
        for name, by_itself in mine.items():
            if by_itself and name not in one.groups:
                await expel(connection, name, [one.node])
        told = [name for name in one.groups if name not in refused]
        message = GroupsTold(generation=one.generation, seq=one.seq, joined=told, refused=refused)
        await handover.put(connection, message, receiver=one.node)


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
    connection: AsyncConnection, group: str, meant: set[str], asked: Collection[str], joined: Joined
) -> None:
    """Make the members of `group`, as far as `asked` goes, those that are meant."""
    held: set[str] = set()
    query = select(members.c.node).where(members.c.group_name == group)
    for some in parts(members.c.node, asked):
        held.update((await connection.execute(query.where(*some))).scalars())
    fresh = sorted(meant - held)
    await enter(connection, group, fresh)
    await expel(connection, group, sorted(held - meant))
    for name in fresh:
        joined.setdefault(name, []).append(group)


def _absent(node: nodes.Node) -> str:
    if node.role != "endpoint":
        return f"a {node.role}, and those say nothing"
    return "not joined yet" if not node.has_joined else "of an older version, or was not there since it joined"
