"""Assignments, windows and their history as rows.

Rules
- What an assignment is stands in its definition; beside it is what became of it.
- What was tried is written as far as it changed: ten thousand machines that hold are no row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs.assigned import Rule
from tiercast_protocol.content.jobs.target import names_of
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire import codec
from tiercast_server.database.assignment_tables import assignment_tries, assignments, desired_changes, desired_windows
from tiercast_server.desired.document import Assignment
from tiercast_server.desired.life import AssignmentLife, Try
from tiercast_server.nodes.nearness import suggestion
from tiercast_server.parts import parts

_MAX_DETAIL = 1_000
#: What was written by us may be larger than what a peer may send.
_LARGEST = 64 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    """One assignment; `said` is why it can't be acted on; `rollout` its newest, about the version `rolled`."""

    definition: Assignment
    said: str
    rollout: str
    rolled: str
    created_by: str
    created: int

    @property
    def name(self) -> str:
        """Its name."""
        return self.definition.name

    @property
    def rule(self) -> Rule:
        """What it says."""
        return self.definition.rule


def _kept(row: RowMapping) -> Kept:
    return Kept(
        definition=codec.decode(row["definition"], Assignment),
        said=row["said"],
        rollout=row["rollout"],
        rolled=row["rolled"],
        created_by=row["created_by"],
        created=row["created"],
    )


async def all_(connection: AsyncConnection, package: str = "") -> list[Kept]:
    """Every assignment, or those about one package, by name."""
    query = select(assignments).order_by(assignments.c.name)
    if package:
        query = query.where(assignments.c.package == package)
    return [_kept(row) for row in (await connection.execute(query)).mappings()]


async def find(connection: AsyncConnection, name: str) -> Kept | None:
    """The assignment of this name."""
    row = (await connection.execute(select(assignments).where(assignments.c.name == name))).mappings().one_or_none()
    return None if row is None else _kept(row)


async def get(connection: AsyncConnection, name: str) -> Kept:
    """The assignment of this name.

    Raises:
        UsageError: assignment.unknown.
    """
    found = await find(connection, name)
    if found is None:
        near = suggestion(name, (await connection.execute(select(assignments.c.name))).scalars())
        raise UsageError(
            code="assignment.unknown",
            what=f"No assignment is called {name[:60]!r}.",
            todo=f"{near}`tiercast assignment list` shows all assignments.",
        )
    return found


async def put(connection: AsyncConnection, one: Assignment, by: str, now: int, *, new: bool) -> None:
    """Write a definition; of one that is there what became of it stays, but why it could not be acted on."""
    rule = one.rule
    values: dict[str, Any] = {
        "package": rule.package,
        "wants": rule.text,
        "lacks": rule.lacks,
        "target": one.target,
        "paused": one.paused,
        "definition": codec.encode(msgspec.to_builtins(one)),
        "said": "",
    }
    if new:
        first = {"name": one.name, "rollout": "", "rolled": "", "created_by": by, "created": now}
        await connection.execute(insert(assignments).values(**values, **first))
    else:
        await connection.execute(update(assignments).where(assignments.c.name == one.name).values(**values))


async def mark(connection: AsyncConnection, name: str, **values: str) -> None:
    """Write what became of an assignment: `said`, `rollout`, `rolled`."""
    await connection.execute(update(assignments).where(assignments.c.name == name).values(**values))


async def forget(connection: AsyncConnection, name: str) -> None:
    """Delete the assignment and what was tried for it."""
    await connection.execute(delete(assignment_tries).where(assignment_tries.c.assignment == name))
    await connection.execute(delete(assignments).where(assignments.c.name == name))


async def check_unnamed(connection: AsyncConnection, group: str) -> None:
    """Refuse to take a group away for whose members there is an assignment.

    Raises:
        UsageError: group.assigned.
    """
    if found := [one.name for one in await all_(connection) if group in names_of(one.definition.meant, "group")]:
        raise UsageError(
            code="group.assigned",
            what=f"Assignments are for the group {group!r}: {', '.join(found[:10])}.",
            todo=f"`tiercast assignment delete {found[0]}` first. Nothing was changed.",
        )


# -- what was tried ----------------------------------------------------------------------------------


async def lives(connection: AsyncConnection, kept: Collection[Kept]) -> dict[str, AssignmentLife]:
    """The machine of each of these, as it stands."""
    found = {one.name: AssignmentLife(one.definition.paused) for one in kept}
    for row in (await connection.execute(select(assignment_tries))).mappings():
        if row["assignment"] in found:
            found[row["assignment"]].tries[row["node"]] = Try(
                **{name: row[name] for name in ("job", "failures", "again", "done", "code", "detail")}
            )
    return found


async def keep_tries(
    connection: AsyncConnection, name: str, before: Mapping[str, Try], after: Mapping[str, Try]
) -> None:
    """Write what changed of what was tried."""
    changed = {node: one for node, one in after.items() if before.get(node) != one}
    old = [node for node in before if node not in after or node in changed]
    for some in parts(assignment_tries.c.node, old) if old else ():
        await connection.execute(delete(assignment_tries).where(assignment_tries.c.assignment == name, *some))
    rows = [
        {
            "assignment": name,
            "node": node,
            "job": one.job,
            "failures": one.failures,
            "again": one.again,
            "done": one.done,
            "code": one.code[:64],
            "detail": one.detail[:_MAX_DETAIL],
        }
        for node, one in sorted(changed.items())
    ]
    if rows:
        await connection.execute(insert(assignment_tries), rows)


# -- windows -----------------------------------------------------------------------------------------


async def windows(connection: AsyncConnection) -> dict[str, str]:
    """Every window by name."""
    rows = await connection.execute(select(desired_windows).order_by(desired_windows.c.name))
    return {row.name: row.open for row in rows}


async def set_window(connection: AsyncConnection, name: str, open_: str | None) -> None:
    """Write a window; None deletes it."""
    await connection.execute(delete(desired_windows).where(desired_windows.c.name == name))
    if open_ is not None:
        await connection.execute(insert(desired_windows).values(name=name, open=open_))


# -- history -----------------------------------------------------------------------------------------


async def record(
    connection: AsyncConnection, by: str, now: int, how: str, changes: object, document: dict[str, Any]
) -> int:
    """Write down that somebody changed something; the number of that."""
    last = (await connection.execute(select(func.max(desired_changes.c.number)))).scalar_one_or_none()
    number: int = (last or 0) + 1
    await connection.execute(
        insert(desired_changes).values(
            number=number, at=now, by=by, how=how, changes=codec.encode(changes), document=codec.encode(document)
        )
    )
    return number


async def history(connection: AsyncConnection, limit: int) -> list[dict[str, Any]]:
    """The newest changes, newest first."""
    c = desired_changes.c
    query = select(c.number, c.at, c.by, c.how, c.changes).order_by(c.number.desc()).limit(limit)
    return [
        {"number": row.number, "at": row.at, "by": row.by, "how": row.how, "changes": _plain(row.changes)}
        for row in await connection.execute(query)
    ]


async def document_of(connection: AsyncConnection, number: int) -> dict[str, Any]:
    """All definitions as they stood after the change of this number.

    Raises:
        UsageError: change.unknown.
    """
    query = select(desired_changes.c.document).where(desired_changes.c.number == number)
    data: bytes | None = (await connection.execute(query)).scalar_one_or_none()
    if data is None:
        raise UsageError(
            code="change.unknown",
            what=f"There is no change {number} of the desired state.",
            todo="`tiercast assignment history` shows all. Nothing was changed.",
        )
    found: dict[str, Any] = _plain(data)
    return found


def _plain(data: bytes) -> Any:
    return codec.decode_plain(data, max_size=_LARGEST)
