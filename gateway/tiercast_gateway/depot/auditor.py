"""The audit of one depot, carried out: reads in a thread of the lowest priority, remembers, hands over to repair.

Rules
- `audit.Audit` decides when and how much; what is damaged or lost is missing from that moment on.
- Where it stands is written down now and then: after a kill some portions are proved twice, none is left out.
- What a reader finds damaged by the way is sought like what the audit finds.
- Extra is what lies there for nobody: chunks of no known package, and section files without a chunk.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from tiercast_gateway.depot.audit import (
    Audit,
    AuditOrdered,
    Command,
    LookAgain,
    Looked,
    PortionProved,
    ProvePortion,
    Round,
    RoundEnded,
)
from tiercast_gateway.depot.depot import Depot
from tiercast_gateway.depot.repair import Repair
from tiercast_protocol.errors import TiercastError
from tiercast_protocol.node.chunks.index import Place
from tiercast_protocol.node.database import Database

log = structlog.get_logger(__name__)

Digest = bytes
#: Rows of the index looked at for one portion.
ROWS = 512
SAVE_SECONDS = 20.0
#: Seconds until it goes on after its disk or database failed.
AGAIN_SECONDS = 10.0
_LOWEST = 19


class Auditor:
    """Runs the rounds.

    Args:
        period: seconds in which everything is proved by itself; None does not.
        moved: bytes that transfers moved since the start.
    """

    def __init__(
        self, db: Database, depot: Depot, repair: Repair, *, period: float | None, moved: Callable[[], int]
    ) -> None:
        self._db, self._depot, self._repair = db, depot, repair
        self._period, self._moved = period, moved
        self.machine = Audit(period)
        self.extra: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._noticed: dict[Digest, str] = {}
        self._members: tuple[str, set[Digest]] = ("", set())
        self._saved = 0.0

    async def load(self) -> None:
        """Take up the rounds of the last life."""
        rows = await self._db.read(lambda c: c.execute("SELECT kind, round FROM audit_rounds").fetchall())
        rounds: dict[str, Round] = {}
        for kind, blob in rows:
            with suppress(msgspec.DecodeError):  # of another version: begun anew
                rounds[kind] = msgspec.msgpack.decode(blob, type=Round)
        self.machine = Audit(self._period, rounds)
        self._depot.store.on_damaged = self._notice

    def order(self, package: str, *, rate: int, repair: bool) -> None:
        """Audit the package with this root (hex digits), or everything, now."""
        now = asyncio.get_running_loop().time()
        self.machine.handle(AuditOrdered(package, rate, repair, _wall()), now=now)
        self._wake.set()

    def brief(self) -> dict[str, Any]:
        """For `status`: what runs, when everything was last proved, how many chunks are missing."""
        ended = [one.ended for one in self.machine.rounds.values() if one.ended and not one.package]
        return {
            "running": self.machine.running,
            "last": max(ended, default=0),
            "missing": self._repair.missing,
        }

    async def figures(self) -> dict[str, Any]:
        """The rounds, and what is missing: as verbs answer it."""
        running = self.machine.running
        shown = {kind: msgspec.to_builtins(one) for kind, one in self.machine.rounds.items()}
        return {
            "running": running,
            "rate": int(self.machine.rate()),
            "busy": self.machine.busy,
            "period": self._period or 0.0,
            "rounds": shown,
            "extra": self.extra,
            **await self._repair.figures(),
        }

    async def run(self) -> None:
        """Prove, until cancelled."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="audit", initializer=_least_priority)
        try:
            while True:
                try:
                    pause = await self._step(pool)
                    await self._seek_noticed()
                except (TiercastError, OSError, sqlite3.Error) as error:
                    # A full or failing disk stops no daemon: what was not written down is proved again.
                    log.warning("depot.audit_stopped", reason=str(error), again_s=AGAIN_SECONDS)
                    self.machine.failed()
                    pause = AGAIN_SECONDS
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            pool.shutdown(wait=False)
            with suppress(TiercastError, OSError, sqlite3.Error):
                await self._save()

    async def _seek_noticed(self) -> None:
        if self._noticed:
            noticed = dict(self._noticed)
            await self._repair.note(noticed, seek=True)
            for digest in noticed:
                self._noticed.pop(digest, None)

    async def _step(self, pool: ThreadPoolExecutor) -> float:
        """One look and what follows from it; seconds until the next."""
        held = self._depot.usage().bytes
        commands: list[Command] = self._tell(Looked(held, self._moved(), _wall()))
        pause = 0.0
        while commands:
            command = commands.pop(0)
            match command:
                case ProvePortion():
                    commands += self._tell(await self._prove(command, pool))
                case LookAgain(seconds):
                    pause = seconds
                case RoundEnded(kind, one):
                    await self._ended(kind, one)
        if self.machine.running and time.monotonic() - self._saved > SAVE_SECONDS:
            await self._save()
        return pause

    def _tell(self, event: Looked | PortionProved) -> list[Command]:
        return self.machine.handle(event, now=asyncio.get_running_loop().time())

    async def _prove(self, command: ProvePortion, pool: ThreadPoolExecutor) -> PortionProved:
        after = None if command.after[0] < 0 else Place(*command.after, 0)
        rows = await self._depot.store.rows_after(after, ROWS)
        members = await self._members_of(command.package) if command.package else None
        chosen: list[tuple[Digest, Place]] = []
        size, last = 0, None
        for digest, place in rows:
            if size >= command.most:
                break
            last = place
            if members is None or digest in members:
                chosen.append((digest, place))
                size += place.size
        bad = await self._depot.store.check(chosen, pool=pool) if chosen else {}
        await self._repair.note(bad, seek=command.repair)
        for digest in bad:
            self._noticed.pop(digest, None)
        through = len(rows) < ROWS and (not rows or last == rows[-1][1])
        states = list(bad.values())
        return PortionProved(
            None if through or last is None else (last.section, last.start),
            size,
            len(chosen),
            states.count("damaged"),
            states.count("lost"),
            _wall(),
        )

    async def _members_of(self, package: str) -> set[Digest]:
        if self._members[0] != package:
            self._members = (package, await self._depot.room.members(bytes.fromhex(package)))
        return self._members[1]

    async def _ended(self, kind: str, one: Round) -> None:
        self._members = ("", set())
        if not one.package:
            await self._whole(one)
        await self._save()
        log.info("depot.audited", kind=kind, chunks=one.chunks, damaged=one.damaged, lost=one.lost, extra=self.extra)

    async def _whole(self, one: Round) -> None:
        """After all was proved: what lies there for nobody, and what should lie there and does not."""
        held = await self._depot.store.sizes()
        named = await self._repair.ways.needed()
        extra = [size for digest, size in held.items() if digest not in named]
        files = await self._depot.store.unindexed()
        self.extra = {"chunks": len(extra), "bytes": sum(extra), "files": len(files)}
        if self._depot.library:
            gone = {d: "lost" for d in named if d not in held and not self._repair.seeking(d)}
            await self._repair.note(gone, seek=one.repair)

    def _notice(self, digest: Digest) -> None:
        self._noticed[digest] = "damaged"
        self._wake.set()

    async def _save(self) -> None:
        self._saved = time.monotonic()
        rows = [(kind, msgspec.msgpack.encode(one)) for kind, one in self.machine.rounds.items()]
        await self._db.write(
            lambda c: c.executemany(
                "INSERT INTO audit_rounds(kind, round) VALUES (?,?) ON CONFLICT(kind) DO UPDATE"
                " SET round = excluded.round",
                rows,
            )
        )


def _least_priority() -> None:
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)


def _wall() -> int:
    return time.time_ns() // 1_000_000
