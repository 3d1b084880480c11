"""Cabinets: named views over the packages.

Rules
- Every package is in one cabinet; "main" always exists and can't be deleted.
- A cabinet holds no content of its own, so deleting an empty one touches no chunk.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.errors import UsageError
from tiercast_server.database.tables import cabinets, packages
from tiercast_server.nodes.nearness import suggestion
from tiercast_server.nodes.nodes import check_name
from tiercast_server.region import MAIN_CABINET, Region


async def check_cabinet(connection: AsyncConnection, name: str) -> None:
    """Refuse a cabinet that there is not.

    Raises:
        UsageError: cabinet.unknown.
    """
    if (await connection.execute(select(cabinets.c.name).where(cabinets.c.name == name))).first() is None:
        near = suggestion(name, (await connection.execute(select(cabinets.c.name))).scalars())
        raise UsageError(
            code="cabinet.unknown",
            what=f"No cabinet is called {name!r}.",
            todo=f"{near}`tiercast cabinet list` shows all cabinets, `tiercast cabinet add` makes one.",
        )


async def add(region: Region, name: str, note: str) -> dict[str, Any]:
    """Make a cabinet."""
    check_name("cabinet", name)
    async with region.db.write() as connection:
        if (await connection.execute(select(cabinets.c.name).where(cabinets.c.name == name))).first():
            raise UsageError(code="cabinet.exists", what=f"The cabinet {name!r} exists.", todo="Choose another name.")
        await connection.execute(insert(cabinets).values(name=name, note=note, created=region.clock()))
    return {"name": name, "note": note}


async def list_(region: Region) -> list[dict[str, Any]]:
    """Every cabinet with its number of packages and their bytes."""
    query = (
        select(
            cabinets.c.name,
            cabinets.c.note,
            func.count(packages.c.id).label("packages"),
            func.coalesce(func.sum(packages.c.stored_bytes), 0).label("stored_bytes"),
        )
        .select_from(cabinets.outerjoin(packages, packages.c.cabinet == cabinets.c.name))
        .group_by(cabinets.c.name, cabinets.c.note)
        .order_by(cabinets.c.name)
    )
    async with region.db.read() as connection:
        return [
            {"name": row.name, "note": row.note, "packages": row.packages, "stored_bytes": int(row.stored_bytes)}
            for row in await connection.execute(query)
        ]


async def show(region: Region, name: str) -> dict[str, Any]:
    """One cabinet with its packages."""
    async with region.db.read() as connection:
        await check_cabinet(connection, name)
        note = (await connection.execute(select(cabinets.c.note).where(cabinets.c.name == name))).scalar_one()
        query = select(packages).where(packages.c.cabinet == name).order_by(packages.c.name, packages.c.id)
        held = [
            {"name": row.name, "version": row.version, "revision": row.revision, "size": row.size}
            for row in await connection.execute(query)
        ]
    return {"name": name, "note": note, "packages": held}


async def rename(region: Region, name: str, new: str) -> dict[str, Any]:
    """Give a cabinet another name; its packages, note and rights stay.

    Raises:
        UsageError: cabinet.unknown, cabinet.exists, cabinet.in-use.
    """
    check_name("cabinet", new)
    async with region.db.write() as connection:
        await check_cabinet(connection, name)
        if name == MAIN_CABINET:
            todo = "Make another one, and move packages there."
            raise UsageError("cabinet.in-use", f"The cabinet {name!r} keeps its name.", todo=todo)
        if (await connection.execute(select(cabinets.c.name).where(cabinets.c.name == new))).first():
            raise UsageError(code="cabinet.exists", what=f"The cabinet {new!r} exists.", todo="Choose another name.")
        row = (await connection.execute(select(cabinets).where(cabinets.c.name == name))).mappings().one()
        await connection.execute(insert(cabinets).values(**{**row, "name": new}))
        await connection.execute(update(packages).where(packages.c.cabinet == name).values(cabinet=new))
        await connection.execute(delete(cabinets).where(cabinets.c.name == name))
    return {"name": new, "was": name}


async def remove(region: Region, name: str, into: str = "") -> dict[str, Any]:
    """Delete an empty cabinet; with `into` what is in it goes there first."""
    async with region.db.write() as connection:
        await check_cabinet(connection, name)
        if into and name not in {into, MAIN_CABINET}:
            await check_cabinet(connection, into)
            await connection.execute(update(packages).where(packages.c.cabinet == name).values(cabinet=into))
        query = select(func.count()).select_from(packages).where(packages.c.cabinet == name)
        held = (await connection.execute(query)).scalar_one()
        if name == MAIN_CABINET or held:
            if name == MAIN_CABINET:
                todo = "Make another one, and move packages there."
                raise UsageError("cabinet.in-use", f"The cabinet {name!r} always exists.", todo=todo)
            raise UsageError(
                code="cabinet.in-use",
                what=f"The cabinet {name!r} holds {held} package{'s' if held > 1 else ''}.",
                todo=f"`tiercast cabinet delete {name} --into {MAIN_CABINET}` moves them first. Nothing was done.",
            )
        await connection.execute(delete(cabinets).where(cabinets.c.name == name))
    return {"name": name}
