"""Guests at this node's broker: nodes whose own parent is away (docs/protocol.md, section 12).

Rules
- The machine (`guests`) decides; places are in the database, so that a restart sends nobody away.
- A guest without a place is not heard, but for its question; its `Hello` is a question.
- A node that is cut off lets nobody in, for it could bring them nothing; nor whoever stands above it, for that would be
  a circle.  Own children are always let in, whatever the places.
- Whoever asks for it is told by a proof who answers, whether or not there is a place.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

import structlog

from tiercast_gateway.above import Above
from tiercast_gateway.children.enrolment import Enrolment
from tiercast_gateway.children.guests import MOST_FILLER, Answer, Guests
from tiercast_protocol.content.trust.proving import NO_PROOF, Prover
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.moving import GuestAnswered, GuestAsked

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 5.0
#: Bytes of a question that are said back.
MOST_NONCE = 16


class Lodging:
    """The guests of one node; `on_freed(names)` is told of those who lost their place."""

    def __init__(
        self, db: Database, enrolment: Enrolment, above: Above, guests: Guests, prover: Prover | None = None
    ) -> None:
        self._db, self._enrolment, self._above, self._prover = db, enrolment, above, prover
        self.guests = guests
        self.refused = 0
        self.on_freed: Callable[[list[str]], Awaitable[None]] | None = None

    async def load(self) -> None:
        """Take up where the last stop left off; once, at start."""
        rows = await self._db.read(lambda c: c.execute("SELECT name FROM guest_places").fetchall())
        self.guests.restore([row[0] for row in rows], time.monotonic())

    async def run(self) -> None:
        """Free the places that nobody uses, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.sweep(time.monotonic())

    async def sweep(self, now: float) -> None:
        """Free the places that nobody uses at `now`."""
        freed = self.guests.expire(now)
        if freed:
            log.info("guest.expired", count=len(freed))
            await self._forget(freed)
            if self.on_freed is not None:
                await self.on_freed(freed)

    def admits(self, name: str) -> bool:
        """Whether this node is heard here."""
        user = self._enrolment.users.get(name)
        return user is not None and (not user.guest or self.guests.holds(name))

    async def answer(self, name: str, asked: GuestAsked) -> GuestAnswered:
        """What to say to a node that asks for a place."""
        said = self._decide(name, enter=asked.enter)
        if said.granted and asked.enter and self.guests.holds(name):
            await self._db.write(
                lambda c: c.execute("INSERT INTO guest_places(name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
            )
        self.refused += not said.granted
        filler = os.urandom(min(max(asked.size, 0), MOST_FILLER)) if said.granted else b""
        nonce = asked.nonce[:MOST_NONCE]
        proof = self._prover.prove(name, nonce) if asked.prove and self._prover is not None else NO_PROOF
        return GuestAnswered(
            nonce=nonce, granted=said.granted, wait=said.wait, reason=said.reason, filler=filler, proof=proof
        )

    def came(self, name: str) -> None:
        """The node is there."""
        self.guests.came(name)

    def went(self, name: str) -> None:
        """The node is not there."""
        self.guests.went(name, time.monotonic())

    async def left(self, name: str) -> None:
        """The node is elsewhere, or belongs here now."""
        if self.guests.holds(name):
            self.guests.left(name)
            await self._forget([name])

    def _decide(self, name: str, *, enter: bool) -> Answer:
        if name in self._above.path:
            return Answer(granted=False, wait=60, reason=f"{name} is above this node: that would be a circle")
        user = self._enrolment.users.get(name)
        if user is not None and not user.guest:
            return Answer(granted=True)
        cut_off = "" if self._above.connected else "this node is cut off from its own parent"
        return self.guests.ask(name, enter=enter, now=time.monotonic(), refuse=cut_off)

    async def _forget(self, names: list[str]) -> None:
        await self._db.write(lambda c: c.executemany("DELETE FROM guest_places WHERE name = ?", [(n,) for n in names]))
