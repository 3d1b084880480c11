"""The verbs with which transfers are steered, of every tier with children.

Rules
- The same handlers serve the tier's own socket and, for links, questions from the server (`verbs`).
- A suspension that is ordered here is about this node and what is below it; "" or our own name is all of that.
- Who suspended is written with it, and shown to whoever waits: the user, and the node where it was said.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tiercast_gateway import snapshot
from tiercast_gateway.steering.desired import OUTPUT
from tiercast_gateway.steering.holds import Hold
from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar, terms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.node.control.peers import Role
    from tiercast_protocol.node.control.verbs import Call

#: Who a question over the tree is from; its `by` says who asked there.
_OVER_THE_TREE = "region"


class SteeringVerbs:
    """Handlers; each takes a call and gives plain values."""

    def __init__(self, tree: SubTree) -> None:
        self._tree = tree

    def table(self) -> list[tuple[str, Role, Callable[[Call], Awaitable[Any]]]]:
        """Name, role and handler of each that speaks of a node's own links."""
        return [
            ("link.list", "viewer", self.links),
            ("link.show", "viewer", self.show),
            ("link.set", "operator", self.set),
            ("link.suspend", "operator", self.suspend_link),
            ("link.resume", "operator", self.resume_link),
            ("link.window.add", "operator", self.add_window),
            ("link.window.remove", "operator", self.remove_window),
            ("hold.list", "viewer", self.holds),
        ]

    def own_table(self) -> list[tuple[str, Role, Callable[[Call], Awaitable[Any]]]]:
        """Those of a gateway's own socket, for what is below it; the server has its own."""
        return [
            ("node.suspend", "operator", self.suspend_node),
            ("node.resume", "operator", self.resume_node),
            ("job.suspend", "operator", self.suspend_job),
            ("job.resume", "operator", self.resume_job),
        ]

    # -- links -----------------------------------------------------------------------------------------

    async def links(self, call: Call) -> list[dict[str, Any]]:
        """The links to the children, with their terms and what goes over them."""
        del call
        return snapshot.links(self._tree)

    async def show(self, call: Call) -> dict[str, Any]:
        """One link: its terms, what they come to now, and why nothing goes."""
        child = call.text("child", OUTPUT)
        shown = next((link for link in snapshot.links(self._tree) if link["child"] == child), None)
        if child != OUTPUT and shown is None:
            raise UsageError(
                code="link.unknown",
                what=f"{child} is no child of {self._tree.name}",
                todo="See the links with: tiercast link list",
            )
        return {"parent": self._tree.name, "child": child, **(shown or {}), **self._tree.steering.link(child)}

    async def set(self, call: Call) -> dict[str, Any]:
        """Change what was said of a link; `child` "" is all links together."""
        options, clear = call.mapping("options", {}), call.texts("clear", [])
        return await self._tree.steering.set_link(call.text("child", OUTPUT), options, clear)

    async def add_window(self, call: Call) -> dict[str, Any]:
        """A link has one window more."""
        child = call.text("child", OUTPUT)
        text = calendar.shown((*self._windows(child), *calendar.parse(call.text("window"))))
        return await self._tree.steering.set_link(child, {"window": text}, [])

    async def remove_window(self, call: Call) -> dict[str, Any]:
        """A link has the window `number` (from 1) no longer; 0 is all."""
        child, number = call.text("child", OUTPUT), call.number("number")
        windows = self._windows(child)
        if not 0 <= number <= len(windows):
            raise UsageError(
                code="window.unknown",
                what=f"There is no window {number}: the link has {len(windows)}",
                todo="See them with: tiercast link window list",
            )
        left = [window for at, window in enumerate(windows, 1) if number not in {0, at}]
        if not left:
            return await self._tree.steering.set_link(child, {}, ["window"])
        return await self._tree.steering.set_link(child, {"window": calendar.shown(left)}, [])

    async def suspend_link(self, call: Call) -> dict[str, Any]:
        """Nothing more over one link, but for jobs that pass a suspension."""
        child = call.text("child")
        until = until_of(call)
        await self._tree.steering.suspensions.suspend([Hold("", child, until, self._by(call), link=True)])
        return {"child": child, "until": until}

    async def resume_link(self, call: Call) -> dict[str, Any]:
        """The link goes on."""
        child = call.text("child")
        suspensions = self._tree.steering.suspensions
        resumed = await suspensions.resume([Hold("", child, link=True)])
        return {"child": child, "resumed": resumed, "still": suspensions.still("", [child])}

    # -- nodes and jobs --------------------------------------------------------------------------------

    async def holds(self, call: Call) -> list[dict[str, Any]]:
        """Every suspension that stands at this node, said here or above."""
        del call
        return self._tree.steering.suspensions.shown()

    async def suspend_node(self, call: Call) -> dict[str, Any]:
        """Nothing more over the link to a node and over every link below it."""
        return await self._suspend(call, "", [call.text("name")])

    async def resume_node(self, call: Call) -> dict[str, Any]:
        """It goes on, as far as it was suspended here."""
        return await self._resume("", [call.text("name")])

    async def suspend_job(self, call: Call) -> dict[str, Any]:
        """Nothing more of a job, to some nodes or to all below this one."""
        job = self._tree.steering.jobs.named(call.text("job"))
        if not job:
            raise self._no_job(call)
        return await self._suspend(call, job, call.texts("nodes", []))

    async def resume_job(self, call: Call) -> dict[str, Any]:
        """The job goes on; without nodes, wherever it was suspended from here."""
        held = [hold["job"] for hold in self._tree.steering.suspensions.shown()]
        job = self._tree.steering.jobs.named(call.text("job"), held)
        if not job:
            raise self._no_job(call)
        return await self._resume(job, call.texts("nodes", []))

    async def _suspend(self, call: Call, job: str, nodes: list[str]) -> dict[str, Any]:
        until = until_of(call)
        names = [self._here(name) for name in nodes] or [""]
        await self._tree.steering.suspensions.suspend(
            [Hold(job, name, until, self._by(call), of=name or self._tree.name) for name in names]
        )
        return {"job": job, "nodes": names, "until": until}

    async def _resume(self, job: str, nodes: list[str]) -> dict[str, Any]:
        names = [self._here(name) for name in nodes]
        held, suspensions = [Hold(job, name) for name in names], self._tree.steering.suspensions
        if job and not nodes:
            held = [Hold(job, hold["node"]) for hold in suspensions.shown() if hold["job"] == job]
        resumed = await suspensions.resume(held)
        return {"job": job, "nodes": names, "resumed": resumed, "still": suspensions.still(job, names)}

    def _no_job(self, call: Call) -> UsageError:
        return UsageError(
            code="job.unknown",
            what=f"No open job {call.text('job')} passes {self._tree.name}",
            todo="See the jobs with: tiercast job list",
        )

    def _here(self, name: str) -> str:
        return "" if name == self._tree.name else name

    def _by(self, call: Call) -> str:
        said = call.text("by", "") if call.user == _OVER_THE_TREE else ""
        return said or f"{call.user}@{self._tree.name}"

    def _windows(self, child: str) -> tuple[calendar.Window, ...]:
        return terms.link_words(self._tree.steering.link(child)["terms"]).windows


def until_of(call: Call) -> int:
    """The end of a suspension, in milliseconds since 1970; 0 for none.

    Raises:
        UsageError: time.over.
    """
    until = call.number("until", 0)
    if until and until <= time.time_ns() // 1_000_000:
        raise UsageError(
            code="time.over", what="The end of the suspension is over already", todo="Give a time that is to come."
        )
    return until
