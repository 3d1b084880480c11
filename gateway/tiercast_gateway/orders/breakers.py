"""The breakers of a sub-tree: counted, acted on, said below and above (docs/jobs.md, "Rollouts").

Rules
- `breaker` decides; this file counts out of the records, holds orders back, stops the transfer of what is under way,
  and has those below wait that have the order already.
- What opened acts before it is kept, and is kept before anybody is told; a kill in between counts again at the start.
- A child hears the whole list of held rollouts whenever that is something else than it heard last; a gateway below
  passes on what its parent holds as well as what it holds itself.
- The server has no breaker of this kind: its rollout is one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from tiercast_gateway.orders import breaker_rows
from tiercast_gateway.orders.breaker import Breaker, Counted, Hold, Kept, Release, Resumed, Tell
from tiercast_gateway.steering import said as s
from tiercast_protocol.content.jobs import breaker as b
from tiercast_protocol.content.jobs.reason import Reason, because
from tiercast_protocol.errors import SignatureInvalid, TiercastError, UsageError
from tiercast_protocol.wire.site import BreakersOpened, BreakerTold, HeldRollout, StartsHeld, of_row, row_of

if TYPE_CHECKING:
    from tiercast_gateway.steering.said import Said
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.content.jobs.order import Order
    from tiercast_protocol.content.trust.keys import PrivateKey

log = structlog.get_logger(__name__)

#: While something is held, new children are looked for so often, in seconds.
_LOOK = 2.0
#: Seconds after which something that failed (a full disk) is tried again.
_AGAIN = 2.0


class Breakers:
    """Of one sub-tree.

    Args:
        tree: the sub-tree.
        said: where breakers are kept.
        region_key: signs a person's word.
        key, generation: this gateway's own; without a key there is no breaker here.
    """

    def __init__(
        self, tree: SubTree, said: Said, *, region_key: bytes, key: PrivateKey | None, generation: int
    ) -> None:
        self._tree, self._said, self._region_key = tree, said, region_key
        self._key, self._generation = key, generation
        self._breakers: dict[str, Breaker] = {}
        self._jobs: dict[str, set[str]] = {}
        #: Open jobs, by name: of which rollout.
        self._open: dict[str, str] = {}
        self._stale: set[str] = set()
        self._told: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._acting = asyncio.Lock()

    async def load(self) -> None:
        """Take up what was kept, before orders are passed on; count what was not counted before the last stop."""
        known = await self._tree.db.write(breaker_rows.known_jobs)
        gone: dict[str, None] = {}
        for rollout, body in self._said.all(s.BREAKER).items():
            jobs = known.intersection(body["jobs"])
            if not jobs:
                gone[rollout] = None
                continue
            self._jobs[rollout] = jobs
            self._told[rollout] = body["told"]
            self._breakers[rollout] = Breaker(_kept(body))
        if gone:
            await self._said.put(s.BREAKER, gone)
        for rollout in list(self._breakers):
            await self._count(rollout)

    async def run(self) -> None:
        """Count whatever came, and say below and above what it means; until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK if self.held() else None):
                    await self._wake.wait()
            self._wake.clear()
            stale, self._stale = self._stale, set()
            try:
                for rollout in sorted(stale):
                    await self._count(rollout)
                await self._tell_above()
                await self.tell_below()
            except TiercastError as error:
                log.warning("breakers.again", reason=str(error), again_s=_AGAIN)
                self._stale |= stale
                self._wake.set()
                await asyncio.sleep(_AGAIN)

    # -- what came ---------------------------------------------------------------------------------------

    def job_changed(self, order: Order, open_: bool) -> None:  # noqa: FBT001 - the callback of `Orders`
        """A job was opened (or its revision is new), or closed."""
        rollout = b.rollout_of(order.options)
        if not rollout or self._key is None:
            return
        if not open_:
            self._open.pop(order.job, None)
            return
        self._open[order.job] = rollout
        limit, again = b.limit_of(order.options), order.options.get(b.AGAIN, 0)
        if not limit or type(again) is not int:
            return
        known = self._breakers.get(rollout)
        if known is None:
            known = self._breakers[rollout] = Breaker(Kept(limit, again=again))
        self._jobs.setdefault(rollout, set()).add(order.job)
        if again > known.kept.again:  # the word itself was missed
            known.handle(Resumed(again), now=_now_ms())
        self._stale.add(rollout)
        self._wake.set()

    def results(self, jobs: Iterable[str]) -> None:
        """Targets of these jobs ended."""
        stale = {rollout for job in jobs if (rollout := self._open.get(job)) in self._breakers and rollout}
        if stale:
            self._stale |= stale
            self._wake.set()

    async def take(self, peer: str, message: StartsHeld) -> None:
        """The parent's list of what is held here and below."""
        known = self._said.get(s.HELD, peer)
        if known is not None and known["seq"] >= message.seq:
            return
        body = {"seq": message.seq, "held": [row_of(one) for one in message.held]}
        self._said.note(s.HELD, {peer: body})
        self._tree.steering.changed()
        await self._said.put(s.HELD, dict.fromkeys(self._said.all(s.HELD)) | {peer: body})
        await self._tree.orders.pass_on()
        self._wake.set()

    async def opened(self, message: BreakersOpened) -> None:
        """A person's word at the server, for every gateway.

        Raises:
            SignatureInvalid: the region did not sign it, or it is another region's.
        """
        word = b.open_again(message.data, message.signature, self._region_key)
        if word.region != self._tree.region:
            raise SignatureInvalid("breaker", f"it is of the region {word.region}")
        known = self._breakers.get(word.rollout)
        if known is not None:
            await self._act(word.rollout, known, Resumed(word.again))
        for user in self._tree.enrolment.children():
            if user.role == "gateway":
                await self._tree.post.send(user.name, message, cause=word.rollout)

    async def resume(self, rollout: str) -> dict[str, Any]:
        """A person's word at this gateway: what is held here goes on, here and below.

        Raises:
            UsageError: rollout.unknown, rollout.held-above or rollout.not-held.
        """
        known, held = self._breakers.get(rollout), self._above().get(rollout)
        if known is None and held is None:
            raise self._unknown(rollout)
        if known is None or not known.open:
            above = held is not None
            raise UsageError(
                code="rollout.held-above" if above else "rollout.not-held",
                what=f"{rollout} is held at {held.site}, above {self._tree.name}."
                if held is not None
                else f"{rollout} is not held at {self._tree.name}.",
                todo="Resume it there, or at the server." if above else "There is nothing to do.",
            )
        await self._act(rollout, known, Resumed())
        return self.shown(rollout)

    # -- what it means -----------------------------------------------------------------------------------

    def held(self) -> dict[str, HeldRollout]:
        """By rollout, of what nothing more begins below here; where nothing of it is open, nothing is held."""
        wanted = set(self._open.values())
        own = {
            rollout: HeldRollout(
                rollout=rollout,
                site=self._tree.name,
                since=one.kept.since,
                have=f"{one.kept.bad} of {one.kept.total}",
                limit=str(one.kept.limit),
            )
            for rollout, one in self._breakers.items()
            if one.open and rollout in wanted
        }
        return self._above() | own

    def holds(self, order: Order) -> bool:
        """Whether the order stays here for now."""
        rollout = b.rollout_of(order.options)
        return bool(rollout) and rollout in self.held()

    def stopped(self) -> dict[str, Reason]:
        """By open job: why nothing more of it begins."""
        held = self.held()
        return {job: reason_of(held[rollout]) for job, rollout in self._open.items() if rollout in held} if held else {}

    def _unknown(self, rollout: str) -> UsageError:
        return UsageError(
            code="rollout.unknown",
            what=f"No rollout {rollout[:60]!r} with a breaker passed {self._tree.name}.",
            todo="`tiercast rollout list` shows those that did.",
        )

    def shown(self, rollout: str) -> dict[str, Any]:
        """What one is, for a person.

        Raises:
            UsageError: rollout.unknown.
        """
        known, held = self._breakers.get(rollout), self.held().get(rollout)
        if known is None and held is None:
            raise self._unknown(rollout)
        seen = known.counted if known is not None else Counted(0, 0)
        return {
            "rollout": rollout,
            "node": self._tree.name,
            "state": "held" if held is not None else "running",
            "held": []
            if held is None
            else [{"node": held.site, "since": held.since, "have": held.have, "stop_at": held.limit}],
            "bad": seen.bad,
            "total": seen.total,
            "stop_at": str(known.kept.limit) if known is not None else "",
            "jobs": sorted(self._jobs.get(rollout, ())),
        }

    def all_shown(self) -> list[dict[str, Any]]:
        """Every rollout that passed here and has a breaker, or is held."""
        return [self.shown(rollout) for rollout in sorted({*self._breakers, *self.held()})]

    def _above(self) -> dict[str, HeldRollout]:
        body = self._said.get(s.HELD, self._tree.above.parent)
        return {} if body is None else {one[0]: of_row(one) for one in body["held"]}

    # -- counting and acting -----------------------------------------------------------------------------

    async def _count(self, rollout: str) -> None:
        known = self._breakers.get(rollout)
        if known is not None:
            counted = await self._tree.db.read(partial(breaker_rows.counts, sorted(self._jobs[rollout])))
            await self._act(rollout, known, Counted(*counted))

    async def _act(self, rollout: str, known: Breaker, event: Counted | Resumed) -> None:
        async with self._acting:
            commands = known.handle(event, now=_now_ms())
            if commands:
                self._tree.steering.changed()
                log.warning("breaker", rollout=rollout, open=known.open, bad=known.kept.bad, total=known.kept.total)
            body = _body(known.kept, self._jobs[rollout], self._told.get(rollout, 0))
            if body != self._said.get(s.BREAKER, rollout):
                await self._said.put(s.BREAKER, {rollout: body})
            for command in commands:
                match command:
                    case Hold():
                        await self._tree.db.write(partial(breaker_rows.withdraw, self._open_jobs(rollout)))
                        await self._tree.orders.pass_on()
                    case Release():
                        await self._tree.orders.pass_on()
                    case Tell():
                        self._wake.set()

    def _open_jobs(self, rollout: str) -> list[str]:
        return [job for job, of in self._open.items() if of == rollout]

    # -- who hears of it -----------------------------------------------------------------------------------

    def told_again(self) -> None:
        """Another parent is there: what was said may be lost with the one before."""
        self._told = dict.fromkeys(self._told, 0)
        self._wake.set()

    async def _tell_above(self) -> None:
        if self._key is None:
            return
        for rollout, known in self._breakers.items():
            kept = known.kept
            if kept.seq <= self._told.get(rollout, 0):
                continue
            trip = b.Trip(
                region=self._tree.region,
                node=self._tree.name,
                generation=self._generation,
                rollout=rollout,
                seq=kept.seq,
                at=kept.since or _now_ms(),
                shut=known.open,
                bad=kept.bad,
                total=kept.total,
                limit=str(kept.limit),
            )
            data, signature = b.sign_trip(trip, self._key)
            told = BreakerTold(node=self._tree.name, data=data, signature=signature)
            await self._tree.above.send(told, cause=rollout)
            self._told[rollout] = kept.seq
            await self._said.put(s.BREAKER, {rollout: _body(kept, self._jobs[rollout], kept.seq)})

    async def tell_below(self) -> None:
        """Say to each child what it has not heard yet."""
        if self._key is None:
            return
        entries = [one for _, one in sorted(self.held().items())]
        body = [row_of(one) for one in entries]
        for user in self._tree.enrolment.children():
            told = self._said.get(s.HELD_TOLD, user.name)
            if body == (told["held"] if told is not None else []):
                continue
            seq = max(_now_ms(), (told["seq"] if told is not None else 0) + 1)
            await self._tree.post.send(user.name, StartsHeld(seq=seq, held=entries))
            await self._said.put(s.HELD_TOLD, {user.name: {"seq": seq, "held": body}})

    async def untold(self, child: str) -> None:
        """The child came from another parent, or went there: what it was told from here it does not know any more."""
        if self._said.get(s.HELD_TOLD, child) is not None:
            await self._said.put(s.HELD_TOLD, {child: None})
        self._wake.set()


def reason_of(held: HeldRollout) -> Reason:
    """Why nothing more of it begins, as every tier says it."""
    return because(
        "breaker.open",
        node=held.site,
        since=held.since,
        site=held.site,
        rollout=held.rollout,
        have=held.have,
        limit=held.limit,
    )


def _body(kept: Kept, jobs: Iterable[str], told: int) -> dict[str, Any]:
    return {
        "jobs": sorted(jobs),
        "told": told,
        "number": kept.limit.number,
        "share": kept.limit.share,
        "kept": [kept.again, kept.forgiven, kept.since, kept.bad, kept.total, kept.seq],
    }


def _kept(body: Mapping[str, Any]) -> Kept:
    return Kept(b.Limit(body["number"], body["share"]), *body["kept"])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
