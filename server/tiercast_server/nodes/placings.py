"""Where the nodes are and may be, in the database, and what the tree is told of it.

Rules
- `settle` compares what every broker and every node should know with what it was told, and puts the difference for
  handover in the same transaction: so any change is told whole, and nothing twice.
- A broker lets in its own children and, as guests, those for whom it is a candidate.  Whoever is there is not shut
  out before it is elsewhere.
- A node's list of parents is signed, and told when it changes; its issue is the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.trust.parents import Candidate, Parents, sign_parents
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import Admitted, Dismissed
from tiercast_protocol.wire.moving import ParentsTold
from tiercast_server import handover
from tiercast_server.database.tables import admissions, placings
from tiercast_server.nodes import nodes
from tiercast_server.nodes.family import Family, Member
from tiercast_server.nodes.nodes import Node
from tiercast_server.region import Region


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `placings`."""

    node: str
    parent: str = ""
    seq: int = 0
    at: int = 0
    reason: str = ""
    called: int = 0
    candidates: str = ""
    retiring: bool = False
    told: bytes = b""


async def rows(connection: AsyncConnection) -> dict[str, Row]:
    """All placings by node."""
    return {row.node: Row(*row) for row in await connection.execute(select(placings))}


async def row_of(connection: AsyncConnection, name: str) -> Row:
    """The placing of one node; an empty one where nothing was said yet."""
    found = (await connection.execute(select(placings).where(placings.c.node == name))).one_or_none()
    return Row(name) if found is None else Row(*found)


async def change(connection: AsyncConnection, name: str, **values: object) -> None:
    """Write these columns of one node's row."""
    changed = await connection.execute(update(placings).where(placings.c.node == name).values(**values))
    if not changed.rowcount:
        await connection.execute(insert(placings).values(node=name, **values))


async def family(connection: AsyncConnection, region: Region) -> Family:
    """The tree as it stands."""
    found, told = await nodes.all_nodes(connection), await rows(connection)
    return family_of(region, found, told)


def family_of(region: Region, found: Iterable[Node], told: dict[str, Row]) -> Family:
    """The tree of these nodes."""
    members = [
        Member(one.name, one.role, one.parent, one.has_joined, told[one.name].parent if one.name in told else "")
        for one in found
    ]
    return Family(region.server, members)


async def forget(connection: AsyncConnection, name: str, home: str) -> None:
    """The node left the region: who else lets it in is told, and what was known of it goes."""
    present = (await row_of(connection, name)).parent or home  # where the way to it ends: it was told already
    query = select(admissions.c.gateway).where(admissions.c.node == name, admissions.c.gateway != present)
    for gateway in (await connection.execute(query)).scalars():
        await handover.put(connection, Dismissed(name=name, parent=gateway), cause=name)
    for column in (admissions.c.node, admissions.c.gateway):
        await connection.execute(delete(admissions).where(column == name))
    await connection.execute(delete(placings).where(placings.c.node == name))


async def resend(connection: AsyncConnection, name: str, server: str) -> None:
    """The gateway `name` is another machine, or reached another way: it and those below are told all again."""
    tree = Family(server, [Member(n.name, n.role, n.parent) for n in await nodes.all_nodes(connection)])
    gone = [name, *tree.below(name)]
    for one in gone:
        await connection.execute(delete(admissions).where(admissions.c.gateway == one))
        await connection.execute(update(placings).where(placings.c.node == one).values(told=b""))


class Settling:
    """Brings every broker and every node up to what the region knows.

    `url` gives the address at which the server's own children reach it.
    """

    def __init__(self, region: Region, url: Callable[[], str]) -> None:
        self._region, self._url = region, url

    async def settle(self, connection: AsyncConnection, only: str | None = None) -> None:
        """Put what `only` this node (None: every one) or its brokers do not know yet."""
        found = await nodes.all_nodes(connection)
        told = await rows(connection)
        tree = family_of(self._region, found, told)
        by_name = {one.name: one for one in found}
        query = select(admissions) if only is None else select(admissions).where(admissions.c.node == only)
        admitted: dict[str, dict[str, tuple[bool, int]]] = {}
        for one in await connection.execute(query):
            admitted.setdefault(one.node, {})[one.gateway] = (one.guest, one.generation)
        for node in found if only is None else [by_name[only]] if only in by_name else []:
            if node.has_joined:
                row = told.get(node.name, Row(node.name))
                names = row.candidates.split() or tree.candidates(node.name)
                names = [one for one in names if one != node.parent and self._is_there(one, by_name)]
                await self._admissions(connection, node, row, names, admitted.get(node.name, {}))
                await self._parents(connection, node, row, tree, names, by_name)

    def _is_there(self, name: str, by_name: dict[str, Node]) -> bool:
        return name == self._region.server or (name in by_name and by_name[name].has_joined)

    async def _admissions(
        self, connection: AsyncConnection, node: Node, row: Row, names: list[str], told: dict[str, tuple[bool, int]]
    ) -> None:
        wanted = dict.fromkeys(names, (True, node.generation)) | {node.parent: (False, node.generation)}
        if row.parent in told and row.parent != node.parent:
            wanted[row.parent] = (told[row.parent][0], node.generation)
        for gateway, (guest, generation) in wanted.items():
            if told.get(gateway) == (guest, generation):
                continue
            message = Admitted(
                name=node.name,
                role=node.role,
                parent=gateway,
                public_key=node.public_key,
                password_hash=node.password_hash,
                generation=generation,
                guest=guest,
            )
            await handover.put(connection, message, cause=node.name)
            await note_admission(connection, gateway, node.name, guest=guest, generation=generation)
        for gateway in told.keys() - wanted.keys():
            await handover.put(connection, Dismissed(name=node.name, parent=gateway), cause=node.name)
            which = (admissions.c.gateway == gateway) & (admissions.c.node == node.name)
            await connection.execute(delete(admissions).where(which))

    async def _parents(
        self,
        connection: AsyncConnection,
        node: Node,
        row: Row,
        tree: Family,
        names: list[str],
        by_name: dict[str, Node],
    ) -> None:
        def candidate(name: str) -> Candidate:
            url = self._url() if name == self._region.server else by_name[name].url
            return Candidate(name=name, url=url, cost=tree.cost(node.name, name))

        region = self._region
        offered = [one for one in map(candidate, names) if one.url]
        parents = Parents(
            region=region.name,
            node=node.name,
            generation=node.generation,
            issued=0,
            home=candidate(node.parent),
            candidates=offered,
            called=row.called,
        )
        digest = digest_of(codec.encode(parents))
        if digest == row.told or not (offered or row.called or row.told):
            return  # nothing new; or nothing but what it joined with
        data, signature = sign_parents(_issued(parents, region.clock()), region.key)
        await handover.put(connection, ParentsTold(data=data, signature=signature), receiver=node.name, cause=node.name)
        await change(connection, node.name, told=digest)


def _issued(parents: Parents, now: int) -> Parents:
    return Parents(
        region=parents.region,
        node=parents.node,
        generation=parents.generation,
        issued=now,
        home=parents.home,
        candidates=parents.candidates,
        called=parents.called,
    )


async def note_admission(connection: AsyncConnection, gateway: str, node: str, *, guest: bool, generation: int) -> None:
    """The broker of `gateway` is told to let `node` in."""
    which = (admissions.c.gateway == gateway) & (admissions.c.node == node)
    await connection.execute(delete(admissions).where(which))
    await connection.execute(insert(admissions).values(gateway=gateway, node=node, guest=guest, generation=generation))
