"""Who is meant by a target: the expression's names and conditions, looked up in the region.

Rules
- What is named must exist: all unknown names are told at once.  Nothing is guessed, and nothing named is left out.
- `below` and `where` give nodes of the role that is asked for; a node or a member of a group is taken as it is, so
  that a wrong one is told of and not passed over.  Below whom a node is, its home says.
- Conditions are evaluated in a thread.  A machine of which a needed fact is not known is not meant, and is counted.
- Whoever changes or reads memberships to act on them holds `lock`: so nobody slips through between the two.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.facts.condition import Found, compile_condition
from tiercast_protocol.content.jobs import target
from tiercast_protocol.content.jobs.target import Expression, Leaf, Named, Where
from tiercast_protocol.errors import UsageError
from tiercast_server.database.tables import groups, members
from tiercast_server.database.tables import nodes as nodes_table
from tiercast_server.inventories.software import rows_for
from tiercast_server.nodes.nearness import suggestion
from tiercast_server.nodes.nodes import Node, all_nodes
from tiercast_server.parts import parts
from tiercast_server.region import Region

#: The tree of what is kept of a job.
parsed = lru_cache(maxsize=512)(target.parse_kept)
#: What stands in `Picked.unknown` for machines that never said anything.
NO_INVENTORY = "inventory"


@dataclass(frozen=True, slots=True)
class Picked:
    """Who is meant, by name; `unknown` counts by fact the machines that are not, because it is not known of them."""

    nodes: list[Node]
    unknown: Counter[str] = field(default_factory=Counter)


class Targeting:
    """Looks targets up."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self.lock = asyncio.Lock()

    async def pick(
        self, connection: AsyncConnection, expression: Expression | None, role: str, only: Collection[str] | None = None
    ) -> Picked:
        """Who is meant by `expression`; of `only`, where that is given.

        Raises:
            UsageError: node.unknown, group.unknown, parent.invalid, condition.* or fact.unknown.
        """
        if expression is None:
            return Picked([])
        _check_conditions(expression, role)
        found = await all_nodes(connection) if only is None else await _some(connection, only)
        known = {node.name: node for node in found}
        if only is None:
            await self._check_names(connection, expression, known)
        return await self._among(connection, expression, role, known, only)

    async def pick_of(
        self, connection: AsyncConnection, expression: Expression, role: str, known: Mapping[str, Node]
    ) -> Picked:
        """As `pick`, for who has read all nodes of the region already (`known`), to ask for many expressions."""
        _check_conditions(expression, role)
        await self._check_names(connection, expression, known)
        return await self._among(connection, expression, role, known, None)

    async def among(
        self, connection: AsyncConnection, expression: Expression, role: str, known: Mapping[str, Node]
    ) -> Picked:
        """Who is meant by `expression` of these nodes, which are all that count: names of others mean nobody.

        Raises:
            UsageError: condition.* or fact.unknown.
        """
        _check_conditions(expression, role)
        return await self._among(connection, expression, role, known, None)

    async def _among(
        self,
        connection: AsyncConnection,
        expression: Expression,
        role: str,
        known: Mapping[str, Node],
        only: Collection[str] | None,
    ) -> Picked:
        sets: dict[Leaf, frozenset[str]] = {}
        unknown: Counter[str] = Counter()
        for leaf in set(target.leaves(expression)):
            names, lacking = await self._members(connection, leaf, known, role, only)
            sets[leaf] = frozenset(names) & known.keys()
            unknown += lacking
        whole = frozenset(node.name for node in known.values() if node.role == role)
        meant = target.evaluate(expression, whole, sets.__getitem__)
        return Picked([known[name] for name in sorted(meant)], unknown)

    async def _check_names(
        self, connection: AsyncConnection, expression: Expression, known: Mapping[str, Node]
    ) -> None:
        held = set((await connection.execute(select(groups.c.name))).scalars())
        wrong = sorted(target.names_of(expression, "node") - known.keys())
        wrong_groups = sorted(target.names_of(expression, "group") - held)
        above = target.names_of(expression, "below")
        wrong_above = sorted(above - known.keys() - {self._region.server})
        if wrong or wrong_groups or wrong_above:
            kinds = (("node", [*wrong, *wrong_above]), ("group", wrong_groups))
            text = "; ".join(f"no {kind} is called {', '.join(map(repr, names))}" for kind, names in kinds if names)
            near = [suggestion(name, known) for name in (*wrong, *wrong_above)]
            near += [suggestion(name, held) for name in wrong_groups]
            raise UsageError(
                code="group.unknown" if not wrong and not wrong_above else "node.unknown",
                what=f"{text[0].upper()}{text[1:]}.",
                todo="".join(near[:3])
                + "`tiercast node list` and `tiercast group list` show what there is. Nothing was done.",
            )
        childless = sorted(name for name in above if name in known and known[name].role != "gateway")
        if childless:
            raise UsageError(
                code="parent.invalid",
                what=f"Nothing can be below {', '.join(childless)}: no gateway.",
                todo="Name a gateway or the server after `below`; `node NAME` means the node itself.",
            )

    async def _members(
        self,
        connection: AsyncConnection,
        leaf: Leaf,
        known: Mapping[str, Node],
        role: str,
        only: Collection[str] | None,
    ) -> tuple[Iterable[str], Counter[str]]:
        match leaf:
            case Where(condition):
                found = await self._where(connection, condition, only)
                lacking = sum(node.role == role == "endpoint" for node in known.values()) - found.looked_at
                if lacking > 0:
                    found.unknown[NO_INVENTORY] += lacking
                return (name for name in found.names if name in known and known[name].role == role), found.unknown
            case Named("node", names):
                return names, Counter()
            case Named("group", names):
                query = select(members.c.node).where(members.c.group_name.in_(names))
                split = parts(members.c.node, only)
                return [row.node for some in split for row in await connection.execute(query.where(*some))], Counter()
            case Named(_, names):
                below = await below_all(connection, names)
                return (name for name in below if name in known and known[name].role == role), Counter()

    async def _where(self, connection: AsyncConnection, condition: str, only: Collection[str] | None) -> Found:
        compiled = compile_condition(condition)
        rows = await rows_for(connection, [compiled], only)
        return await asyncio.to_thread(compiled.find, rows)


def shown(picked: Picked, *, confirm: bool) -> dict[str, Any]:
    """Who is meant, by site: {targets, sites: [{site, targets, nodes}], unknown, confirm}; largest sites first."""
    sites: dict[str, list[str]] = {}
    for node in picked.nodes:
        sites.setdefault(node.parent, []).append(node.name)
    rows = [{"site": site, "targets": len(names), "nodes": names} for site, names in sites.items()]
    rows.sort(key=lambda row: (-int(str(row["targets"])), str(row["site"])))
    return {"targets": len(picked.nodes), "sites": rows, "unknown": dict(picked.unknown), "confirm": confirm}


def _check_conditions(expression: Expression, role: str) -> None:
    """Refuse conditions that can't be, before anything is read."""
    for leaf in target.leaves(expression):
        if isinstance(leaf, Where):
            compile_condition(leaf.condition)
            _check_role(role)


def _check_role(role: str) -> None:
    if role != "endpoint":
        raise UsageError(
            code="condition.role",
            what=f"`where` is about endpoints; {role}s say nothing of themselves.",
            todo="Name gateways, groups of them, or `below` one: --target 'below server minus node berlin'.",
        )


async def below_all(connection: AsyncConnection, above: Iterable[str]) -> set[str]:
    """Every node below these, by home."""
    query = select(nodes_table.c.name, nodes_table.c.parent).where(nodes_table.c.state != "removed")
    children: dict[str, list[str]] = {}
    for row in await connection.execute(query):
        children.setdefault(row.parent, []).append(row.name)
    found: set[str] = set()
    more = list(above)
    while more:
        fresh = [name for name in children.get(more.pop(), ()) if name not in found]
        found.update(fresh)
        more += fresh
    return found


async def _some(connection: AsyncConnection, only: Collection[str]) -> list[Node]:
    return [node for some in parts(nodes_table.c.name, only) for node in await all_nodes(connection, *some)]
