"""The verbs with which administrators steer transfers: links at any node, suspensions, a job's terms.

Rules
- A link is set where it is: at the node named, here or asked over the tree.
- Suspensions are said by this server's own node and go down the tree; a gateway that is cut off has them when it is
  back.
- A job's terms are the region's word: in its row, in later orders, and signed to wherever it passed.
- Names are checked here, all at once; what can't work is refused before anything is said.
"""

from __future__ import annotations

from typing import Any

from tiercast_gateway.steering.holds import Hold
from tiercast_gateway.steering.verbs import SteeringVerbs as Own
from tiercast_gateway.steering.verbs import until_of
from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_server.below import Below
from tiercast_server.depot_verbs import asked
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.nodes import nodes
from tiercast_server.nodes.nodes import resolve
from tiercast_server.region import Region


class SteeringVerbs:
    """Handlers; each takes a call and gives plain values."""

    def __init__(self, region: Region, below: Below, jobs: Jobs) -> None:
        self._region, self._below, self._jobs = region, below, jobs

    async def links(self, call: Call) -> list[dict[str, Any]]:
        """The links to a node's children."""
        found: list[dict[str, Any]] | None = await asked(self._region, self._below, call)
        if found is None:
            found = await self._own.links(call)
        return found

    async def link(self, call: Call) -> dict[str, Any]:
        """Whatever is said of one link, at the node above it."""
        parent, child = call.text("node", "") or self._region.server, call.text("child", "")
        async with self._region.db.read() as connection:
            below = await nodes.children_of(connection, parent)
        if child and child not in below:
            raise UsageError(
                code="link.unknown",
                what=f"{child!r} is no child of {parent!r}.",
                todo="`tiercast node list` shows every node's parent; name that with --node.",
            )
        more = {"by": f"{call.user}@{self._region.server}"}
        found: dict[str, Any] | None = await asked(self._region, self._below, call, more)
        if found is None:
            handlers = {name: handler for name, _, handler in self._own.table()}
            own: dict[str, Any] = await handlers[call.verb](call)
            found = own
        return {**found, "parent": parent}

    async def holds(self, call: Call) -> list[dict[str, Any]]:
        """Every suspension that stands at a node."""
        found: list[dict[str, Any]] | None = await asked(self._region, self._below, call)
        return await self._own.holds(call) if found is None else found

    async def suspend_node(self, call: Call) -> dict[str, Any]:
        """Nothing more over the link to a node, and over every link below it."""
        return await self._suspend(call, "", await self._names([call.text("name")]))

    async def resume_node(self, call: Call) -> dict[str, Any]:
        """It goes on, as far as it was suspended here."""
        return await self._resume("", await self._names([call.text("name")]))

    async def suspend_job(self, call: Call) -> dict[str, Any]:
        """Nothing more of a job: anywhere, or to some nodes and what is below them."""
        async with self._region.db.read() as connection:
            job = await job_rows.get(connection, call.text("job"))
        jobtypes.check("suspend", type_=job.type, state=job.shown_state, job=job.id)
        return await self._suspend(call, job.id, await self._names(call.texts("nodes", [])))

    async def resume_job(self, call: Call) -> dict[str, Any]:
        """The job goes on: at some nodes, or wherever it was suspended."""
        async with self._region.db.read() as connection:
            job = await job_rows.get(connection, call.text("job"))
        jobtypes.check("resume", type_=job.type, state=job.shown_state, job=job.id)
        return await self._resume(job.id, await self._names(call.texts("nodes", [])))

    async def set_job(self, call: Call) -> dict[str, Any]:
        """Other terms for a job that is under way."""
        return await self._jobs.set_terms(call.text("job"), call.mapping("options", {}), call.texts("clear", []))

    @property
    def _own(self) -> Own:
        return Own(self._below.subtree)

    async def _names(self, names: list[str]) -> list[str]:
        """Names as holds have them: "" is the server, for everything."""
        others = [name for name in names if name != self._region.server]
        async with self._region.db.read() as connection:
            found = [node.name for node in await resolve(connection, others, ())]
        return [""] if len(others) < len(names) else found

    async def _suspend(self, call: Call, job: str, names: list[str]) -> dict[str, Any]:
        until, by = until_of(call), f"{call.user}@{self._region.server}"
        suspensions = self._below.subtree.steering.suspensions
        await suspensions.suspend(
            [Hold(job, name, until, by, of=name or self._region.server) for name in names or [""]]
        )
        return {"job": job, "nodes": names, "until": until}

    async def _resume(self, job: str, names: list[str]) -> dict[str, Any]:
        suspensions = self._below.subtree.steering.suspensions
        held = [Hold(job, name) for name in names]
        if job and not names:
            held = [Hold(job, hold["node"]) for hold in suspensions.shown() if hold["job"] == job]
        resumed = await suspensions.resume(held)
        return {"job": job, "nodes": names, "resumed": resumed, "still": suspensions.still(job, names)}
