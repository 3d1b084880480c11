"""The verbs of cabinets: looking for whoever may read them, changing for admins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_server.packages import cabinet_rights, cabinets
from tiercast_server.packages.cabinet_rights import caller_of
from tiercast_server.region import Region

Handler = Callable[[Call], Awaitable[Any]]


def add_cabinet_verbs(verbs: Verbs, region: Region, audited: Callable[[Handler], Handler]) -> None:
    """Put them into the table."""

    async def list_(call: Call) -> list[dict[str, Any]]:
        async with region.db.read() as connection:
            found = await cabinet_rights.rights(connection)
        seen = cabinet_rights.readable(found, caller_of(call))
        rows = [row for row in await cabinets.list_(region) if row["name"] in seen]
        return [row | _names(found[row["name"]]) for row in rows]

    async def show(call: Call) -> dict[str, Any]:
        name = call.text("name")
        async with region.db.read() as connection:
            await cabinets.check_cabinet(connection, name)
            await cabinet_rights.check(connection, name, caller_of(call), "read")
            found = await cabinet_rights.rights(connection)
        return await cabinets.show(region, name) | _names(found[name])

    async def add(call: Call) -> dict[str, Any]:
        return await cabinets.add(region, call.text("name"), call.text("note", ""))

    async def delete(call: Call) -> dict[str, Any]:
        return await cabinets.remove(region, call.text("name"), call.text("into", ""))

    async def rename(call: Call) -> dict[str, Any]:
        return await cabinets.rename(region, call.text("name"), call.text("new"))

    async def rights(call: Call) -> dict[str, Any]:
        readers, writers = call.texts("readers", []), call.texts("writers", [])
        return await cabinet_rights.set_rights(region, call.text("name"), readers, writers)

    verbs.add("cabinet.list", "viewer", list_)
    verbs.add("cabinet.show", "viewer", show)
    verbs.add("cabinet.add", "admin", audited(add))
    verbs.add("cabinet.delete", "admin", audited(delete))
    verbs.add("cabinet.rename", "admin", audited(rename))
    verbs.add("cabinet.rights", "admin", audited(rights))


def _names(rights: cabinet_rights.Rights) -> dict[str, list[str]]:
    return {"readers": sorted(rights.readers), "writers": sorted(rights.writers)}
