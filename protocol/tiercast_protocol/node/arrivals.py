"""The child's side of the ledger: what came from the parent, and what became of it.

Rules
- Booked are differences of counters, when the ledger asks, and before another parent takes the present one's place.
- The kernel's bytes are those of the bulk connection; what a connection carried in its last seconds, between the last
  look and its end, is not seen.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from tiercast_protocol.content.jobs.jobnames import named
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.kernel import TcpInfo
from tiercast_protocol.node.ledger import CAME, KERNEL, Key, Ledger, shown
from tiercast_protocol.transfer.books import Came

if TYPE_CHECKING:
    from tiercast_protocol.node.upstream import Upstream

#: Rows of whole chunks: in the store, for a job; thrown away because their bytes were not theirs.
STORED, CORRUPT = "stored", "corrupt"
FRAMES = "frames"
#: Rows of one answer.
MOST_ROWS = 2000
_BYTES = tuple(field.name for field in fields(Came) if field.name != FRAMES)


class KernelBytes:
    """Turns the kernel's counters of one connection after the other into steps."""

    def __init__(self) -> None:
        self._sent = self._received = 0

    def book(self, ledger: Ledger, link: str, info: TcpInfo | None) -> None:
        """Add what was carried since the last time."""
        if info is None:
            self._sent = self._received = 0
            return
        if info.sent < self._sent or info.received < self._received:
            self._sent = self._received = 0  # another connection
        ledger.add(Key(KERNEL, link, "sent"), info.sent - self._sent)
        ledger.add(Key(KERNEL, link, "received"), info.received - self._received)
        self._sent, self._received = info.sent, info.received


class Arrivals:
    """A source of the ledger: what comes to this node from its parent.

    Args:
        ledger: where it is booked.
        upstream: the way to the parent.
    """

    def __init__(self, ledger: Ledger, upstream: Upstream) -> None:
        self._ledger, self._upstream = ledger, upstream
        self._last: dict[str, int] = {}
        self._jobs: dict[str, int] = {}
        self._chunks = 0
        self._kernel = KernelBytes()
        #: What an endpoint answers.
        self.readings = {"ledger.side": self.asked, "ledger.show": self.show}
        ledger.source(lambda _ledger: self.book())
        upstream.on_leaving = self.book

    def book(self) -> None:
        """Book what came since the last time."""
        upstream, ledger = self._upstream, self._ledger
        parent, counters, session = upstream.parent, upstream.counters, f"{upstream.session:x}"
        frames = counters.frames - self._last.get(FRAMES, 0)
        self._last[FRAMES] = counters.frames
        ledger.add(Key(CAME, parent, FRAMES, session), 0, frames=frames)
        for reason in (*_BYTES, CORRUPT):
            count = getattr(counters, reason)
            ledger.add(Key(CAME, parent, reason, session), count - self._last.get(reason, 0))
            self._last[reason] = count
        for job, count in counters.jobs.items():
            ledger.add(Key(CAME, parent, STORED, session, job), count - self._jobs.get(job, 0))
            self._jobs[job] = count
        self._kernel.book(ledger, parent, upstream.hop.bulk.tcp_info())

    async def side(self, parent: str) -> dict[str, Any]:
        """What `parent` is told of this side of its link: the present session, the sums of each, the kernel's bytes."""
        await self._ledger.write()
        sessions: dict[str, dict[str, int]] = {}
        kernel = {"sent": 0, "received": 0}
        for row in await self._ledger.totals(link=parent):
            if row.key.side == KERNEL:
                kernel[row.key.reason] = row.bytes
            elif row.key.side == CAME and row.key.reason != STORED:
                amount = row.frames if row.key.reason == FRAMES else row.bytes
                sessions.setdefault(row.key.session, {})[row.key.reason] = amount
        return {"present": f"{self._upstream.session:x}", "sessions": sessions, "kernel": kernel}

    async def asked(self, args: dict[str, Any]) -> dict[str, Any]:
        """What came here from a parent: asked by it, to put it beside its own books."""
        return await self.side(str(args.get("parent", "")) or self._upstream.parent)

    async def show(self, args: dict[str, Any]) -> dict[str, Any]:
        """What came here, by hour, job and reason."""
        link = args.get("link", "")
        return {"node": self._upstream.me, "links": [], **await page(self._ledger, args, str(link))}


async def page(ledger: Ledger, args: dict[str, Any], link: str = "") -> dict[str, Any]:
    """The newest rows that a question's `job`, `since` and `before` name (a job by its number too); are there more?"""
    job, since, before = args.get("job") or None, args.get("since", 0), args.get("before", 0)
    if not (job is None or isinstance(job, str)) or type(since) is not int or type(before) is not int:
        raise UsageError("argument.invalid", "job must be text, since and before whole numbers", "ledger.show")
    await ledger.write()
    if job is not None:
        job = named(job, await ledger.jobs()) or job
    rows = await ledger.rows(link=link, job=job, since=since, before=before, limit=MOST_ROWS + 1)
    return {"rows": [shown(row) for row in rows[-MOST_ROWS:]], "more": len(rows) > MOST_ROWS}
