"""The node tree as the region knows it.

Rules
- A name is a label, the identity is key and generation; a removed node's row stays, so that its name comes
  back with a higher generation and old receipts prove nothing.
- A node is invited (no key yet), joined or removed.  The server is not a row: it is the root.
- Names that a human gives are checked all at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, RowMapping, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.topics import valid_name
from tiercast_server.database.tables import groups, inventory, members, nodes, tokens
from tiercast_server.nodes.nearness import suggestion

ROLES = ("gateway", "endpoint")


@dataclass(frozen=True, slots=True)
class Node:
    """One node below the server; times in milliseconds since 1970."""

    name: str
    role: str
    parent: str
    state: str
    public_key: bytes
    password_hash: str
    generation: int
    invited: int
    joined: int | None
    url: str

    @property
    def has_joined(self) -> bool:
        """Whether it holds a key that orders can name."""
        return self.state == "joined"


#: In the order of the fields of `Node`.
_COLUMNS = tuple(nodes.c[name] for name in Node.__slots__)


def _node(row: RowMapping) -> Node:
    return Node(
        name=row["name"],
        role=row["role"],
        parent=row["parent"],
        state=row["state"],
        public_key=row["public_key"],
        password_hash=row["password_hash"],
        generation=row["generation"],
        invited=row["invited"],
        joined=row["joined"],
        url=row["url"],
    )


def check_name(what: str, name: str) -> None:
    """Refuse a name that can't be one topic level, one path element and one shell word.

    Raises:
        UsageError: name.invalid.
    """
    if not valid_name(name):
        raise UsageError(
            code="name.invalid",
            what=f"{name!r} can't name a {what}.",
            todo="Use 1 to 63 letters, digits and . _ -, the first a letter or digit; not `join-...`.",
        )


def unknown_node(name: str, known: Iterable[str] = ()) -> UsageError:
    """The error for a name that no node has; `known` are those that some have."""
    return UsageError(
        code="node.unknown",
        what=f"No node is called {name!r}.",
        todo=f"{suggestion(name, known)}`tiercast node list` shows all nodes.",
    )


async def find_any(connection: AsyncConnection, name: str) -> Node | None:
    """The row of `name`, removed or not."""
    row = (await connection.execute(select(nodes).where(nodes.c.name == name))).mappings().one_or_none()
    return None if row is None else _node(row)


async def find(connection: AsyncConnection, name: str) -> Node | None:
    """The node `name`, unless it was removed."""
    node = await find_any(connection, name)
    return None if node is None or node.state == "removed" else node


async def get(connection: AsyncConnection, name: str) -> Node:
    """The node `name`.

    Raises:
        UsageError: node.unknown.
    """
    node = await find(connection, name)
    if node is None:
        raise unknown_node(name, [other.name for other in await all_nodes(connection)])
    return node


async def all_nodes(connection: AsyncConnection, *where: ColumnElement[bool]) -> list[Node]:
    """Every node (for which `where` is true), by name."""
    query = select(*_COLUMNS).where(nodes.c.state != "removed", *where).order_by(nodes.c.name)
    return [Node(*row) for row in await connection.execute(query)]


async def resolve(connection: AsyncConnection, names: Iterable[str], group_names: Iterable[str]) -> list[Node]:
    """The union of nodes and members of groups, by name, each once.

    Raises:
        UsageError: node.unknown or group.unknown, naming every unknown one.
    """
    wanted, wanted_groups = set(names), set(group_names)
    known = {node.name: node for node in await all_nodes(connection)}
    known_groups = set((await connection.execute(select(groups.c.name))).scalars())
    no_nodes, no_groups = sorted(wanted - known.keys()), sorted(wanted_groups - known_groups)
    if no_nodes or no_groups:
        texts = [f"no node is called {', '.join(map(repr, no_nodes))}"] if no_nodes else []
        texts += [f"no group is called {', '.join(map(repr, no_groups))}"] if no_groups else []
        text = "; ".join(texts)
        near = [suggestion(name, known) for name in no_nodes] + [suggestion(name, known_groups) for name in no_groups]
        todo = "`tiercast node list` and `tiercast group list` show what there is. Nothing was done."
        raise UsageError(
            code="node.unknown" if no_nodes else "group.unknown",
            what=f"{text[0].upper()}{text[1:]}.",
            todo="".join(near[:3]) + todo,
        )
    if wanted_groups:
        rows = await connection.execute(select(members.c.node, members.c.group_name))
        wanted |= {row.node for row in rows if row.group_name in wanted_groups}
    return [known[name] for name in sorted(wanted)]


async def children_of(connection: AsyncConnection, name: str) -> list[str]:
    """The names of the direct children of `name`."""
    query = select(nodes.c.name).where(nodes.c.parent == name, nodes.c.state != "removed").order_by(nodes.c.name)
    return list((await connection.execute(query)).scalars())


async def remove(connection: AsyncConnection, name: str) -> Node:
    """Take `name` out of the region: its key, memberships and tokens are worth nothing from now on.

    Raises:
        UsageError: node.unknown, or node.in-use.
    """
    node = await get(connection, name)
    below = await children_of(connection, name)
    if below:
        raise UsageError(
            code="node.in-use",
            what=f"{name!r} still has {len(below)} nodes below it: {', '.join(below[:10])}.",
            todo="Remove those first, or join them elsewhere.",
        )
    await connection.execute(update(nodes).where(nodes.c.name == name).values(state="removed", public_key=b""))
    await connection.execute(delete(members).where(members.c.node == name))
    await connection.execute(delete(inventory).where(inventory.c.node == name))
    await connection.execute(delete(tokens).where(tokens.c.name == name))
    return node
