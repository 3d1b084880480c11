"""The parent's side of the ledger, and the two sides of each link put together.

Rules
- What was published stands in the books of `Streams`; it is booked by child and session when the ledger asks.
- A child is asked for its side when somebody looks, never otherwise: its answer is believed for looking, and for
  nothing else.
- A link is even when every session of it is: nothing is left over that neither end can explain.
"""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import msgspec

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.arrivals import CORRUPT, Arrivals, KernelBytes, page
from tiercast_protocol.node.ledger import DEPOT, SENT, Key, Ledger, Row
from tiercast_protocol.transfer.books import CUT, FOUND, PUBLISHED, Came, Place, Sent, SentBooks, compare

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Awaitable, Callable, Mapping

    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.node.control.peers import Role
    from tiercast_protocol.node.control.verbs import Call
    from tiercast_protocol.transfer.queues import JobBytes

#: Seconds in which a child answers, or is said to be silent.
_PATIENCE = 4.0
#: Most seconds that whoever asks for a check may give the children together.
_LONGEST_PATIENCE = 60.0
#: Sessions of one child in an answer.
_MOST_SESSIONS = 1000
#: Why bytes were published, as lanes count them.
REASONS = ("first", "lost", "repair", "failed")
_NOTHING = (0, 0, 0, 0)
#: What left this node, once per frame however many children it went to.
TO_BROKER = "to the broker"
#: Rows about what lay in the depot when it was asked for, and what had to come from above.
OWN, ABOVE = "own depot", "from above"


class _Side(msgspec.Struct):
    """A child's answer, as `Arrivals.side` makes it."""

    present: str
    sessions: dict[str, dict[str, int]]
    kernel: dict[str, int]


class LedgerRoom:
    """The ledger of a sub-tree, and a source of it: what is sent to children, and what had to be fetched for that."""

    def __init__(self, ledger: Ledger, tree: SubTree) -> None:
        self.ledger = ledger
        #: The other source, where there is a parent.
        self.arrivals: Arrivals | None = None
        self._tree = tree
        self._kernel = KernelBytes()
        self._published = (0, 0)
        self._lanes: dict[tuple[str, str], tuple[int, ...]] = {}
        self._depot: dict[Key, tuple[int, int]] = {}
        ledger.source(self.book)

    async def load(self) -> None:
        """Take up the books where they were last written down."""
        self._tree.streams.books = SentBooks(await self.ledger.places())

    def book(self, ledger: Ledger) -> None:
        """Book what was sent since the last time."""
        streams = self._tree.streams
        for step in streams.books.take():
            ledger.add(Key(SENT, step.child, step.reason, f"{step.session:x}"), step.bytes, frames=step.frames)
        for (child, session), place in streams.books.places().items():
            ledger.stand(child, session, place)
        for child, job, bytes_ in streams.machine.sent():
            now = _by_reason(bytes_)
            last = self._lanes.get((child, job), _NOTHING)
            if now == last:
                continue
            if any(new < old for new, old in zip(now, last, strict=True)):
                last = _NOTHING  # a lane that began anew
            for reason, new, old in zip(REASONS, now, last, strict=True):
                ledger.add(Key(SENT, child, reason, job=job), new - old)
            self._lanes[child, job] = now
        for job in streams.lay_here.keys() | streams.sought_above.keys():
            self._count(ledger, Key(DEPOT, "", OWN, job=job), streams.lay_here, streams.lay_here_chunks)
            self._count(ledger, Key(DEPOT, "", ABOVE, job=job), None, streams.sought_above)
        ledger.add(
            Key(SENT, "", TO_BROKER),
            streams.bytes_out - self._published[0],
            frames=streams.frames_out - self._published[1],
        )
        self._published = (streams.bytes_out, streams.frames_out)
        self._kernel.book(ledger, "", streams.tcp_info())

    def _count(self, ledger: Ledger, key: Key, sizes: Counter[str] | None, chunks: Counter[str]) -> None:
        now = (sizes[key.job] if sizes is not None else 0, chunks[key.job])
        last = self._depot.get(key, (0, 0))
        ledger.add(key, now[0] - last[0], chunks=now[1] - last[1])
        self._depot[key] = now


def _by_reason(sent: JobBytes) -> tuple[int, ...]:
    """In the order of `REASONS`."""
    return sent.first, sent.lost, sent.repair, sent.failed


class Ledgers:
    """The verbs that look at the ledger, with their handlers."""

    def __init__(self, tree: SubTree) -> None:
        self._tree, self._ledger = tree, tree.books.ledger
        self.table: list[tuple[str, Role, Callable[[Call], Awaitable[Any]]]] = [
            ("ledger.show", "viewer", self.show),
            ("ledger.check", "viewer", self.check),
            ("ledger.side", "viewer", self.side),
        ]

    async def side(self, call: Call) -> dict[str, Any]:
        """What came here from a parent: asked by it, to put it beside its own books."""
        arrivals = self._tree.books.arrivals
        if arrivals is None:
            raise UsageError("ledger.none", f"{self._tree.name} has no parent")
        return await arrivals.side(call.text("parent"))

    async def show(self, call: Call) -> dict[str, Any]:
        """The rows of this node's ledger, and its links with both sides."""
        link = call.text("link", "")
        if link and not self._known(link):
            todo = "See the links with: tiercast link list"
            raise UsageError(
                "link.unknown", f"{link} is neither a child nor the parent of {self._tree.name}", todo=todo
            )
        rows = await page(self._ledger, call.args, link)
        return {"node": self._tree.name, "links": await self._links(link, _PATIENCE), **rows}

    async def check(self, call: Call) -> dict[str, Any]:
        """Whether the books of every link agree, here and (with `below`) at all gateways below."""
        patience = max(0.1, min(call.number("patience_ms", int(_PATIENCE * 2000)) / 1000, _LONGEST_PATIENCE))
        gateways = [user.name for user in self._tree.enrolment.children() if user.role == "gateway"]
        asked = gateways if call.args.get("below") else []
        await self._ledger.write()
        async with asyncio.TaskGroup() as tasks:
            questions = [tasks.create_task(self._below(name, patience)) for name in asked]
            links = await self._links("", patience / 2)
        answers = [question.result() for question in questions]
        silent: list[str] = [one["child"] for one in links if not one["heard"]]
        for answer in answers:
            if isinstance(answer, dict):
                links += answer["links"]
                silent += answer["silent"]
        uneven = [one for one in links if one["heard"] and not one["even"]]
        return {"node": self._tree.name, "balanced": not uneven, "silent": sorted(set(silent)), "links": links}

    async def _below(self, gateway: str, patience: float) -> dict[str, Any] | None:
        # whoever asks others must be done before we give up
        args = {"below": True, "patience_ms": int(patience * 700)}
        try:
            answer = await self._tree.queries.ask(gateway, "ledger.check", args, deadline=patience)
        except UsageError:
            return None  # its own link is silent too, and that is said
        well = isinstance(answer, dict) and isinstance(answer.get("links"), list)
        return answer if well and isinstance(answer.get("silent"), list) else None

    def _known(self, link: str) -> bool:
        return link == self._tree.above.parent or any(link == user.name for user in self._tree.enrolment.children())

    async def _links(self, only: str, patience: float) -> list[dict[str, Any]]:
        # What was heard of before a child answers, and what was sent by then: bytes that pass while it does are under
        # way, whichever end counted them.
        before = {place: stood.received for place, stood in self._tree.streams.books.places().items()}
        children = list(await self._sent(only))
        sides = await asyncio.gather(*(self._ask(child, patience) for child in children))
        await self._ledger.write()
        sent, written = await self._sent(only), await self._ledger.places()
        return [
            self._link(child, sent.get(child, {}), side, before, written)
            for child, side in zip(children, sides, strict=True)
        ]

    async def _sent(self, only: str) -> dict[str, dict[str, dict[str, Row]]]:
        """What was sent to each child in each session, by reason."""
        sent: dict[str, dict[str, dict[str, Row]]] = {}
        for row in await self._ledger.totals(side=SENT, link=only):
            if row.key.session:
                sent.setdefault(row.key.link, {}).setdefault(row.key.session, {})[row.key.reason] = row
        return sent

    def _link(
        self,
        child: str,
        sessions: dict[str, dict[str, Row]],
        side: _Side | None,
        before: Mapping[tuple[str, int], int],
        written: Mapping[tuple[str, int], Place],
    ) -> dict[str, Any]:
        books = self._tree.streams.books
        totals = dict.fromkeys(("published", "arrived", "lost", "surplus", "left_over", "frames_left_over"), 0)
        came_all = dict.fromkeys((*(field.name for field in fields(Came)), CORRUPT), 0)
        frames = under_way = 0
        for name, reasons in sessions.items():
            session = int(name, 16)
            # the books remember the last legs of a child; where older ones ended was written down
            place = books.place(child, session) or written.get((child, session)) or Place(0, 0)
            place = Place(place.position, min(place.received, before.get((child, session), place.received)))
            book = _sent(reasons)
            frames += book.frames
            live = books.live(child, session)
            under_way += place.position - place.received if live else 0
            if side is None:
                totals["published"] += book.published
                continue
            told = side.sessions.get(name, {})
            for reason in came_all:
                came_all[reason] += told.get(reason, 0)
            came = Came(**{field.name: told.get(field.name, 0) for field in fields(Came)})
            over = name != side.present or not live
            balance = compare(book, came, place, over=over)
            for field in totals:
                totals[field] += int(getattr(balance, field))
        wasted = came_all["repeated"] + came_all["unasked"] + came_all["refused"] + came_all[CORRUPT]
        kernel = side.kernel.get("received", 0) if side is not None else 0
        return {
            "parent": self._tree.name,
            "child": child,
            "heard": side is not None,
            "online": self._tree.children.online(child),
            "even": side is not None and not totals["left_over"] and not totals["frames_left_over"],
            "frames": frames,
            "under_way": under_way,
            **totals,
            **{reason: came_all[reason] for reason in ("useful", "repeated", "unasked", "refused", CORRUPT)},
            "wasted": wasted,
            "kernel": kernel,
            "overhead": max(0, kernel - totals["arrived"]) if kernel else 0,
        }

    async def _ask(self, child: str, patience: float) -> _Side | None:
        try:
            told = await self._tree.queries.ask(child, "ledger.side", {"parent": self._tree.name}, deadline=patience)
            side = msgspec.convert(told, _Side)
        except (UsageError, msgspec.ValidationError):
            return None
        if len(side.sessions) > _MOST_SESSIONS or not all(
            abs(n) < 1 << 62 for s in side.sessions.values() for n in s.values()
        ):
            return None
        return side


def _sent(reasons: dict[str, Row]) -> Sent:
    sizes = {reason: reasons[reason].bytes if reason in reasons else 0 for reason in (PUBLISHED, CUT, FOUND)}
    frames = reasons[PUBLISHED].frames if PUBLISHED in reasons else 0
    return Sent(sizes[PUBLISHED], frames, sizes[CUT], sizes[FOUND])
