"""The verbs of jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.transfer.overlap import Limit
from tiercast_server.jobs.checks import DEFAULT_EXPIRY_S, Request
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.jobs.parts import Part
from tiercast_server.jobs.proviso_checks import INSTALLING
from tiercast_server.jobs.requests import Kept
from tiercast_server.jobs.reruns import Reruns
from tiercast_server.jobs.search import filter_of
from tiercast_server.jobs.targets import PAGE, Wanted
from tiercast_server.jobs.view import JobView
from tiercast_server.nodes.ways import Ways
from tiercast_server.packages.patches import Patches
from tiercast_server.packages.values import Values
from tiercast_server.rooms import Rooms

_LIST = 50


class JobVerbs:
    """Handlers; each takes a call and gives plain values."""

    def __init__(
        self,
        jobs: Jobs,
        view: JobView,
        patches: Patches | None = None,
        rooms: Rooms | None = None,
        ways: Ways | None = None,
        values: Values | None = None,
    ) -> None:
        self.jobs = self._jobs = jobs
        self._reruns = Reruns(jobs)
        self._rooms, self._ways, self._values = rooms, ways, values
        self._view = view
        self._patches = patches

    def request(self, call: Call) -> Request:
        """The request in a call's arguments."""
        return Request(
            type=call.text("type"),
            package=call.text("package", ""),
            by=call.user,
            targets=tuple(call.texts("targets", [])),
            groups=tuple(call.texts("groups", [])),
            note=call.text("note", ""),
            expires_s=call.number("expires_s", DEFAULT_EXPIRY_S),
            options=call.mapping("options", {}),
            target=call.text("target", ""),
            follow=call.flag("follow", default=True),
            dry_run=call.flag("dry_run", default=False),
            confirm=call.number("confirm", 0),
            anyway=call.flag("anyway", default=False),
            role=call.role,
            test=call.flag("test", default=False),
        )

    async def create(self, call: Call, draft: str = "") -> dict[str, Any]:
        """Create a job and order it; `draft` is the one that it is the start of."""
        request = replace(self.request(call), kept=Kept(call.args, call.text("folder", ""), draft))
        made = await self._jobs.create(request, await self.prepare(request))
        if "job" in made:
            await self.ordered(made["job"])
        return made | await self.foreseen(request, made)

    async def foreseen(self, request: Request, shown: dict[str, Any]) -> dict[str, Any]:
        """What a dry run (`shown`) of an installation tells besides: what each target would take of the package."""
        if not request.dry_run or request.type not in INSTALLING or self._values is None:
            return {}
        names = [name for site in shown["sites"] for name in site["nodes"]]
        return await self._values.foreseen(request.package, names)

    async def prepare(self, request: Request) -> list[list[Limit]]:
        """Ask the gateways on the way: refuse what has no room there; the limits of the ways."""
        if self._rooms is not None:
            await self._rooms.check(request)
        return [] if self._ways is None else await self._ways.of(request)

    async def ordered(self, job: str) -> None:
        """The job was made: patches that it can use are wanted first."""
        if self._patches is not None:
            await self._patches.ordered(job)

    async def list_(self, call: Call) -> list[dict[str, Any]]:
        """The newest jobs, of those that are wanted."""
        return await self._view.list_(call.number("limit", _LIST), filter_of(call))

    async def show(self, call: Call) -> dict[str, Any]:
        """One job, hops, and targets: a page of them, those after a name, of these names, or whose owners chose."""
        return await self._view.show(call.text("job"), _wanted(call))

    async def watch(self, call: Call) -> AsyncIterator[dict[str, Any]]:
        """Snapshots of a job until it has ended."""
        async for snapshot in self._view.watch(call.text("job"), _wanted(call)):
            yield snapshot

    async def receipt(self, call: Call) -> dict[str, Any]:
        """The signed receipt of one target."""
        return await self._view.receipt(call.text("job"), call.text("node"))

    async def cancel(self, call: Call) -> dict[str, Any]:
        """Order the open targets, or some of them, to leave the job."""
        part = Part(*(tuple(call.texts(word, [])) for word in ("nodes", "groups", "below")))
        return await self._jobs.cancel(call.text("job"), part, force=call.flag("force", default=False))

    async def rerun(self, call: Call) -> dict[str, Any]:
        """Order a job again where it failed, or reached nobody."""
        made = await self._reruns.rerun(
            call.text("job"),
            failed=call.flag("failed", default=False),
            unreached=call.flag("unreached", default=False),
            by=call.user,
            expires_s=call.number("expires_s", 0),
        )
        await self.ordered(made["job"])
        return made

    async def delete(self, call: Call) -> dict[str, Any]:
        """Forget a closed job."""
        return await self._jobs.delete(call.text("job"))


def _wanted(call: Call) -> Wanted:
    return Wanted(
        most=max(0, call.number("most", 0)),
        after=call.text("after", ""),
        alone=call.flag("alone", default=False),
        on=tuple(call.texts("on", [])[:PAGE]),
        chosen=call.flag("chosen", default=False),
    )
