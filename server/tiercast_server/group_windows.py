"""The windows of groups: kept, told to the members, and looked at when a job is ordered (docs/jobs.md, "Groups").

Rules
- A machine in several groups with windows installs only while all of them are open, and the job's and its owner's too.
- Whoever's list changed is told in the transaction that changed it, and before any order that the same one gives: so
  no order comes to a machine before the window that its group has.
- What was told is remembered with the key's generation; who never had a window is told nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import jobtypes, times
from tiercast_protocol.content.jobs.groupwindows import GroupWindows, sign_windows
from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer.overlap import Limit, room
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.site import WindowsTold
from tiercast_server import handover
from tiercast_server.database.site_tables import group_windows, windows_told
from tiercast_server.database.tables import members
from tiercast_server.database.tables import nodes as nodes_table
from tiercast_server.nodes import nodes
from tiercast_server.parts import parts
from tiercast_server.region import Region

#: Whether something that recurs every week is ever open is seen in two of them.
_WEEKS_S = 15 * 86_400.0
Row = list[tuple[str, str]]
#: From when to when, in seconds since 1970.
Span = tuple[float, float]


async def put(connection: AsyncConnection, group: str, text: str, now: int) -> str:
    """Give a group this window, "" for none; as it is kept.

    Raises:
        UsageError: window.invalid or window.never.
    """
    kept = ""
    if text:
        windows = calendar.parse(text)
        kept = calendar.shown(windows)
        if not calendar.capacity(windows, now / 1000, now / 1000 + _WEEKS_S)[0]:
            raise UsageError(
                code="window.never",
                what=f"With the window {kept} nothing would ever be installed on the members of {group!r}.",
                todo="Add one that opens, or shorten the black-out. Nothing was done.",
            )
    await connection.execute(delete(group_windows).where(group_windows.c.group_name == group))
    if kept:
        await connection.execute(insert(group_windows).values(group_name=group, text=kept))
    return kept


async def of_groups(connection: AsyncConnection) -> dict[str, str]:
    """The window of each group that has one."""
    return {row.group_name: row.text for row in await connection.execute(select(group_windows))}


async def of_nodes(connection: AsyncConnection, names: Collection[str] | None = None) -> dict[str, Row]:
    """By node (of these, or of all): its groups that have a window, each with it; nodes without are left out."""
    found: dict[str, Row] = {}
    by_group = await of_groups(connection)
    if not by_group:
        return found
    query = select(members.c.node, members.c.group_name).where(members.c.group_name.in_(by_group))
    for some in parts(members.c.node, names):
        for row in await connection.execute(query.where(*some)):
            found.setdefault(row.node, []).append((row.group_name, by_group[row.group_name]))
    return {node: sorted(windows) for node, windows in found.items()}


async def settle(region: Region, connection: AsyncConnection, names: Iterable[str] | None = None) -> list[str]:
    """Tell those of these nodes (None: all) whose windows are others than they were told; who they are."""
    only = None if names is None else set(names)
    wanted = await of_nodes(connection, only)
    told: dict[str, Any] = {}
    for some in parts(windows_told.c.node, only):
        told |= {row.node: row for row in await connection.execute(select(windows_told).where(*some))}
    changed: list[str] = []
    both = wanted.keys() | told.keys()
    for some in parts(nodes_table.c.name, both):
        for node in await nodes.all_nodes(connection, *some):
            before, now = told.get(node.name), region.clock()
            body = codec.encode(wanted.get(node.name, []))
            same = before is not None and (before.generation, before.body) == (node.generation, body)
            if same or not node.has_joined or node.role != "endpoint":
                continue
            issued = max(now, before.issued + 1 if before is not None else 0)
            said = GroupWindows(
                region=region.name,
                node=node.name,
                generation=node.generation,
                issued=issued,
                windows=wanted.get(node.name, []),
            )
            data, signature = sign_windows(said, region.key)
            await handover.put(connection, WindowsTold(data=data, signature=signature), receiver=node.name)
            row = {"generation": node.generation, "issued": issued, "body": body}
            if before is None:
                await connection.execute(insert(windows_told).values(node=node.name, **row))
            else:
                await connection.execute(update(windows_told).where(windows_told.c.node == node.name).values(**row))
            changed.append(node.name)
    return changed


async def limits(connection: AsyncConnection, names: Collection[str]) -> list[list[Limit]]:
    """The windows that hold together on some of these nodes: each combination once."""
    found = {tuple(windows) for windows in (await of_nodes(connection, names)).values()}
    return [[Limit(f"group {name}", calendar.parse(text)) for name, text in windows] for windows in sorted(found)]


async def check_targets(
    connection: AsyncConnection, type_: str, options: Mapping[str, object], names: Collection[str], span: Span
) -> None:
    """Refuse a job that its groups' windows never let begin on one of these targets.

    Raises:
        UsageError: window.apart.
    """
    kind = jobtypes.of(type_)
    if kind.package and kind.role == "endpoint":
        check(await limits(connection, names), times.read(options).window, *span)


def check(groups: Sequence[Sequence[Limit]], own: tuple[calendar.Window, ...], start: float, end: float) -> None:
    """Refuse what could be installed on some targets at no moment from `start` to `end` (seconds since 1970).

    Raises:
        UsageError: window.apart.
    """
    for windows in groups:
        together = [*windows, *([Limit("the job", own)] if own else [])]
        if end > start and room(together, start, end, 1).done is None:
            said = "; ".join(f"{one.name}: {calendar.shown(one.windows)}" for one in together)
            raise UsageError(
                code="window.apart",
                what=f"From {calendar.moment(start)} to {calendar.moment(end)} these are never open together: {said}",
                todo="Give the job or a group a window that overlaps, or a later expiry. Nothing was done.",
            )
