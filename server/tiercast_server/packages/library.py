"""The library: packages whose every chunk the server's own depot holds.

Rules
- A package is registered when all its chunks are held and synced, and then in one transaction: after any kill
  it is there whole or not at all, and what was uploaded serves the next attempt.
- Its identity is its root digest.  The same content again moves nothing and changes nothing; the same
  name, version and revision with other content is refused.
- Deleting frees the chunks that no other package needs, after the transaction; never while an open job
  uses the package.
- Registering and deleting take turns, so that nothing is freed that was just found to be held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.sealed.digest import DIGEST_SIZE
from tiercast_protocol.content.sealed.manifest import Root
from tiercast_protocol.errors import ChunkCorrupt, StoreFull, UsageError
from tiercast_server.database.tables import jobs, package_chunks, packages
from tiercast_server.packages.cabinets import check_cabinet
from tiercast_server.packages.check import LibraryStore, read_package
from tiercast_server.packages.packages import Package, matching
from tiercast_server.region import Region
from tiercast_server.rollouts import rows as rollout_rows

_ROWS = 1_000


class Library:
    """Content on its way into the region and out of it."""

    def __init__(self, region: Region, store: LibraryStore) -> None:
        self._region = region
        self._store = store
        #: Registering, deleting and entering patches take turns.
        self.turn = asyncio.Lock()

    def missing(self, digests: bytes) -> bytes:
        """Those of `digests` (32 bytes each, joined) that are not held, in their order.

        Raises:
            UsageError: digests.invalid.
        """
        if len(digests) % DIGEST_SIZE:
            raise UsageError(code="digests.invalid", what=f"{len(digests)} bytes are no row of digests.")
        each = (digests[at : at + DIGEST_SIZE] for at in range(0, len(digests), DIGEST_SIZE))
        return b"".join(digest for digest in each if self._store.size(digest) is None)

    async def keep(self, chunks: Sequence[tuple[bytes, bytes]]) -> int:
        """Take uploaded chunks (digest, stored form) in; how many were new.

        Raises:
            UsageError: chunk.corrupt, or store.full; what came before in the row is kept.
        """
        new = 0
        for digest, stored in chunks:
            try:
                new += await self._store.put(digest, stored)
            except ChunkCorrupt as error:
                raise UsageError(
                    code="chunk.corrupt", what=str(error), todo="Run the packager again; it sends only what is missing."
                ) from error
            except StoreFull as error:
                raise UsageError(
                    code="store.full",
                    what=str(error),
                    todo="Free space or delete packages, then run the packager again; it sends only what is missing.",
                ) from error
        return new

    @property
    def store(self) -> LibraryStore:
        """Where the chunks lie."""
        return self._store

    async def register(self, digest: bytes, cabinet: str, by: str) -> dict[str, Any]:
        """Register the package whose root is `digest`; `created` is False where it stood already.

        Raises:
            UsageError: package.exists, package.incomplete, package.invalid or cabinet.unknown.
        """
        async with self.turn:
            root, chunks, stored = await read_package(self._store, digest)
            await self._store.sync()
            async with self._region.db.write() as connection:
                await check_cabinet(connection, cabinet)
                created = not await self._stands(connection, root, digest)
                if created:
                    await self._insert(connection, root, digest, cabinet, by, chunks, stored)
        return {
            "package": root.name,
            "version": root.version,
            "revision": root.revision,
            "root": digest,
            "files": root.files,
            "size": root.size,
            "chunks": len(chunks),
            "stored_bytes": stored,
            "created": created,
        }

    async def _stands(self, connection: AsyncConnection, root: Root, digest: bytes) -> bool:
        query = select(packages.c.root).where(
            packages.c.name == root.name, packages.c.version == root.version, packages.c.revision == root.revision
        )
        held: bytes | None = (await connection.execute(query)).scalar_one_or_none()
        if held is not None and held != digest:
            raise UsageError(
                code="package.exists",
                what=f"{root.name}={root.version}/{root.revision} is registered with other content:"
                f" {held.hex()[:16]}, and this is {digest.hex()[:16]}.",
                todo="Raise --revision or --version, or what package.toml says of them. Nothing was changed.",
            )
        return held is not None

    async def _insert(
        self,
        connection: AsyncConnection,
        root: Root,
        digest: bytes,
        cabinet: str,
        by: str,
        chunks: set[bytes],
        stored: int,
    ) -> None:
        entry = (packages.c.name == root.name) & (packages.c.version == root.version) & (packages.c.revision == 0)
        await connection.execute(delete(packages).where(entry))
        made = await connection.execute(
            insert(packages).values(
                name=root.name,
                version=root.version,
                revision=root.revision,
                root=digest,
                cabinet=cabinet,
                files=root.files,
                size=root.size,
                chunks=len(chunks),
                stored_bytes=stored,
                definition=root.definition,
                registered_by=by,
                registered_at=self._region.clock(),
            )
        )
        assert made.inserted_primary_key is not None  # noqa: S101 - an INSERT of one row has one
        package = made.inserted_primary_key[0]
        in_order = sorted(chunks)
        for at in range(0, len(in_order), _ROWS):
            rows = [{"package": package, "digest": chunk} for chunk in in_order[at : at + _ROWS]]
            await connection.execute(insert(package_chunks), rows)

    async def delete(self, reference: str) -> dict[str, Any]:
        """Delete one version (or an entry), and what no other package needs.

        Raises:
            UsageError: package.unknown, package.ambiguous or package.in-use.
        """
        async with self.turn:
            async with self._region.db.write() as connection:
                found = await self._one(connection, reference)
                await _refuse_in_use(connection, found)
                own = select(package_chunks.c.digest).where(package_chunks.c.package == found.id)
                others = select(package_chunks.c.digest).where(package_chunks.c.package != found.id)
                free = list((await connection.execute(own.except_(others))).scalars())
                await connection.execute(delete(package_chunks).where(package_chunks.c.package == found.id))
                await connection.execute(delete(packages).where(packages.c.id == found.id))
            freed = await self._store.evict(free)
        return {
            "package": found.name,
            "version": found.version,
            "revision": found.revision,
            "root": found.root,
            "chunks": freed,
        }

    @staticmethod
    async def _one(connection: AsyncConnection, reference: str) -> Package:
        rows = await matching(connection, reference)
        if len(rows) > 1:
            raise UsageError(
                code="package.ambiguous",
                what=f"{reference} is {len(rows)} packages: {', '.join(row.reference for row in rows)}.",
                todo="Name one. Nothing was deleted.",
            )
        return rows[0]

    async def evict(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Drop every chunk that no registered package needs; an upload that is under way has to be repeated."""
        async with self.turn:
            kept = await self.kept()
            held = {digest: self._store.size(digest) or 0 for digest in await self._store.digests()}
            loose = [digest for digest in held if digest not in kept]
            freed = sum(held[digest] for digest in loose)
            count = len(loose) if dry_run else await self._store.evict(loose)
            stays = {"a registered package": sum(held.values()) - freed}
            return {"chunks": count, "bytes": freed, "freed": freed, "packages": [], "kept": stays, "enough": True}

    async def kept(self) -> set[bytes]:
        """Every chunk that a registered package needs."""
        async with self._region.db.read() as connection:
            return set((await connection.execute(select(package_chunks.c.digest).distinct())).scalars())


async def _refuse_in_use(connection: AsyncConnection, found: Package) -> None:
    query = select(jobs.c.id).where(jobs.c.state == "open", jobs.c.root == found.root).order_by(jobs.c.number)
    users = list((await connection.execute(query)).scalars()) if found.root else []
    if users:
        raise UsageError(
            code="package.in-use",
            what=f"{found.reference} is used by {len(users)} open jobs: {', '.join(users[:10])}.",
            todo=f"Wait for them, or `tiercast job cancel {users[0]}`.",
        )
    waves = await rollout_rows.users_of(connection, found.name, found.version, found.revision)
    if waves:
        raise UsageError(
            code="package.in-use",
            what=f"{found.reference} is rolled out by {', '.join(waves[:10])}.",
            todo=f"Wait, or `tiercast rollout cancel {waves[0]}`.",
        )
