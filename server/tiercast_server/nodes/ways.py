"""The links on the ways to a job's targets, with what was said of them, as far as their nodes answer.

Rules
- Asked only where something depends on it: a job with a time by which it is to be somewhere.
- A link of which no rate was said counts with what was measured of it of late.
- All gateways at once, with a short deadline.  Who is not there says nothing, and a link of which nothing is known
  limits nothing: refused is only what can't be.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from tiercast_protocol.content.jobs import jobtypes, times
from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer.overlap import Limit
from tiercast_protocol.transfer.terms import link_words
from tiercast_server.jobs.checks import Request
from tiercast_server.nodes.nodes import Node, all_nodes
from tiercast_server.region import Region
from tiercast_server.targeting import Targeting
from tiercast_server.tree import Tree

DEADLINE_S = 1.0
#: Of a job with any of these it is known by when something is to be there.
GOALS = frozenset({times.DEADLINE, times.PREPARE_BY, times.INSTALL_WINDOW, times.SPREAD_AUTO})
#: What was measured counts once a link has carried so much: of less nothing is learned of it.
MEASURED_BYTES = 1 << 20
#: Most different ways that are looked at; more would be a minute's work for one answer.
MOST_WAYS = 50


class Ways:
    """Asks for them; `own` gives the server's own answer to `link.list`."""

    def __init__(
        self, region: Region, tree: Tree, own: Callable[[], list[dict[str, Any]]], targeting: Targeting
    ) -> None:
        self._region, self._tree, self._own, self._targeting = region, tree, own, targeting

    async def of(self, request: Request) -> list[list[Limit]]:
        """The limits on each way to the job's targets; none where nothing depends on them."""
        if request.type not in jobtypes.with_content() or not GOALS & request.options.keys():
            return []
        try:
            async with self._region.db.read() as connection:
                nodes = {node.name: node for node in await all_nodes(connection)}
                role = jobtypes.of(request.type).role
                targets = (await self._targeting.pick(connection, request.meant, role)).nodes
        except UsageError:  # whoever creates the job says what is wrong
            return []
        return await ways(self._tree, self._region.server, targets, nodes, self._own())


async def ways(
    tree: Tree, server: str, targets: Iterable[Node], nodes: dict[str, Node], own: list[dict[str, Any]]
) -> list[list[Limit]]:
    """Different chains of links with terms that lead to `targets`; `own` is the server's answer to `link.list`."""
    chains = {chain for target in targets if (chain := _chain(target, nodes, server))}
    names = sorted({parent for chain in chains for parent, _ in chain if parent != server})
    answers = await asyncio.gather(*(_ask(tree, name) for name in names))
    limits = {(server, row["child"]): limit for row in own if (limit := _limit(server, row)) is not None}
    together = {server: _together(own)}
    for name, rows in zip(names, answers, strict=True):
        limits |= {(name, row["child"]): limit for row in rows if (limit := _limit(name, row)) is not None}
        together[name] = _together(rows)
    children = Counter(parent for parent, _ in {link for chain in chains for link in chain})
    for name, rate in together.items():
        if rate and children[name]:
            shared = Limit(f"all links from {name} together", rate=rate, copies=children[name])
            limits |= {(name, ""): shared}
    found = {tuple(limits[one] for link in chain for one in (link, (link[0], "")) if one in limits) for chain in chains}
    return [list(way) for way in sorted(found, key=repr) if way][:MOST_WAYS]


def _chain(target: Node, nodes: dict[str, Node], server: str) -> tuple[tuple[str, str], ...]:
    """The links from the server down to the target, by names of parent and child."""
    chain: list[tuple[str, str]] = []
    child, parent = target.name, target.parent
    while (parent, child) not in chain:
        chain.append((parent, child))
        if parent == server or parent not in nodes:
            break
        child, parent = parent, nodes[parent].parent
    return tuple(reversed(chain))


async def _ask(tree: Tree, name: str) -> list[dict[str, Any]]:
    try:
        answer = await tree.ask(name, "link.list", {}, deadline=DEADLINE_S)
    except UsageError:
        return []
    return [row for row in answer if isinstance(row, dict)] if isinstance(answer, list) else []


def _together(rows: list[dict[str, Any]]) -> float:
    """Bytes per second that were said of all links of a parent; 0 for nothing."""
    said = [rate for row in rows if isinstance(rate := row.get("together"), int | float) and rate > 0]
    return float(min(said, default=0))


def _limit(parent: str, row: dict[str, Any]) -> Limit | None:
    """What was said of a link, and else what was measured; None for nothing, or for nothing that can be read."""
    try:
        words = link_words(row["terms"])
        name = f"the link from {parent} to {row['child']}"
        measured = row.get("measured")
    except (UsageError, KeyError, TypeError, AttributeError):
        return None
    rate = words.pace.rate
    enough = isinstance(sent := row.get("sent_bytes"), int) and sent >= MEASURED_BYTES
    if rate is None and enough and isinstance(measured, int | float) and measured > 0:
        rate, name = float(measured), f"{name} (as measured)"
    return Limit(name, words.windows, rate) if words.windows or rate is not None else None
