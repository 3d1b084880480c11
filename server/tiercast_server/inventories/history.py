"""What changed in what machines say of themselves: one row for each fact that became another.

Rules (docs/inventory.md)
- Written in the transaction that takes the machine's word; the time is the machine's own, of that word.
- Free bytes are no change.  Of the maps each entry is a fact of its own: packages.editor, software.openssl.
- Bounded: so many changes of one word, then one row that says how many more; so many rows of one machine, the newest.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.facts.inventory import LONGEST, SOFTWARE
from tiercast_server.database.tables import inventory_changes
from tiercast_server.nodes.nodes import get

#: Most rows of one word, and of one machine.
MOST_CHANGES, MOST_ROWS = 500, 5_000
_NO_CHANGE = frozenset({"disk_free", "name"})


class Change(NamedTuple):
    """`fact` was `old` and is `new`; "" is: it was, or is, not there."""

    fact: str
    old: str
    new: str


def changes(
    old: Mapping[str, Any], new: Mapping[str, Any], lists: tuple[Mapping[str, str], Mapping[str, str]] | None = None
) -> list[Change]:
    """What is another in `new`, by fact; `lists` are the software before and after, where both are known."""
    found: list[Change] = []
    for fact, value in sorted(new.items()):
        before = old.get(fact)
        if fact in _NO_CHANGE or before == value:
            continue
        if isinstance(value, dict):
            found += _entries(fact, before if isinstance(before, dict) else {}, value)
        else:
            found.append(Change(fact, "" if before is None else _text(before), _text(value)))
    if lists is not None:
        found += _entries(SOFTWARE, *lists)
    if len(found) > MOST_CHANGES:
        more = len(found) - MOST_CHANGES
        found = [*found[:MOST_CHANGES], Change("...", "", f"{more} more changes")]
    return found


def _entries(fact: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return [
        Change(f"{fact}.{name}", _text(old[name]) if name in old else "", _text(new[name]) if name in new else "")
        for name in names
    ]


def _text(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text[:LONGEST]


async def note(connection: AsyncConnection, found: Iterable[tuple[str, int, Sequence[Change]]]) -> None:
    """Write down by machine, with the time of its word, what changed: one statement for all of them."""
    rows = [
        {"node": node, "at": at, "fact": one.fact, "old": one.old, "new": one.new}
        for node, at, some in found
        for one in some
    ]
    if rows:
        await connection.execute(insert(inventory_changes), rows)


async def sweep(connection: AsyncConnection) -> None:
    """Forget the oldest rows of machines that have too many."""
    counts = select(inventory_changes.c.node).group_by(inventory_changes.c.node)
    for node in (await connection.execute(counts.having(func.count() > MOST_ROWS))).scalars().all():
        mine = inventory_changes.c.node == node
        newest = select(inventory_changes.c.id).where(mine).order_by(inventory_changes.c.id.desc())
        last = (await connection.execute(newest.offset(MOST_ROWS).limit(1))).scalar()
        await connection.execute(delete(inventory_changes).where(mine, inventory_changes.c.id <= last))


async def history(connection: AsyncConnection, node: str, pattern: str, limit: int) -> list[dict[str, Any]]:
    """The newest changes of a machine first: {at, fact, old, new}, of facts that fit `pattern` ("*": all).

    Raises:
        UsageError: node.unknown.
    """
    await get(connection, node)
    query = select(inventory_changes).where(inventory_changes.c.node == node)
    found: list[dict[str, Any]] = []
    for row in await connection.execute(query.order_by(inventory_changes.c.id.desc())):
        if fnmatch.fnmatchcase(row.fact, pattern):
            found.append({"at": row.at, "fact": row.fact, "old": row.old, "new": row.new})
            if len(found) >= limit:
                break
    return found
