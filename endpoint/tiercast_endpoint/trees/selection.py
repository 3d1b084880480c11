"""What of a package this machine takes: its file group, with its variables filled in (docs/packages.md).

Rules
- Both go by the facts of the machine and its owner's settings at the moment when the installation is planned; then they
  stand until it is planned again, so that what was fetched is what is assembled.
- What the lists name is mapped, never believed more: the assembler checks order, folders and counts of what comes out.
- A link's target is judged again once it is filled in: no value leads it out of the tree.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from tiercast_protocol.content.facts.inventory import Facts
from tiercast_protocol.content.package.definition import Definition, parse_definition
from tiercast_protocol.content.package.filegroups import Choice, FileGroup, choice_of, group_for, moved
from tiercast_protocol.content.package.variables import Value, fill, resolve, texts
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Root, order_key
from tiercast_protocol.errors import MessageInvalid, UsageError
from tiercast_protocol.node import fetch
from tiercast_protocol.node.chunks.port import ChunkStore

#: Entries that are handed on at a time.
_BATCH = 2048


@dataclass(frozen=True, slots=True)
class Selection:
    """What is taken of one package: `root` has the counts of it; values by variable; the group's name."""

    root: Root
    definition: Definition
    choice: Choice = field(default_factory=Choice)
    group: str = ""
    values: dict[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether the tree is taken as it is."""
        return self.choice.whole and not self.values

    async def entries(self, store: ChunkStore) -> AsyncIterator[Sequence[Entry]]:
        """The entries that are taken, in the order of a tree; as `fetch.read_entries`."""
        if self.choice.whole:
            async for entries in fetch.read_entries(self.root, store):
                yield [self._filled(entry) for entry in entries] if self.values else entries
            return
        common = _flat(fetch.read_entries(self.root, store), self.choice.common)
        own = _flat(fetch.read_entries(self.root, store), self.choice.own)
        batch: list[Entry] = []
        async for entry in _merged(common, own):
            batch.append(self._filled(entry))
            if len(batch) >= _BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _filled(self, entry: Entry) -> Entry:
        if entry.kind is not Kind.LINK or "$" not in entry.target or not self.values:
            return entry
        try:
            return moved(replace(entry, target=fill(entry.target, self.values)), entry.path)
        except UsageError as error:
            raise MessageInvalid(error.what, "manifest") from error


class Chooser:
    """Selects for one machine.

    Args:
        facts: reads what the machine is now.
        settings: values that its owner set, by variable or "PACKAGE.VARIABLE".
    """

    def __init__(self, facts: Callable[[], Awaitable[Facts]], settings: Mapping[str, str]) -> None:
        self._facts, self._settings = facts, settings

    async def shown(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """What it would take of a package with this `definition`: {group, values: {NAME: {text, source}}}; as asked."""
        definition = await asyncio.to_thread(parse_definition, str(args.get("definition", "")), "definition")
        group, values = await self._decide(definition)
        shown = {name: {"text": value.text, "source": value.source} for name, value in values.items()}
        return {"group": group.name if group else "", "values": shown}

    async def choose(self, root: Root, definition: Definition, store: ChunkStore) -> Selection:
        """What this machine takes; root and lists are held.

        Raises:
            UsageError: platform.none, variable.unset, variable.invalid.
        """
        if not definition.files and not definition.variables:
            return Selection(root, definition)
        group, values = await self._decide(definition)
        name = group.name if group else ""
        found = Selection(root, definition, choice_of(definition.files, group), name, texts(values))
        if found.choice.whole:
            return found
        files = size = 0
        async for entries in found.entries(store):
            files += sum(1 for entry in entries if entry.kind is Kind.FILE and not entry.more)
            size += sum(entry.size for entry in entries)
        return replace(found, root=msgspec.structs.replace(root, files=files, size=size))

    async def _decide(self, definition: Definition) -> tuple[FileGroup | None, dict[str, Value]]:
        facts = await self._facts()
        text = msgspec.json.encode(facts).decode()
        group = await asyncio.to_thread(group_for, definition.files, facts.name, text)
        if definition.files and group is None:
            shown = "; ".join(f"{one.name}: {one.platform}" for one in definition.files)
            raise UsageError(
                code="platform.none",
                what=f"{definition.name} {definition.version} has no files for this machine ({shown}).",
                todo="Build it with a group for such machines.",
            )
        name = group.name if group else ""
        values = resolve(
            definition.variables,
            package=definition.name,
            version=definition.version,
            group=name,
            facts=msgspec.to_builtins(facts),
            settings=self._settings,
        )
        return group, values


async def _flat(
    lists: AsyncIterator[Sequence[Entry]], part: Callable[[Sequence[Entry]], Iterator[Entry]]
) -> AsyncIterator[Entry]:
    async for entries in lists:
        for entry in part(entries):
            yield entry


async def _merged(common: AsyncIterator[Entry], own: AsyncIterator[Entry]) -> AsyncIterator[Entry]:
    """As `filegroups.merged`; a file that goes on in the next list goes on at once."""
    a, b = await anext(common, None), await anext(own, None)
    while a is not None or b is not None:
        if a is not None and b is not None and a.path == b.path:
            if a.kind is not Kind.FOLDER or b.kind is not Kind.FOLDER:
                raise MessageInvalid(f"{a.path[:80]!r} is in a group and beside it", "manifest")
            b = await anext(own, None)
        elif b is None or (a is not None and order_key(a.path) < order_key(b.path)):
            if a is not None:
                yield a
            a = await anext(common, None)
        else:
            yield b
            b = await anext(own, None)
