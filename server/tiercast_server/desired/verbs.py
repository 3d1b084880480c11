"""The verbs of the desired state: `desired.apply`, `.diff`, `.export`, `.history` and `assignment.*`.

Rules
- Viewers look, compare and export; operators apply, and leave a line in the audit log and one in the history.
- A verb that changes a definition is an `apply` of that one: one way, one history.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired import view as assignment_view
from tiercast_server.desired.apply import Asked, Desired
from tiercast_server.desired.assignments import Assignments
from tiercast_server.desired.document import Assignment, Document, plain, read

Handler = Callable[[Call], Awaitable[Any]]
_LIST = 50


class AssignmentVerbs:
    """Handlers; each takes a call and gives plain values."""

    def __init__(self, assignments: Assignments) -> None:
        self._assignments, self._desired = assignments, Desired(assignments)
        self._region = assignments.region

    async def apply(self, call: Call) -> dict[str, Any]:
        """Make the region's definitions what a document says, or what they were after an earlier change."""
        number = call.number("again", 0)
        asked = Asked(
            by=call.user,
            how=f"again {number}" if number else "apply",
            prune=bool(number) or call.flag("prune", default=False),
            dry_run=call.flag("dry_run", default=False),
            confirm=call.number("confirm", 0),
            lines=_lines(call),
            role=call.role,
        )
        if number:
            return await self._desired.again(number, asked)
        return await self._desired.apply(read(call.args.get("document")), asked)

    async def diff(self, call: Call) -> dict[str, Any]:
        """What `apply` would change; nothing is changed."""
        prune = call.flag("prune", default=False)
        asked = Asked(call.user, prune=prune, dry_run=True, lines=_lines(call), role=call.role)
        return await self._desired.apply(read(call.args.get("document")), asked)

    async def export(self, call: Call) -> dict[str, Any]:
        """All definitions."""
        del call
        return plain(await self._desired.export())

    async def history(self, call: Call) -> list[dict[str, Any]]:
        """Who changed what, newest first."""
        async with self._region.db.read() as connection:
            return await assignment_rows.history(connection, min(max(1, call.number("limit", _LIST)), 1_000))

    async def list_(self, call: Call) -> list[dict[str, Any]]:
        """Every assignment with its machines counted."""
        del call
        return await assignment_view.list_(self._region, self._assignments.seen, self._assignments.looked)

    async def show(self, call: Call) -> dict[str, Any]:
        """One assignment, and who is not as it wants it."""
        return await assignment_view.show(self._region, self._assignments.jobs.targeting, call.text("assignment"))

    async def retry(self, call: Call) -> dict[str, Any]:
        """Try again where it failed."""
        return await self._assignments.retry(call.text("assignment"), call.texts("nodes", []))

    async def delete(self, call: Call) -> dict[str, Any]:
        """Delete one; what stands on its machines stays."""
        return await self._change(call, "delete", lambda _: None)

    async def pause(self, call: Call) -> dict[str, Any]:
        """Order nothing for it until it is resumed."""
        return await self._change(call, "pause", lambda one: _paused(one, paused=True))

    async def resume(self, call: Call) -> dict[str, Any]:
        """Order what it wants again."""
        return await self._change(call, "resume", lambda one: _paused(one, paused=False))

    async def _change(self, call: Call, how: str, change: Callable[[Assignment], Assignment | None]) -> dict[str, Any]:
        async with self._region.db.read() as connection:
            kept = await assignment_rows.get(connection, call.text("assignment"))
        fresh = change(kept.definition)
        changed = Document(assignments=[] if fresh is None else [fresh])
        removed = (kept.name,) if fresh is None else ()
        confirm = call.number("confirm", 0)
        asked = Asked(call.user, f"{how} {kept.name}", remove=removed, confirm=confirm, role=call.role)
        return {"assignment": kept.name, **await self._desired.apply(changed, asked)}


def _paused(one: Assignment, *, paused: bool) -> Assignment:
    table = {key: value for key, value in one.table.items() if key != "paused"} | ({"paused": True} if paused else {})
    return msgspec.structs.replace(one, paused=paused, table=table)


def _lines(call: Call) -> dict[str, int]:
    said = call.mapping("lines", {})
    if not all(type(line) is int for line in said.values()):
        raise UsageError("argument.invalid", "`lines` must be numbers by key.", call.verb)
    return {str(key): line for key, line in said.items() if isinstance(line, int)}


def add_assignment_verbs(verbs: Verbs, assignments: Assignments, audited: Callable[[Handler], Handler]) -> None:
    """Put them into `verbs`."""
    handlers = AssignmentVerbs(assignments)
    verbs.add("desired.diff", "viewer", handlers.diff)
    verbs.add("desired.export", "viewer", handlers.export)
    verbs.add("desired.history", "viewer", handlers.history)
    verbs.add("desired.apply", "operator", audited(handlers.apply))
    verbs.add("assignment.list", "viewer", handlers.list_)
    verbs.add("assignment.show", "viewer", handlers.show)
    for name, handler in {
        "retry": handlers.retry,
        "delete": handlers.delete,
        "pause": handlers.pause,
        "resume": handlers.resume,
    }.items():
        verbs.add(f"assignment.{name}", "operator", audited(handler))
