"""The verbs of packages and of the packager."""

from __future__ import annotations

import asyncio
from typing import Any

from tiercast_protocol.content.package.definition import parse_definition
from tiercast_protocol.content.sealed.digest import DIGEST_SIZE
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, ProtocolError, UsageError
from tiercast_protocol.node import fetch
from tiercast_protocol.node.control.verbs import Call
from tiercast_server.nodes import standing
from tiercast_server.packages import cabinet_rights, definition_check, packages
from tiercast_server.packages import diff as package_diff
from tiercast_server.packages import tests as package_tests
from tiercast_server.packages.cabinet_rights import caller_of
from tiercast_server.packages.library import Library
from tiercast_server.packages.patches import Patches
from tiercast_server.packages.values import Asks, Values
from tiercast_server.region import MAIN_CABINET, Region


class PackageVerbs:
    """Handlers; each takes a call and gives plain values."""

    def __init__(
        self, region: Region, library: Library, patches: Patches | None = None, tree: Asks | None = None
    ) -> None:
        self._region = region
        self._values = Values(region, tree)
        self._library = library
        self._patches = patches

    async def list_(self, call: Call) -> list[dict[str, Any]]:
        """Every package, or those of one cabinet."""
        return await packages.list_(self._region, call.text("cabinet", "") or None, caller_of(call))

    async def show(self, call: Call) -> dict[str, Any]:
        """One package, and its test where it had one."""
        found = await packages.show(self._region, call.text("package"), caller_of(call))
        async with self._region.db.read() as connection:
            meant = (await packages.matching(connection, call.text("package")))[0]
            tested = await package_tests.of(connection, meant)
        return found | ({"tested": tested} if tested else {})

    async def standing(self, call: Call) -> dict[str, Any]:
        """Which version stands on a node, as far as the region knows, "" for none; revision 0 is not known."""
        name, node = call.text("package"), call.text("node")
        async with self._region.db.read() as connection:
            version = (await standing.versions(connection, name, [node]))[node]
            revision = await standing.revision(connection, name, version, node) if version else 0
        return {"version": version, "revision": revision}

    async def tested(self, call: Call) -> dict[str, Any]:
        """Write down that a package was tested, by the job that installed it and the one that took it back."""
        package, job, undo = (call.text(word) for word in ("package", "job", "undo"))
        async with self._region.db.read() as connection:
            await packages.readable_sealed(connection, package, caller_of(call))
        return await package_tests.record(self._region, package, job, undo, call.user)

    async def move(self, call: Call) -> dict[str, Any]:
        """Put packages into another cabinet."""
        return await packages.move(self._region, call.texts("packages"), call.text("cabinet"), caller_of(call))

    async def check(self, call: Call) -> dict[str, Any]:
        """What the library says against a definition: {findings: [{key, problem, expected, warning}]}."""
        definition = await asyncio.to_thread(parse_definition, call.text("definition"), "definition")
        async with self._region.db.read() as connection:
            found = await definition_check.check(connection, definition)
        return {"findings": [one.shown() for one in found]}

    async def diff(self, call: Call) -> dict[str, Any]:
        """What leads from one package to another."""
        async with self._region.db.read() as connection:
            named = [call.text(word) for word in ("package", "with")]
            a, b = [await packages.readable_sealed(connection, one, caller_of(call)) for one in named]
        store = self._library.store
        roots = [await fetch.read_root(one.root, store) for one in (a, b)]
        found = await package_diff.compare(store, *roots)
        return {
            "from": a.reference,
            "to": b.reference,
            "definitions": [a.definition, b.definition],
            "counts": found.counts,
            "paths": found.paths,
            "chunks": found.chunks,
            "stored_bytes": found.stored_bytes,
        }

    async def values(self, call: Call) -> list[dict[str, Any]]:
        """What each of these machines would take of a package, and the values of its variables there."""
        async with self._region.db.read() as connection:
            package = await packages.readable_sealed(connection, call.text("package"), caller_of(call))
        return await self._values.of(package.definition, call.texts("nodes"))

    async def entry(self, call: Call) -> dict[str, Any]:
        """Make the entry of a package before its content."""
        cabinet = call.text("cabinet", "") or MAIN_CABINET
        name, version = call.text("name"), call.text("version")
        return await packages.enter(self._region, name, version, cabinet, call.user, caller_of(call))

    async def missing(self, call: Call) -> dict[str, bytes]:
        """Which of these chunks the library lacks."""
        return {"missing": self._library.missing(call.data("digests"))}

    async def store(self, call: Call) -> dict[str, int]:
        """Take chunks in: [[digest, stored form], ...]."""
        return {"stored": await self._library.keep(_chunks(call.args.get("chunks")))}

    async def register(self, call: Call) -> dict[str, Any]:
        """Register the package of a root whose chunks are all here."""
        cabinet = call.text("cabinet", "") or MAIN_CABINET
        await self._may_write(call, cabinet)
        await self._may_add(call, call.data("root"))
        made = await self._library.register(call.data("root"), cabinet, call.user)
        if self._patches is not None:
            await self._patches.registered(made["root"])
        return made

    async def delete(self, call: Call) -> dict[str, Any]:
        """Delete one version of a package."""
        async with self._region.db.read() as connection:
            held = {one.cabinet for one in await packages.matching(connection, call.text("package"))}
        for cabinet in sorted(held):
            await self._may_write(call, cabinet)
        gone = await self._library.delete(call.text("package"))
        if self._patches is not None:
            await self._patches.forget(gone["root"])
        return gone

    async def _may_add(self, call: Call, digest: bytes) -> None:
        try:
            name = (await fetch.read_root(digest, self._library.store)).name
        except (ChunkMissing, ChunkCorrupt, ProtocolError):  # said when it is registered
            return
        async with self._region.db.read() as connection:
            await packages.check_name_free(connection, name, caller_of(call))

    async def _may_write(self, call: Call, cabinet: str) -> None:
        async with self._region.db.read() as connection:
            await cabinet_rights.check(connection, cabinet, caller_of(call), "write")


def _chunks(given: Any) -> list[tuple[bytes, bytes]]:
    """The list of chunks in a call's arguments.

    Raises:
        UsageError: argument.invalid.
    """
    rows = given if isinstance(given, list) else [None]
    found: list[tuple[bytes, bytes]] = []
    for row in rows:
        match row:
            case [bytes() as digest, bytes() as stored] if len(digest) == DIGEST_SIZE and stored:
                found.append((digest, stored))
            case _:
                raise UsageError(
                    code="argument.invalid",
                    what='The argument "chunks" of package.store must be a list of [digest, stored form].',
                    where="package.store",
                    todo="Client and daemon may be of different versions: compare `tiercast --version`.",
                )
    return found
