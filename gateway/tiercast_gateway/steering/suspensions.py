"""Suspensions that were said here or above: taken, kept, and said below (docs/protocol-steering.md, section 4).

Rules
- What is said acts before it is kept (`act`), and is kept before whoever said it is answered.
- A gateway below hears the whole list for it whenever that is something else than it heard last, also after a kill.
- Lists of a parent before the present one count for nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tiercast_gateway.steering import holds as h
from tiercast_gateway.steering import said as s
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.messages import HoldEntry, Holds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiercast_gateway.steering.said import Said
    from tiercast_gateway.subtree import SubTree

_Rows = dict[str, dict[str, Any] | None]


class Suspensions:
    """Of one sub-tree; `act` is called whenever they changed."""

    def __init__(self, tree: SubTree, said: Said, act: Callable[[], None]) -> None:
        self._tree, self._said, self._act = tree, said, act
        self._telling = asyncio.Lock()

    async def suspend(self, holds: Sequence[h.Hold]) -> None:
        """Suspend, from here; a later word about the same job and node stands.

        Raises:
            UsageError: link.unknown, node.unknown.
        """
        children = {user.name for user in self._tree.enrolment.children()}
        for hold in holds:
            if hold.link and hold.node not in children:
                raise UsageError(
                    code="link.unknown",
                    what=f"{hold.node} is no child of {self._tree.name}",
                    todo="See the links with: tiercast link list",
                )
            if hold.node not in {"", self._tree.name} and self._tree.routes.via(hold.node) is None:
                raise UsageError(
                    code="node.unknown",
                    what=f"{hold.node} is not below {self._tree.name}",
                    todo="See the nodes with: tiercast node list",
                )
        await self._put(s.HOLD, {hold.name: hold.body() for hold in holds})

    async def resume(self, holds: Sequence[h.Hold]) -> int:
        """Take back what was suspended from here; how many of them there were."""
        names = [hold.name for hold in holds if self._said.get(s.HOLD, hold.name) is not None]
        await self._put(s.HOLD, dict.fromkeys(names))
        return len(names)

    async def take(self, peer: str, message: Holds) -> None:
        """The parent's list of what is suspended here and below."""
        known = self._said.get(s.ABOVE, peer)
        if known is not None and known["seq"] >= message.seq:
            return
        rows: _Rows = dict.fromkeys(self._said.all(s.ABOVE))
        rows[peer] = {"seq": message.seq, "holds": [hold.body() for hold in h.of_entries(message.holds)]}
        await self._put(s.ABOVE, rows)

    async def forget(self, job: str) -> None:
        """The job is over."""
        gone = [name for name, body in self._said.all(s.HOLD).items() if body["job"] == job]
        if gone:
            await self._put(s.HOLD, dict.fromkeys(gone))

    async def untold(self, child: str) -> None:
        """The child came from another parent, or went there: what it was told from here it does not know any more."""
        if self._said.get(s.TOLD, child) is not None:
            await self._said.put(s.TOLD, {child: None})

    def standing(self, now_ms: int) -> list[h.Hold]:
        """Those that hold at this moment."""
        return h.standing(self._own() + self._above(), self._tree.name, now_ms)

    def shown(self) -> list[dict[str, Any]]:
        """Every suspension that stands, and whether it was said here or above."""
        now = _now_ms()
        both = [(hold, True) for hold in self._own()] + [(hold, False) for hold in self._above()]
        return [
            {**hold.body(), "here": here}
            for hold, here in sorted(both, key=lambda one: (one[0].node, one[0].job))
            if not hold.until or hold.until > now
        ]

    def still(self, job: str, nodes: Sequence[str]) -> list[dict[str, Any]]:
        """What still holds up the job ("" is every job) at these nodes (none is anywhere), as `shown`."""
        ways = {"", *nodes, *(self._tree.routes.via(node) for node in nodes if node)}
        everywhere = not nodes or "" in nodes
        return [
            one
            for one in self.shown()
            if one["job"] in {"", job} and (one["node"] in ways or (everywhere and bool(job) and one["job"] == job))
        ]

    async def tell_below(self) -> None:
        """Say to each gateway below what it has not heard yet."""
        async with self._telling:
            holds = self.standing(_now_ms())
            for user in self._tree.enrolment.children():
                if user.role == "gateway":
                    await self._tell(user.name, h.below(holds, user.name, self._tree.routes.via))

    async def _tell(self, child: str, entries: list[HoldEntry]) -> None:
        told = self._said.get(s.TOLD, child)
        body = [_plain(entry) for entry in entries]
        if body == (told["holds"] if told is not None else []):
            return
        seq = max(_now_ms(), (told["seq"] if told is not None else 0) + 1)
        await self._tree.post.send(child, Holds(seq=seq, holds=entries))
        await self._said.put(s.TOLD, {child: {"seq": seq, "holds": body}})

    def _own(self) -> list[h.Hold]:
        return [h.of_body(body) for body in self._said.all(s.HOLD).values()]

    def _above(self) -> list[h.Hold]:
        body = self._said.get(s.ABOVE, self._tree.above.parent)
        return [] if body is None else [h.of_body(one) for one in body["holds"]]

    async def _put(self, kind: str, rows: _Rows) -> None:
        self._said.note(kind, rows)
        self._act()
        await self._said.put(kind, rows)


def _plain(entry: HoldEntry) -> list[Any]:
    return [entry.job, entry.node, entry.until, entry.by, entry.of]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
