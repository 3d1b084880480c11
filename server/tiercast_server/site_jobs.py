"""Jobs whose groups are held at gateways: what these are told (docs/protocol.md, section 14).

Rules
- A job that follows groups is site-held where its whole target can be told to a gateway; else the region alone adds to
  it.
- The gateways that have joined when it is ordered may vouch, each for machines directly below it.  For those machines
  the region adds nobody by itself, so nobody is added twice; for all others it does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import target
from tiercast_protocol.content.jobs.vouching import SITE, Definition, Group, definition_text
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import OrderTarget, StatusRecord
from tiercast_protocol.wire.site import SiteOrder
from tiercast_server import group_windows, handover
from tiercast_server.database.site_tables import site_jobs, site_strays
from tiercast_server.database.tables import groups, members, placings
from tiercast_server.database.tables import nodes as nodes_table
from tiercast_server.nodes import nodes
from tiercast_server.nodes.nodes import Node
from tiercast_server.parts import parts
from tiercast_server.targeting import below_all

if TYPE_CHECKING:
    from tiercast_server.jobs.rows import Job

#: Most gateways of one such order; a larger region leaves its groups to the server.
MOST = 4_000


@dataclass(frozen=True, slots=True)
class Held:
    """One row: the revision whose order the gateways hold, and which they are, with the generations of their keys."""

    revision: int
    vouchers: dict[str, int]


async def definition(connection: AsyncConnection, text: str, role: str, *, held_there: bool = False) -> str:
    """What gateways are to be told of the target `text`; "" where they can't decide it.

    Longer than `vouching.LONGEST` it is not told.  `held_there`: they hold it already, so also where nothing is left
    of its groups that they decide.
    """
    expression = target.parse_kept(text)
    names = target.names_of(expression, "group")
    if not names or role != "endpoint":
        return ""
    found: dict[str, Group] = {}
    windows = await group_windows.of_groups(connection)
    for row in await connection.execute(select(groups).where(groups.c.name.in_(names))):
        held: list[str] = []
        if not row.expression:
            query = select(members.c.node).where(members.c.group_name == row.name, members.c.by_itself.is_(False))
            held = sorted((await connection.execute(query)).scalars())
        window = windows.get(row.name, "")
        found[row.name] = Group(where=row.expression, self_join=row.self_join, members=held, window=window)
    if not held_there and not any(group.where or group.self_join for group in found.values()):
        return ""
    gateways = {node.name for node in await nodes.all_nodes(connection, nodes_table.c.role == "gateway")}
    above: dict[str, list[str]] = {}
    for name in sorted(target.names_of(expression, "below")):
        above[name] = sorted({name} | (gateways & await below_all(connection, (name,))))
    return definition_text(Definition(target=text, groups=found, below=above))


async def vouchers(connection: AsyncConnection, job: Job) -> list[Node]:
    """The gateways that are to hold a new job's groups; none where it is not site-held."""
    if not job.follows or SITE not in job.options or job.revision:
        return []
    query = nodes_table.c.role == "gateway"
    found = [node for node in await nodes.all_nodes(connection, query) if node.has_joined]
    return found if len(found) <= MOST else []


async def keep(connection: AsyncConnection, job: str, revision: int, found: Sequence[Node]) -> None:
    """These gateways hold the job's groups from now on."""
    names = codec.encode({node.name: node.generation for node in found})
    await connection.execute(insert(site_jobs).values(job=job, revision=revision, vouchers=names))


async def held(connection: AsyncConnection, job: str) -> Held | None:
    """What gateways hold of a job."""
    row = (await connection.execute(select(site_jobs).where(site_jobs.c.job == job))).one_or_none()
    return None if row is None else Held(row.revision, codec.decode(row.vouchers, dict[str, int]))


async def forget(connection: AsyncConnection, job: str) -> None:
    """The job is no more."""
    for table in (site_jobs, site_strays):
        await connection.execute(delete(table).where(table.c.job == job))


async def elsewhere(connection: AsyncConnection, job: str, names: Collection[str]) -> set[str]:
    """Those of these nodes for whom a gateway decides, of a job."""
    one = await held(connection, job)
    if one is None:
        return set()
    found: set[str] = set()
    gateways = await nodes.all_nodes(connection, nodes_table.c.role == "gateway")
    # Who stands in for another under its name holds nothing of the job.
    present = {node.name for node in gateways if one.vouchers.get(node.name) == node.generation and node.has_joined}
    both = nodes_table.outerjoin(placings, placings.c.node == nodes_table.c.name)
    query = select(nodes_table.c.name, nodes_table.c.parent, placings.c.parent.label("here")).select_from(both)
    for some in parts(nodes_table.c.name, names):
        for row in await connection.execute(query.where(*some)):
            if (row.here or row.parent) in present:
                found.add(row.name)
    return found


async def tell(
    connection: AsyncConnection, job: str, body: bytes, signature: bytes, leaves: Sequence[OrderTarget]
) -> None:
    """Have the order told to the gateways of these leaves, after the transaction."""
    message = SiteOrder(order=body, signature=signature, vouchers=list(leaves))
    await handover.put(connection, message, cause=job)


async def stray(connection: AsyncConnection, records: Iterable[StatusRecord]) -> None:
    """Final records of nodes that are no targets of their site-held jobs yet: kept until they are."""
    for record in records:
        if await held(connection, record.job) is None:
            continue
        c = site_strays.c
        await connection.execute(delete(site_strays).where(c.job == record.job, c.node == record.target))
        row = {"job": record.job, "node": record.target, "record": codec.encode(record)}
        await connection.execute(insert(site_strays).values(**row))
