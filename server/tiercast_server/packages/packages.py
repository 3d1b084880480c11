"""Packages as rows: how a human's words name one, and what is shown of it.

Rules
- A reference is "name", "name=version" or "name=version/revision".  What it leaves open is the newest: the highest
  version in the package's own order, then the highest revision.  What an older version is built for does not change it.
- An entry may stand before its content; it has no root then and no job can use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.facts.versions import compare
from tiercast_protocol.content.sealed.manifest import valid_version
from tiercast_protocol.errors import UsageError
from tiercast_server.database.tables import packages
from tiercast_server.nodes.nearness import suggestion
from tiercast_server.nodes.nodes import check_name
from tiercast_server.packages import cabinet_rights
from tiercast_server.packages.cabinet_rights import REGION, Caller
from tiercast_server.packages.cabinets import check_cabinet
from tiercast_server.packages.version_orders import orders_of
from tiercast_server.region import Region


@dataclass(frozen=True, slots=True)
class Package:
    """One row; sizes in bytes, `registered_at` in milliseconds since 1970, `root` empty while unsealed."""

    id: int
    name: str
    version: str
    revision: int
    root: bytes
    cabinet: str
    files: int
    size: int
    chunks: int
    stored_bytes: int
    definition: str
    registered_by: str
    registered_at: int

    @property
    def reference(self) -> str:
        """How a human names exactly this one."""
        return f"{self.name}={self.version}/{self.revision}"

    def shown(self) -> dict[str, Any]:
        """As verbs answer it."""
        return {
            "package": self.name,
            "version": self.version,
            "revision": self.revision,
            "root": self.root,
            "cabinet": self.cabinet,
            "sealed": bool(self.root),
            "files": self.files,
            "size": self.size,
            "chunks": self.chunks,
            "stored_bytes": self.stored_bytes,
            "registered_by": self.registered_by,
            "registered_at": self.registered_at,
        }


def _package(row: RowMapping) -> Package:
    return Package(
        id=row["id"],
        name=row["name"],
        version=row["version"],
        revision=row["revision"],
        root=row["root"],
        cabinet=row["cabinet"],
        files=row["files"],
        size=row["size"],
        chunks=row["chunks"],
        stored_bytes=row["stored_bytes"],
        definition=row["definition"],
        registered_by=row["registered_by"],
        registered_at=row["registered_at"],
    )


def split_reference(reference: str) -> tuple[str, str, int]:
    """Name, version ("" is any) and revision (0 is any).

    Raises:
        UsageError: reference.invalid.
    """
    name, equals, rest = reference.partition("=")
    version, slash, revision = rest.partition("/")
    if not name or bool(equals) != bool(version) or (slash and not revision.isdecimal()):
        raise UsageError(
            code="reference.invalid",
            what=f"{reference!r} names no package.",
            todo="Write NAME, NAME=VERSION or NAME=VERSION/REVISION.",
        )
    return name, version, int(revision) if slash else 0


async def matching(connection: AsyncConnection, reference: str) -> list[Package]:
    """Every row that `reference` could mean, the meant one first.

    Raises:
        UsageError: reference.invalid, or package.unknown with the versions there are.
    """
    name, version, revision = split_reference(reference)
    query = select(packages).where(packages.c.name == name)
    rows = [_package(row) for row in (await connection.execute(query)).mappings()]
    if not rows:
        near = suggestion(name, (await connection.execute(select(packages.c.name).distinct())).scalars())
        raise UsageError(
            code="package.unknown",
            what=f"No package is called {name!r}.",
            todo=f"{near}`tiercast package list` shows all packages.",
        )
    found = [row for row in rows if version in {"", row.version} and revision in {0, row.revision}]
    if not found:
        raise UsageError(
            code="package.unknown",
            what=f"There is no {reference}.",
            todo=f"There is: {', '.join(sorted(row.reference for row in rows))}.",
        )
    order = (await orders_of(connection, [name]))[name]

    def older(one: Package, other: Package) -> int:
        return compare(one.version, other.version, order) or one.revision - other.revision or one.id - other.id

    return sorted(found, key=cmp_to_key(older), reverse=True)


async def find_sealed(connection: AsyncConnection, reference: str) -> Package:
    """The registered package that `reference` means.

    Raises:
        UsageError: as `matching`, or package.empty.
    """
    rows = await matching(connection, reference)
    sealed = [row for row in rows if row.root]
    if not sealed:
        raise UsageError(
            code="package.empty",
            what=f"{rows[0].name}={rows[0].version} is only an entry; its content has not been registered.",
            todo="Run `tiercast package build` for it.",
        )
    return sealed[0]


async def readable_sealed(connection: AsyncConnection, reference: str, caller: Caller) -> Package:
    """As `find_sealed`, for a caller who names it.

    Raises:
        UsageError: as `find_sealed`; cabinet.denied.
    """
    found = await find_sealed(connection, reference)
    await cabinet_rights.check(connection, found.cabinet, caller, "read")
    return found


async def check_name_free(connection: AsyncConnection, name: str, caller: Caller) -> None:
    """Refuse a further version of what lies in a cabinet that the caller may not change, wherever he would put it.

    Raises:
        UsageError: cabinet.denied.
    """
    query = select(packages.c.cabinet).distinct().where(packages.c.name == name)
    for held in sorted((await connection.execute(query)).scalars()):
        await cabinet_rights.check(connection, held, caller, "write")


async def enter(
    region: Region, name: str, version: str, cabinet: str, by: str, caller: Caller = REGION
) -> dict[str, Any]:
    """Make the entry of a package before its content; again is no error."""
    check_name("package", name)
    if not valid_version(version):
        raise UsageError(
            code="version.invalid",
            what=f"{version!r} can't be a version.",
            todo="Use 1 to 64 letters, digits and . _ + ~ -, the first a letter or digit.",
        )
    async with region.db.write() as connection:
        await check_cabinet(connection, cabinet)
        await cabinet_rights.check(connection, cabinet, caller, "write")
        await check_name_free(connection, name, caller)
        held = select(packages.c.id).where(packages.c.name == name, packages.c.version == version)
        created = (await connection.execute(held)).first() is None
        if created:
            await connection.execute(
                insert(packages).values(
                    name=name,
                    version=version,
                    revision=0,
                    root=b"",
                    cabinet=cabinet,
                    registered_by=by,
                    registered_at=region.clock(),
                )
            )
    return {"package": name, "version": version, "cabinet": cabinet, "created": created}


async def move(region: Region, references: Sequence[str], cabinet: str, caller: Caller) -> dict[str, Any]:
    """Put packages into another cabinet; NAME alone is all versions.

    Raises:
        UsageError: as `matching`; cabinet.unknown, cabinet.denied.
    """
    async with region.db.write() as connection:
        await check_cabinet(connection, cabinet)
        await cabinet_rights.check(connection, cabinet, caller, "write")
        found = {row.id: row for reference in references for row in await matching(connection, reference)}
        for held in {row.cabinet for row in found.values()}:
            await cabinet_rights.check(connection, held, caller, "write")
        await connection.execute(update(packages).where(packages.c.id.in_(list(found))).values(cabinet=cabinet))
    return {"cabinet": cabinet, "packages": sorted(row.reference for row in found.values())}


async def list_(region: Region, cabinet: str | None, caller: Caller = REGION) -> list[dict[str, Any]]:
    """Every package that the caller may see, or those of one cabinet."""
    query = select(packages).order_by(packages.c.name, packages.c.id)
    async with region.db.read() as connection:
        seen = cabinet_rights.readable(await cabinet_rights.rights(connection), caller)
        query = query.where(packages.c.cabinet.in_(sorted(seen)))
        if cabinet:
            await check_cabinet(connection, cabinet)
            await cabinet_rights.check(connection, cabinet, caller, "read")
            query = query.where(packages.c.cabinet == cabinet)
        return [_package(row).shown() for row in (await connection.execute(query)).mappings()]


async def show(region: Region, reference: str, caller: Caller = REGION) -> dict[str, Any]:
    """One package with its definition, and the other versions there are."""
    async with region.db.read() as connection:
        found = (await matching(connection, reference))[0]
        await cabinet_rights.check(connection, found.cabinet, caller, "read")
        seen = cabinet_rights.readable(await cabinet_rights.rights(connection), caller)
        others = [other for other in await matching(connection, found.name) if other.cabinet in seen]
    return {
        **found.shown(),
        "definition": found.definition,
        "versions": [other.reference for other in others],
    }
