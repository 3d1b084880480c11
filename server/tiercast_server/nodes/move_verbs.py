"""The verbs that move nodes: `node.move`, `.home`, `.candidates`, `.retire`, `.replace`.

Rules
- All change who belongs where, so they are for admins, and leave a line in the audit log.
- `node.replace` is an invitation to take over a gateway's name: a new machine, a new key, the same children.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_server.nodes import nodes

if TYPE_CHECKING:
    from tiercast_server.verbs import Desk

Handler = Callable[[Call], Awaitable[Any]]
_DAY_S = 86_400


def add_move_verbs(verbs: Verbs, desk: Desk, audited: Callable[[Handler], Handler]) -> None:
    """Put them into `verbs`."""

    async def move(call: Call) -> dict[str, Any]:
        return await desk.moves.move(call.text("name"), call.text("to", ""))

    async def home(call: Call) -> dict[str, Any]:
        return await desk.moves.call_home(call.texts("names", []), call.text("below", ""))

    async def candidates(call: Call) -> dict[str, Any]:
        names = None if call.flag("default", default=False) else call.texts("candidates")
        return await desk.moves.set_candidates(call.text("name"), names)

    async def retire(call: Call) -> dict[str, Any]:
        return await desk.moves.retire(call.text("name"), call.text("children_to", ""))

    async def replace(call: Call) -> dict[str, Any]:
        name, ttl = call.text("name"), call.number("ttl_s", _DAY_S)
        async with desk.region.db.read() as connection:
            node = await nodes.get(connection, name)
        if node.role != "gateway" or not node.has_joined:
            raise UsageError(
                code="node.role",
                what=f"{name!r} is no gateway that has joined.",
                todo=f"An endpoint's new machine is invited: `tiercast node invite {name} --replace`.",
            )
        parent = "" if node.parent == desk.region.server else node.parent
        above = await desk.enrolment.check_invitation(name, "gateway", parent, ttl, replace=True)
        url = await desk.presence.address_of(above)
        made = await desk.enrolment.invite(name, "gateway", parent, ttl, url=url, replace=True)
        async with desk.region.db.read() as connection:
            children = await nodes.children_of(connection, name)
        return made | {"children": children}

    for verb, handler in {
        "move": move,
        "home": home,
        "candidates": candidates,
        "retire": retire,
        "replace": replace,
    }.items():
        verbs.add(f"node.{verb}", "admin", audited(handler))
