"""What machines would take of a package: their file group, and the values of its variables.

`package show --on` asks for some machines; the dry run of an installation tells it of its targets beforehand.

Rules
- A machine that can be asked within a moment answers for itself, its owner's settings included.
- Of one that can't, what it said last of itself decides, and its settings are not known: that is said.
- Of many targets the first are asked; the others are counted by group, by what they said last of themselves.
- What keeps a machine from it (no group, a variable without a value) is an answer like any other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from sqlalchemy import select

from tiercast_protocol.content.package.definition import Definition, parse_definition
from tiercast_protocol.content.package.filegroups import group_for
from tiercast_protocol.content.package.variables import resolve
from tiercast_protocol.errors import UsageError
from tiercast_server.database.tables import inventory
from tiercast_server.packages.packages import find_sealed
from tiercast_server.parts import parts
from tiercast_server.region import Region

DEADLINE_S = 3.0
#: Machines that are asked in one call.
MOST_NODES = 100


class Asks(Protocol):
    """What of the tree is needed here."""

    async def ask(self, node: str, verb: str, args: dict[str, Any], *, deadline: float) -> Any:
        """What a reading gives at a node below; raises UsageError."""
        ...


class Values:
    """Asks machines of the region."""

    def __init__(self, region: Region, tree: Asks | None) -> None:
        self._region, self._tree = region, tree

    async def of(self, definition: str, nodes: Sequence[str]) -> list[dict[str, Any]]:
        """{node, asked, group, values: {NAME: {text, source}}, problem} of each.

        Raises:
            UsageError: values.many.
        """
        if len(nodes) > MOST_NODES:
            raise UsageError("values.many", f"{len(nodes)} machines are too many.", todo=f"Name {MOST_NODES} at most.")
        parsed = await asyncio.to_thread(parse_definition, definition, "definition")
        known = await self._said(nodes)
        return list(await asyncio.gather(*(self._one(definition, parsed, node, known.get(node)) for node in nodes)))

    async def foreseen(self, reference: str, nodes: Sequence[str]) -> dict[str, Any]:
        """What a dry run tells: {takes: rows as of `of`, takes_more: machines without a row, by group}.

        A package that is the same everywhere gives {}; a group "" is none.

        Raises:
            UsageError: package.*, reference.invalid.
        """
        async with self._region.db.read() as connection:
            definition = (await find_sealed(connection, reference)).definition
        parsed = await asyncio.to_thread(parse_definition, definition, "definition")
        if not parsed.files and not parsed.variables:
            return {}
        found: dict[str, Any] = {"takes": await self.of(definition, nodes[:MOST_NODES])}
        if rest := nodes[MOST_NODES:]:
            said = await self._said(rest)
            found["takes_more"] = await asyncio.to_thread(_by_group, parsed, rest, said)
        return found

    async def _said(self, nodes: Sequence[str]) -> dict[str, str]:
        """What each of these said last of itself."""
        async with self._region.db.read() as connection:
            query = select(inventory.c.node, inventory.c.facts)
            return {
                row.node: row.facts
                for some in parts(inventory.c.node, list(nodes))
                for row in await connection.execute(query.where(*some))
            }

    async def _one(self, text: str, definition: Definition, node: str, facts: str | None) -> dict[str, Any]:
        row: dict[str, Any] = {"node": node, "asked": True, "group": "", "values": {}, "problem": ""}
        if self._tree is not None:
            try:
                row.update(await self._tree.ask(node, "package.values", {"definition": text}, deadline=DEADLINE_S))
            except UsageError as error:
                if error.code.startswith(("platform.", "variable.")):
                    return row | {"problem": error.what}
            else:
                return row
        row["asked"] = False
        if facts is None:
            return row | {"problem": f"{node} can't be asked, and said nothing of itself yet."}
        try:
            return row | await asyncio.to_thread(_reckoned, definition, node, facts)
        except UsageError as error:
            return row | {"problem": error.what}


def _by_group(definition: Definition, nodes: Sequence[str], said: Mapping[str, str]) -> dict[str, int]:
    groups = (group_for(definition.files, node, said[node]) if node in said else None for node in nodes)
    return dict(Counter(group.name if group else "" for group in groups))


def _reckoned(definition: Definition, node: str, facts: str) -> dict[str, Any]:
    group = group_for(definition.files, node, facts)
    if definition.files and group is None:
        raise UsageError("platform.none", f"{definition.name} {definition.version} has no files for this machine.")
    name = group.name if group else ""
    known = msgspec.json.decode(facts)
    found = resolve(
        definition.variables,
        package=definition.name,
        version=definition.version,
        group=name,
        facts=known,
        settings={},
    )
    return {
        "group": name,
        "values": {name: {"text": one.text, "source": one.source} for name, one in found.items()},
    }
