"""Templates as rows: saved from a job or a draft, listed, shown, forgotten.

Rules
- A name is used once; saving over it is said with `replace`.
- What a template is and what becomes of it stands in `template_fill`; nothing here knows of parameters.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire import codec
from tiercast_server.database.tables import templates
from tiercast_server.jobs.requests import about
from tiercast_server.jobs.template_fill import Template
from tiercast_server.nodes.nearness import suggestion
from tiercast_server.nodes.nodes import check_name


async def save(
    connection: AsyncConnection, name: str, template: Template, *, note: str, by: str, now: int, replace: bool
) -> None:
    """Keep `template` under `name`.

    Raises:
        UsageError: name.invalid or template.exists.
    """
    check_name("template", name)
    if replace:
        await connection.execute(delete(templates).where(templates.c.name == name))
    elif (await connection.execute(select(templates.c.name).where(templates.c.name == name))).first():
        raise UsageError(
            code="template.exists",
            what=f"The template {name!r} exists.",
            todo="Add --replace to save over it. Nothing was saved.",
        )
    await connection.execute(
        insert(templates).values(
            name=name,
            note=note,
            created_by=by,
            created=now,
            parameters=codec.encode(template.parameters),
            request=codec.encode(template.request),
        )
    )


async def get(connection: AsyncConnection, name: str) -> Template:
    """The template `name`.

    Raises:
        UsageError: template.unknown.
    """
    row = await _row(connection, name)
    return Template(codec.decode_plain(row["request"]), codec.decode_plain(row["parameters"]))


async def show(connection: AsyncConnection, name: str) -> dict[str, Any]:
    """All of one template.

    Raises:
        UsageError: template.unknown.
    """
    row = await _row(connection, name)
    return _shown(row) | {"request": codec.decode_plain(row["request"])}


async def list_(connection: AsyncConnection) -> list[dict[str, Any]]:
    """Every template, by name."""
    rows = (await connection.execute(select(templates).order_by(templates.c.name))).mappings()
    return [_shown(row) for row in rows]


async def remove(connection: AsyncConnection, name: str) -> None:
    """Forget a template; jobs that were made of it stay.

    Raises:
        UsageError: template.unknown.
    """
    await _row(connection, name)
    await connection.execute(delete(templates).where(templates.c.name == name))


async def _row(connection: AsyncConnection, name: str) -> RowMapping:
    row = (await connection.execute(select(templates).where(templates.c.name == name))).mappings().one_or_none()
    if row is None:
        names = list((await connection.execute(select(templates.c.name))).scalars())
        raise UsageError(
            code="template.unknown",
            what=f"There is no template {name[:60]!r}.",
            todo=f"{suggestion(name, names)}`tiercast job template list` shows all templates.",
        )
    return row


def _shown(row: RowMapping) -> dict[str, Any]:
    request: dict[str, Any] = codec.decode_plain(row["request"])
    return {
        "template": row["name"],
        "type": str(request.get("type", "")),
        "about": about(request),
        "note": row["note"],
        "by": row["created_by"],
        "created": row["created"],
        "parameters": codec.decode_plain(row["parameters"]),
    }
