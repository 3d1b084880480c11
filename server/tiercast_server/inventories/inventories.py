"""What machines say of themselves, into the database; and what follows from it: who is in which group.

Rules
- Believed only with the signature of the node's present key and generation; of two words the higher number stands.
- Lists of software are kept with the words that name them; one that is not here is asked for below.  Groups whose
  expression asks for software are settled again when it came.
- Groups by expression, wishes to join, and the jobs that follow are settled in the transaction that takes the word.
- A wish is answered: the node's owner hears of what it is in, and why not of the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

import msgspec
import structlog
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.facts.condition import Condition, compile_condition
from tiercast_protocol.content.facts.inventory import SOFTWARE, Inventory, open_inventory
from tiercast_protocol.content.facts.software import unpacked
from tiercast_protocol.content.jobs import target
from tiercast_protocol.errors import ProtocolError, SignatureInvalid, UsageError
from tiercast_protocol.wire.facts import GroupsTold, InventoryAsk, InventoryEntry, SoftwareList
from tiercast_server import group_windows, handover
from tiercast_server.database.tables import groups, inventory, members
from tiercast_server.database.tables import nodes as nodes_table
from tiercast_server.groups import enter, expel
from tiercast_server.inventories import history as inventory_history
from tiercast_server.inventories import software
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.nodes import nodes
from tiercast_server.nodes.followers import follow
from tiercast_server.parts import parts
from tiercast_server.region import Region
from tiercast_server.targeting import Targeting

_log = structlog.get_logger(__name__)
Joined = dict[str, list[str]]
#: An answer ends after so many bytes of facts, far below what a socket takes.
_ANSWER_BYTES = 1 << 20
#: Milliseconds between two looks for lists that no machine names.
_SWEEP_MS = 600_000
#: Why a machine is not in a group that it asked for, by whether that is there.
_REFUSED = {False: "there is no such group", True: "machines can't join it by themselves"}


class Inventories:
    """Takes and shows inventories; `refused` counts those that were not believed."""

    def __init__(self, region: Region, targeting: Targeting, jobs: Jobs) -> None:
        self._region, self._targeting, self._jobs = region, targeting, jobs
        self.refused = 0
        #: Asks below for what is not here; set by whoever knows the tree.
        self.ask: Callable[[InventoryAsk], Awaitable[None]] | None = None
        self._swept = region.clock()

    async def take(self, entries: Iterable[InventoryEntry], lists: Sequence[SoftwareList] = ()) -> int:
        """Keep what is new among `entries` and `lists`; how many of the former were."""
        newest_first = sorted(entries, key=lambda one: (one.generation, one.seq), reverse=True)
        async with self._targeting.lock:
            came = await self._take_lists(lists) if lists else []
            async with self._region.db.read() as connection:
                fresh = await self._believed(connection, newest_first)
                expressions = {
                    row.name: row.expression
                    for row in await connection.execute(select(groups).where(groups.c.expression != ""))
                }
            if fresh:
                await self._take_words(fresh, expressions)
            if came:
                await self._list_came(came, {one.node for one in fresh}, expressions)
        if self.ask is not None and (fresh or lists):
            async with self._region.db.read() as connection:
                lacking = await software.lacking(connection, [one.node for one in fresh])
            if lacking:
                await self.ask(InventoryAsk(lists=sorted(map(bytes.fromhex, lacking))))
        return len(fresh)

    async def _take_lists(self, lists: Sequence[SoftwareList]) -> list[str]:
        async with self._region.db.write() as connection:
            came, wrong = await software.take(connection, lists)
        for reason in wrong:
            _log.warning("software refused", reason=reason)
        return came

    async def _take_words(self, fresh: Sequence[Inventory], expressions: dict[str, str]) -> None:
        facts = {one.node: msgspec.json.encode(one.facts).decode() for one in fresh}
        async with self._region.db.write() as connection:
            await self._note(connection, fresh)
            await self._keep(connection, fresh, facts)
            joined: Joined = {}
            await _settle_groups(connection, expressions, facts, joined)
            await _wishes(connection, fresh, joined)
            await group_windows.settle(self._region, connection, facts)
            touched = await follow(self._region, self._targeting, connection, joined, by_themselves=True)
        self._jobs.told(*touched)

    async def _list_came(self, came: Sequence[str], known: Collection[str], expressions: dict[str, str]) -> None:
        """A list came after the words that name it: who is in the groups that ask for software?"""
        some = {group: text for group, text in expressions.items() if SOFTWARE in text}
        if not some:
            return
        async with self._region.db.write() as connection:
            query = select(inventory.c.node, inventory.c.facts).where(inventory.c.software.in_(came))
            late = {row.node: row.facts for row in await connection.execute(query) if row.node not in known}
            if not late:
                return
            joined: Joined = {}
            await _settle_groups(connection, some, late, joined)
            await group_windows.settle(self._region, connection, late)
            touched = await follow(self._region, self._targeting, connection, joined, by_themselves=True)
        self._jobs.told(*touched)

    async def _note(self, connection: AsyncConnection, fresh: Sequence[Inventory]) -> None:
        """Write down what changed since the word before; by `_keep`'s caller, before it."""
        before: dict[str, tuple[str, str]] = {}
        query = select(inventory.c.node, inventory.c.facts, inventory.c.software)
        for some in parts(inventory.c.node, [one.node for one in fresh]):
            before |= {row.node: (row.facts, row.software) for row in await connection.execute(query.where(*some))}
        digests = {digest for _, digest in before.values()} | {
            one.software.hex() for one in fresh if one.node in before
        }
        lists = await software.packed(connection, digests - {""})
        found = await asyncio.to_thread(_all_changes, fresh, before, lists)
        await inventory_history.note(connection, found)

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
            | {"facts": facts[one.node], "wishes": " ".join(one.groups), "software": one.software.hex()}
            for one in fresh
        ]
        for some in parts(inventory.c.node, facts):
            await connection.execute(delete(inventory).where(*some))
        await connection.execute(insert(inventory), rows)
        if now - self._swept > _SWEEP_MS:
            self._swept = now
            await software.sweep(connection)
            await inventory_history.sweep(connection)

    # -- for administrators ------------------------------------------------------------------------------

    async def show(self, name: str, *, whole: bool = False) -> dict[str, Any]:
        """What one node said of itself: {node, at, received, facts}; `whole` with software as pairs of name, version.

        Raises:
            UsageError: node.unknown or inventory.none.
        """
        async with self._region.db.read() as connection:
            node = await nodes.get(connection, name)
            row = (await connection.execute(select(inventory).where(inventory.c.node == name))).one_or_none()
            held = await software.packed(connection, {row.software} - {""}) if whole and row is not None else {}
        if row is None:
            raise UsageError(
                code="inventory.none",
                what=f"{name!r} has said nothing of itself: it is {_absent(node)}.",
                todo="Endpoints say it at their start and when it changes; `tiercast node list` shows who is there.",
            )
        found = {"node": name, "at": row.at, "received": row.received, "facts": msgspec.json.decode(row.facts)}
        if whole:
            listed = [unpacked(bytes.fromhex(digest), data) for digest, data in held.items()]
            found["software"] = [list(pair) for one in listed for pair in sorted(one.items())]
        return found

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


class _Failed(msgspec.Struct):
    failed: dict[str, str] = {}


async def failed_facts(connection: AsyncConnection, node: str) -> dict[str, str]:
    """The owner's programs on a machine that said no facts, each with the reason."""
    said = (await connection.execute(select(inventory.c.facts).where(inventory.c.node == node))).scalar()
    return msgspec.json.decode(said, type=_Failed).failed if said else {}


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


async def _settle_groups(
    connection: AsyncConnection, expressions: dict[str, str], facts: dict[str, str], joined: Joined
) -> None:
    """Make of these machines those members of the groups by expression that they are true of."""
    conditions: dict[str, Condition] = {}
    for group, expression in expressions.items():
        try:
            conditions[group] = compile_condition(expression)
        except UsageError as error:  # of a later version, that knows more
            _log.warning("group not settled", group=group, code=error.code, reason=error.what)
    asking = [one for one in conditions.values() if one.wants_software]
    more = dict(await software.rows_for(connection, asking, list(facts))) if asking else {}
    meant = await asyncio.to_thread(_meant, conditions, facts, more)
    for group, names in meant.items():
        await _settle(connection, group, names, facts.keys(), joined)


def _meant(conditions: dict[str, Condition], facts: dict[str, str], more: dict[str, str]) -> dict[str, set[str]]:
    """By group, those of the machines that its expression is true of."""
    return {
        group: {
            name
            for name, said in facts.items()
            if condition.is_true(name, more.get(name, said) if condition.wants_software else said)
        }
        for group, condition in conditions.items()
    }


def _all_changes(
    fresh: Sequence[Inventory], before: dict[str, tuple[str, str]], lists: dict[str, bytes]
) -> list[tuple[str, int, list[inventory_history.Change]]]:
    """By machine what changed since its word before; nothing of a first one.  Blocking (CPU)."""
    return [(one.node, one.at, _changes(one, *before[one.node], lists)) for one in fresh if one.node in before]


def _changes(one: Inventory, old: str, was: str, lists: dict[str, bytes]) -> list[inventory_history.Change]:
    """What changed since the word before.  Blocking (CPU)."""
    known = None
    present = one.software.hex()
    if was != present and was in lists and present in lists:
        known = (unpacked(bytes.fromhex(was), lists[was]), unpacked(one.software, lists[present]))
    new = msgspec.to_builtins(one.facts)
    return inventory_history.changes(msgspec.json.decode(old), new, known)


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
