"""A node's way from parent to parent: the machine (`parentage`) decides, this file acts (docs/protocol.md, section 12).

Rules
- Who is a parent, the region says, signed for this node at this generation; of two lists the later one stands.
- A move is on the disk before it is made.  Between two parents what waits in the outbox is readdressed; then the new
  one is told where this node is, then what is known of its jobs, in this order: above, nobody believes a status of a
  node that is elsewhere.
- Where this node is, it says at every start too: numbers only rise, so a repeated word changes nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from tiercast_protocol.content.trust.parents import Candidate, Placing, open_parents, sign_placing
from tiercast_protocol.errors import SignatureInvalid, StoreFull, UsageError
from tiercast_protocol.node import parentage as p
from tiercast_protocol.node import standing
from tiercast_protocol.node.address import TlsFiles
from tiercast_protocol.node.asking import ask_for_place
from tiercast_protocol.node.hop import Parent
from tiercast_protocol.node.joined import Enrolled
from tiercast_protocol.node.pointing import parent_at, prove, what_to_do
from tiercast_protocol.node.post import Post
from tiercast_protocol.node.standing import Choice, Kept, Policy
from tiercast_protocol.node.upstream import Upstream
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import body_of
from tiercast_protocol.wire.moving import Below, ParentsTold, Placed

log = structlog.get_logger(__name__)

#: Said anew to every parent, so not carried from one to the next.
SAID_ANEW = ("status.v1",)
_AGAIN_S = 2.0
#: How long whoever said an address waits to hear that the parent is there.
_COMING_S = 10.0
#: Most nodes named in one message; more follow in further ones of the same number.
MOST_BELOW = 5000


@dataclass(frozen=True, slots=True)
class Subject:
    """What the node says of itself when it moves.

    Attributes:
        url: where its own children reach it; "" for an endpoint.
        below: the nodes below it.
        retell: tells the new parent what is known of jobs.
    """

    url: Callable[[], str]
    below: Callable[[], list[Below]]
    retell: Callable[[], Awaitable[None]]


class Roaming:
    """Keeps one node below a parent.

    Args:
        me: who it is.
        folder: its state folder.
        kept: what the file says (`standing.load`).
        policy: of its settings.
        upstream: made for `kept.standing.present`.
        post: outbox and inbox.
        subject: what it says of itself.
        tls: what to trust, where a broker is at mqtts://.
    """

    def __init__(
        self,
        me: Enrolled,
        folder: Path,
        kept: Kept,
        policy: Policy,
        *,
        upstream: Upstream,
        post: Post,
        subject: Subject,
        tls: TlsFiles,
    ) -> None:
        self._me, self._folder, self._kept = me, folder, kept
        self._upstream, self._post, self._subject, self._tls = upstream, post, subject, tls
        self.machine = p.Parentage(kept.standing, policy, random.Random())  # noqa: S311 - spreads, protects nothing
        self._events: asyncio.Queue[p.Event] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.TaskGroup | None = None
        self._came = asyncio.Event()
        upstream.on_up, upstream.on_down = self._up, self._down
        upstream.on_refused = lambda reason, wait: self._events.put_nowait(p.ParentRefused(reason, wait))
        upstream.on_moved = self._between
        post.on("parents.v1", self._on_parents)

    async def run(self) -> None:
        """Watch over the parent until cancelled."""
        if self._kept.before:
            await self._between(self._kept.before, self._upstream.parent)
        else:
            await self._say_where()
        async with asyncio.TaskGroup() as tasks:
            self._asking = tasks
            try:
                await self._handle(p.ParentLost() if not self._upstream.connected else p.ParentConnected())
                while True:
                    await self._handle(await self._events.get())
            finally:
                if self._timer is not None:
                    self._timer.cancel()

    def choose(self, name: str) -> None:
        """The owner wants the node below `name`.

        Raises:
            UsageError: the region lets it in nowhere of that name.
        """
        now = self.machine.standing
        names = [one.parent.name for one in (now.home, *now.candidates)]
        if name not in names:
            raise UsageError(
                code="parent.unknown",
                what=f"The region does not let this node in at {name!r}.",
                todo=f"Choose one of {', '.join(names)}, or ask the region's administrator for `tiercast node move`.",
            )
        self._events.put_nowait(p.OwnerChose(name))

    async def point(self, text: str, name: str) -> dict[str, Any]:
        """A human says that `name` ("": home) is at this address: what came of it, once it has proved itself.

        Raises:
            UsageError: no address, nobody there, or not proved.
        """
        parent = parent_at(text, name, self.machine.standing)
        await prove(parent, self._me, self._tls)
        log.info("parent.proved", parent=parent.name, url=parent.url)
        self._events.put_nowait(p.AddressProved(parent))
        with suppress(TimeoutError):
            async with asyncio.timeout(_COMING_S):
                await self._came.wait()
        return {"proved": {"name": parent.name, "url": parent.url}} | self.shown()

    def shown(self) -> dict[str, Any]:
        """What `parents` shows."""
        now = self.machine.standing
        return {
            "home": now.home.parent.name,
            "parent": now.present.name,
            "url": now.present.url,
            "connected": self._upstream.connected,
            "reason": now.reason,
            "waiting": self.machine.waiting,
            "tried": self._tried(),
            "todo": "" if self._upstream.connected else what_to_do(now, self._me.role),
            "called": now.called,
            "candidates": [
                {"name": one.parent.name, "url": one.parent.url, "cost": one.cost} for one in now.candidates
            ],
        }

    def _tried(self) -> list[dict[str, str]]:
        """What came of each parent that this node may be below, while it has none."""
        now = self.machine.standing
        if self._upstream.connected:
            return []
        said = self.machine.refusals | {now.present.name: self._upstream.hop.control.problem or "no word of it yet"}
        known = {one.parent.name: one.parent.url for one in (now.home, *now.candidates)} | {
            now.present.name: now.present.url
        }
        return [{"name": name, "url": url, "said": said.get(name, "not asked yet")} for name, url in known.items()]

    # -- what the region says ------------------------------------------------------------------------

    async def _on_parents(self, _peer: str, envelope: Envelope) -> None:
        """Handler of `parents.v1`.  Raises `ProtocolError` where it is not the region's word for this node."""
        word = body_of(envelope, ParentsTold)
        parents = open_parents(word.data, word.signature, self._me.region_key)
        mine = (self._me.region, self._me.name, self._me.generation)
        if (parents.region, parents.node, parents.generation) != mine:
            raise SignatureInvalid("parents", f"it is for {parents.node}, generation {parents.generation}")
        if parents.issued < self._kept.issued:
            return
        home, told = self.machine.standing.home.parent, self._kept.told
        url = parents.home.url
        if parents.home.name == home.name and (not url or told in {"", url}):
            url = home.url
        self._kept = replace(self._kept, issued=parents.issued, told=parents.home.url or told)
        await self._save()
        candidates = tuple(map(_choice, parents.candidates))
        self._events.put_nowait(p.ParentsSet(Choice(Parent(parents.home.name, url)), candidates, parents.called))

    # -- the parent comes and goes ----------------------------------------------------------------------

    def _up(self) -> None:
        self._came.set()
        self._events.put_nowait(p.ParentConnected())

    def _down(self) -> None:
        self._came.clear()
        self._events.put_nowait(p.ParentLost())

    # -- the machine ---------------------------------------------------------------------------------

    async def _handle(self, event: p.Event) -> None:
        loop = asyncio.get_running_loop()
        for command in self.machine.handle(event, now=loop.time()):
            match command:
                case p.WakeAt(at):
                    if self._timer is not None:
                        self._timer.cancel()
                    self._timer = loop.call_at(at, self._events.put_nowait, p.TimerFired())
                case p.Ask(parent, number, enter) if self._asking is not None:
                    self._asking.create_task(self._ask(parent, number, enter=enter))
                case p.Remember(now):
                    self._kept = replace(self._kept, standing=now)
                    await self._save()
                case p.Move(now):
                    await self._move(now.present)
                case _:
                    pass

    async def _ask(self, parent: Parent, number: int, *, enter: bool) -> None:
        me = self._me
        said = await ask_for_place(parent, me=me.name, region=me.region, login=me.login, enter=enter, tls=self._tls)
        log.info("parent.asked", parent=parent.name, granted=said.granted, rate=int(said.rate), reason=said.reason)
        event = p.Answered(parent.name, number, said.granted, said.rate, said.wait, said.reason)
        self._events.put_nowait(event)

    async def _move(self, parent: Parent) -> None:
        now = self.machine.standing
        log.info("parent.chosen", parent=parent.name, old=self._upstream.parent, reason=now.reason)
        if parent.name != self._upstream.parent:
            self._kept = replace(self._kept, before=self._kept.before or self._upstream.parent)
            await self._save()
        try:
            tls = self._tls.context(parent.url)
        except UsageError as error:
            log.warning("parent.no_trust", parent=parent.name, reason=str(error))
            return  # the machine's timer looks for another
        self._upstream.move(parent, tls=tls, clean=parent.name != now.home.parent.name)

    async def _between(self, old: str, new: str) -> None:
        """The old parent is left, the new one not met yet."""
        while True:
            try:
                await self._post.readdress(old, new, without=SAID_ANEW)
                await self._say_where()
                await self._subject.retell()
            except StoreFull as error:
                log.warning("move.no_room", reason=str(error), again_s=_AGAIN_S)
                await asyncio.sleep(_AGAIN_S)
            else:
                break
        self._kept = replace(self._kept, before="")
        await self._save()

    async def _say_where(self) -> None:
        """Tell the present parent, and through it the region, that this node is below it."""
        me, now = self._me, _now_ms()
        self._kept = replace(self._kept, seq=max(now, self._kept.seq + 1))
        await self._save()
        placing = Placing(
            region=me.region,
            node=me.name,
            generation=me.generation,
            parent=self._upstream.parent,
            seq=self._kept.seq,
            at=now,
            reason=self.machine.standing.reason[:200],
            url=self._subject.url(),
        )
        data, signature = sign_placing(placing, me.key)
        below = self._subject.below()
        for at in range(0, max(1, len(below)), MOST_BELOW):
            some = below[at : at + MOST_BELOW]
            await self._post.send(placing.parent, Placed(node=me.name, data=data, signature=signature, below=some))

    async def _save(self) -> None:
        with suppress(OSError):  # a full disk costs the memory of a move, not the move
            await asyncio.to_thread(standing.save, self._folder, self._kept)


def _choice(one: Candidate) -> Choice:
    return Choice(Parent(one.name, one.url), one.cost)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
