"""Packages that come and go by media: the verbs behind `tiercast depot export` and `tiercast depot seed`.

Rules
- Nothing on media is trusted: a chunk is proved by its digest when it is put, root and lists are checked as those of
  any package, and what is whole is known from then on like what an order named.
- They are for the machine that the media is plugged into: over the tree only what reads is answered.
- What is being seeded is known from its root on, so it is the last that eviction would take.
- A chunk that comes this way goes down at once to whoever waits for it, and is not asked of the parent any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from tiercast_protocol.content.sealed.digest import DIGEST_SIZE
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, ProtocolError, StoreFull, UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.fetch import data_chunks, package_digests, read_root

if TYPE_CHECKING:
    from tiercast_gateway.depot.depot import Depot
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.content.sealed.manifest import Root
    from tiercast_protocol.node.control.peers import Role

Handler = Callable[[Call], Awaitable[Any]]
#: Digests in one answer.
PAGE = 8192


class MediaVerbs:
    """Handlers; each takes a call and gives plain values."""

    def __init__(self, tree: SubTree) -> None:
        self._tree = tree
        #: Of this node's own socket alone.
        self.table: list[tuple[str, Role, Handler]] = [
            ("package.missing", "operator", self.missing),
            ("package.store", "operator", self.store),
            ("package.register", "operator", self.register),
        ]

    async def missing(self, call: Call) -> dict[str, bytes]:
        """Which of these chunks the depot lacks."""
        joined = call.data("digests")
        if len(joined) % DIGEST_SIZE:
            raise UsageError(code="digests.invalid", what=f"{len(joined)} bytes are no row of digests.")
        each = (joined[at : at + DIGEST_SIZE] for at in range(0, len(joined), DIGEST_SIZE))
        return {"missing": b"".join(digest for digest in each if self._tree.depot.size(digest) is None)}

    async def store(self, call: Call) -> dict[str, int]:
        """Take chunks in: [[digest, stored form], ...]."""
        new = 0
        for row in call.args.get("chunks") or ():
            match row:
                case [bytes() as digest, bytes() as stored] if len(digest) == DIGEST_SIZE:
                    new += await self._take(digest, stored)
                case _:
                    raise UsageError(code="argument.invalid", what="chunks must be [digest, stored form] each.")
        return {"stored": new}

    async def _take(self, digest: bytes, stored: bytes) -> bool:
        try:
            new = await self._tree.depot.put(digest, stored)
        except ChunkCorrupt as error:
            raise UsageError(
                code="chunk.corrupt", what=str(error), todo="The media is damaged; export again."
            ) from error
        except StoreFull as error:
            raise UsageError(
                code="store.full", what=str(error), todo="See what keeps it full: tiercast depot evict --dry-run"
            ) from error
        self._tree.above.unwant([digest])
        self._tree.chunk_arrived(digest, len(stored))
        return new

    async def register(self, call: Call) -> dict[str, Any]:
        """Know the package of a root that is here from now on; `lacking` is how many of its chunks are not."""
        digest, depot = call.data("root"), self._tree.depot
        head = await _head(depot, digest)
        await depot.store.sync()
        await depot.know(digest, head.name, head.version, head.revision)
        names = await _named(depot, digest)
        named = len(names) == head.chunks + len(set(head.lists)) + 1
        lacking = sum(depot.size(one) is None for one in names) if named else head.chunks
        return {
            "package": head.name,
            "version": head.version,
            "revision": head.revision,
            "root": digest,
            "chunks": head.chunks + len(set(head.lists)) + 1,
            "lacking": lacking,
        }


async def members(depot: Depot, root: bytes, at: int) -> dict[str, Any]:
    """The chunks of a package that is held whole, from the `at`-th on: root, lists, data, a page at a time.

    Raises:
        UsageError: package.incomplete.
    """
    head = await _head(depot, root)
    try:
        data = await data_chunks(head, depot)
    except (ChunkMissing, ChunkCorrupt) as error:
        raise _incomplete(head, 1) from error
    digests: Sequence[bytes] = list(dict.fromkeys([root, *head.lists, *data]))
    lacking = sum(depot.size(digest) is None for digest in digests)
    if lacking:
        raise _incomplete(head, lacking)
    return {
        "package": head.name,
        "version": head.version,
        "revision": head.revision,
        "root": root,
        "count": len(digests),
        "bytes": sum(depot.size(digest) or 0 for digest in digests),
        "digests": b"".join(digests[at : at + PAGE]),
    }


async def _head(depot: Depot, root: bytes) -> Root:
    try:
        return await read_root(root, depot)
    except (ChunkMissing, ChunkCorrupt) as error:
        raise UsageError(
            code="package.incomplete", what=f"The root {root.hex()[:16]} is not here.", todo="Seed it, or preload it."
        ) from error
    except ProtocolError as error:
        raise UsageError(code="package.invalid", what=f"{root.hex()[:16]} is no package: {error}.") from error


def _incomplete(head: Root, lacking: int) -> UsageError:
    return UsageError(
        code="package.incomplete",
        what=f"{lacking} chunks of {head.name}={head.version} are not here.",
        todo="Preload the package first, or export it from the server.",
    )


async def _named(depot: Depot, root: bytes) -> set[bytes]:
    """The package's own chunks, as far as its root and lists tell; patches are none of them."""
    try:
        return await package_digests(root, depot)
    except (ChunkMissing, ChunkCorrupt, ProtocolError):
        return {root}


async def holds(depot: Depot, root: bytes) -> dict[str, int]:
    """How many chunks of a package are held, and their stored bytes, as far as root and lists tell."""
    sizes = [depot.size(digest) for digest in await _named(depot, root)]
    held = [size for size in sizes if size is not None]
    return {"chunks": len(held), "bytes": sum(held), "installed": 0}
