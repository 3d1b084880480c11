"""Chunks that a depot lost, and the way back to them: from the parent, or from whoever below holds them.

Rules
- What is sought is in the node's database until it is here again, or nobody needs it any more: no restart forgets it.
- The parent first, where there is one.  Then those below, gateways before endpoints, one after the other, chunk by
  chunk as answers to questions (`node/giving.py`), at a small rate.  Every chunk is proved by its digest.
- Who is silent or gives what is not asked for is left alone until the next round.
- Each round begins with what is still missing, a minute after the last one.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from tiercast_gateway.depot.depot import Depot
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, MessageInvalid, StoreFull, TiercastError, UsageError
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.giving import VERB, Taking
from tiercast_protocol.transfer.pacing import TokenBucket

log = structlog.get_logger(__name__)

Digest = bytes
#: Seconds between two rounds while something is missing; for one chunk from the parent; for one answer from below.
ROUND_SECONDS = 60.0
GAP_SECONDS = 1.0
PARENT_SECONDS = 30.0
ANSWER_SECONDS = 8.0
#: Chunks asked of the parent at once, nodes below asked in one round, bytes a second that answers may be.
AT_ONCE = 16
MOST_HOLDERS = 64
RATE = 4 << 20
#: Rounds after which a chunk that no package names is sought no more.
ROUNDS = 3
#: Healed ones are remembered for so long, for people.
REMEMBER_MS = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Ways:
    """Where chunks may come from.

    Attributes:
        fetch: brings chunks from the parent; None where there is none.
        connected: whether the parent is there.
        holders: names of nodes below that may hold some, the likeliest first.
        ask: `ask(node, verb, args, deadline)` over the tree; raises `UsageError`.
        needed: every chunk that some known package names.
        arrived, absent: told of each chunk that is here again, or that nobody has for now.
    """

    fetch: Callable[[Sequence[Digest]], Awaitable[None]] | None
    connected: Callable[[], bool]
    holders: Callable[[], list[str]]
    ask: Callable[[str, str, dict[str, Any], float], Awaitable[Any]]
    needed: Callable[[], Awaitable[set[Digest]]]
    arrived: Callable[[Digest, int], None]
    absent: Callable[[Digest, str], None]


class Repair:
    """What one depot lost."""

    def __init__(self, db: Database, depot: Depot, ways: Ways) -> None:
        self._db, self._depot, self.ways = db, depot, ways
        self._sought: set[Digest] = set()
        self._tried: Counter[Digest] = Counter()
        self._wake = asyncio.Event()
        self._bucket = TokenBucket(RATE)

    async def load(self) -> None:
        """Go on seeking what was sought."""
        query = "SELECT digest FROM audit_found WHERE healed = 0 AND wanted = 1"
        self._sought = {row[0] for row in await self._db.read(lambda c: c.execute(query).fetchall())}
        if self._sought:
            self._wake.set()

    @property
    def missing(self) -> int:
        """Chunks that are sought."""
        return len(self._sought)

    def seeking(self, digest: Digest) -> bool:
        """Whether the chunk is sought: then `arrived` or `absent` will tell, sooner because somebody asks."""
        if digest not in self._sought:
            return False
        self._wake.set()
        return True

    async def note(self, found: Mapping[Digest, str], *, seek: bool) -> None:
        """These are "damaged" or "lost"; with `seek` they are brought back."""
        if not found:
            return
        now = _now()
        rows = [(digest, state, now, int(seek)) for digest, state in found.items()]
        await self._db.write(
            lambda c: c.executemany(
                "INSERT INTO audit_found(digest, state, found, wanted) VALUES (?,?,?,?) ON CONFLICT(digest) DO UPDATE"
                " SET state = excluded.state, found = excluded.found, wanted = excluded.wanted, healed = 0",
                rows,
            )
        )
        if seek:
            self._sought.update(found)
            self._wake.set()

    async def figures(self) -> dict[str, Any]:
        """What was found lately: how many are missing still, and how many came back from where."""
        rows = await self._db.read(
            lambda c: c.execute(
                "SELECT state, healed > 0, source, count(*) FROM audit_found GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
            ).fetchall()
        )
        missing = dict.fromkeys(("damaged", "lost"), 0)
        sources: dict[str, int] = {}
        for state, healed, source, count in rows:
            if healed:
                sources[source] = sources.get(source, 0) + count
            else:
                missing[state] = missing.get(state, 0) + count
        return {"missing": missing, "healed": sum(sources.values()), "healed_by": sources}

    async def run(self) -> None:
        """Bring back what is missing, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(ROUND_SECONDS if self._sought else None):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self.bring_back()
            except (TiercastError, OSError, sqlite3.Error) as error:
                # A full or failing disk stops no daemon; what is sought stays sought.
                log.warning("depot.repair", reason=str(error), again_s=ROUND_SECONDS)
            await asyncio.sleep(GAP_SECONDS)  # whoever asks again and again makes no storm below

    async def bring_back(self) -> None:
        """One round."""
        await self._settle("a transfer")
        if self._sought and self.ways.fetch is not None and self.ways.connected():
            await self._from_parent(self.ways.fetch)
            await self._settle("the parent")
        for node in self.ways.holders()[:MOST_HOLDERS]:
            if not self._sought:
                break
            await self._from_below(node)
            await self._settle(node)
        if self._sought:
            needed = await self.ways.needed()
            self._tried.update(self._sought)
            # A list that is missing itself can't name its chunks yet: so not at the first try.
            await self._give_up([d for d in self._sought if d not in needed and self._tried[d] >= ROUNDS])
        for digest in self._sought:
            self.ways.absent(digest, "damaged here, and nobody gave it back yet")
        if self._sought:
            log.warning("depot.unrepaired", chunks=len(self._sought), again_s=ROUND_SECONDS)

    async def _from_parent(self, fetch: Callable[[Sequence[Digest]], Awaitable[None]]) -> None:
        async def one(digest: Digest) -> None:
            with suppress(ChunkMissing, ChunkCorrupt, StoreFull, TimeoutError):
                async with asyncio.timeout(PARENT_SECONDS):
                    await fetch([digest])

        sought = list(self._sought)
        for at in range(0, len(sought), AT_ONCE):
            await asyncio.gather(*(one(digest) for digest in sought[at : at + AT_ONCE]))

    async def _from_below(self, node: str) -> None:
        taking = Taking(list(self._sought))
        try:
            while (question := taking.question()) is not None:
                answer = await self.ways.ask(node, VERB, question, ANSWER_SECONDS)
                whole = taking.answered(answer)
                for digest, stored in whole:
                    await self._depot.put(digest, stored)
                    self.ways.arrived(digest, len(stored))
                await self._pace(sum(len(stored) for _, stored in whole))
        except (UsageError, MessageInvalid, ChunkCorrupt) as error:
            log.info("depot.holder", node=node, reason=str(error))
        except StoreFull as error:
            log.warning("depot.repair", reason=str(error))

    async def _pace(self, size: int) -> None:
        clock = asyncio.get_running_loop().time
        self._bucket.take(size, clock())
        await asyncio.sleep(max(0.0, self._bucket.ready_at(clock()) - clock()))

    async def _settle(self, source: str) -> None:
        """Those that are here by now are healed."""
        here = [digest for digest in self._sought if self._depot.size(digest) is not None]
        if not here:
            return
        await self._depot.store.sync()
        self._forget(here)
        now = _now()
        await self._db.write(
            lambda c: c.executemany(
                "UPDATE audit_found SET healed = ?, source = ? WHERE digest = ?", [(now, source, d) for d in here]
            )
        )
        await self._db.write(
            lambda c: c.execute("DELETE FROM audit_found WHERE healed > 0 AND healed < ?", (now - REMEMBER_MS,))
        )
        log.info("depot.repaired", chunks=len(here), source=source)

    def _forget(self, digests: Iterable[Digest]) -> None:
        for digest in digests:
            self._sought.discard(digest)
            self._tried.pop(digest, 0)

    async def _give_up(self, digests: Iterable[Digest]) -> None:
        gone = list(digests)
        self._forget(gone)
        if gone:
            log.info("depot.not_needed", chunks=len(gone))
            await self._db.write(
                lambda c: c.executemany("DELETE FROM audit_found WHERE digest = ?", [(d,) for d in gone])
            )


def _now() -> int:
    return time.time_ns() // 1_000_000
