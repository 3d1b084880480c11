"""Has patches made, one at a time, in a process of its own, and offers them to the tree (docs/protocol.md, section 11).

Rules
- Making never holds anything up: orders go without patches that are not made yet, which are offered after them.
- The process asks for chunks and hands over those that it made (`patchworker`); the loop here only passes bytes.
- A patch counts when its chunks are synced and its row is committed; a kill before that makes it again.
- One that saves less than a tenth is not kept.  One that fails says why, and is tried again only when it is asked for.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, MessageInvalid, StoreFull, UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import PatchOffer
from tiercast_server.packages import cabinet_rights, patch_rows
from tiercast_server.packages.cabinet_rights import caller_of
from tiercast_server.packages.check import LibraryStore
from tiercast_server.packages.library import Library
from tiercast_server.packages.packages import matching, readable_sealed
from tiercast_server.packages.patch_rows import Wanted
from tiercast_server.region import Region

log = structlog.get_logger(__name__)

_LENGTH = struct.Struct(">I")
#: What a worker may say at once: a chunk and its name.
_MOST = 1 << 20
#: A patch has to be smaller than this part of the chunks that it stands for.
WORTH = 0.9
_SAMPLE_SECONDS = 0.2

Offer = Callable[[Sequence[PatchOffer]], Awaitable[None]]


class WorkerFailed(Exception):
    """What came of a worker instead of a patch."""


@dataclass(slots=True)
class _Made:
    """What a worker has handed over so far."""

    chunks: list[bytes] = field(default_factory=list)
    new: list[bytes] = field(default_factory=list)
    size: int = 0
    memory: int = 0
    began: float = field(default_factory=time.monotonic)


class Patches:
    """The region's patches.

    Args:
        region: whose.
        library: its turn keeps deletion away while a patch is entered.
        store: where chunks are read and put.
        offer: tells the tree of patches.
        withdraw: no patch leads to this package any more.
        by_itself: whether new versions and orders have patches made; else only an administrator.
        command: the worker's command line.
    """

    def __init__(
        self,
        region: Region,
        library: Library,
        store: LibraryStore,
        offer: Offer,
        *,
        withdraw: Callable[[bytes], Awaitable[None]],
        by_itself: bool = True,
        command: Sequence[str] = (sys.executable, "-m", "tiercast_server.packages.patchworker"),
    ) -> None:
        self._region, self._library, self._store, self._offer = region, library, store, offer
        self._withdraw, self._by_itself = withdraw, by_itself
        self._command = tuple(command)
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """For ever: offer what is made, make what is wanted."""
        async with self._region.db.write() as connection:
            await patch_rows.begin_again(connection)
            offers = await patch_rows.made(connection)
        await self._offer(offers)
        while True:
            self._woken.clear()
            async with self._region.db.write() as connection:
                wanted = await patch_rows.next_wanted(connection)
            if wanted is None:
                await self._woken.wait()
            else:
                await self._make(wanted)

    # -- what is wanted --------------------------------------------------------------------------------

    async def registered(self, root: bytes) -> None:
        """A new version: whoever has an older one will want it."""
        await self._want(root, None, patch_rows.REGISTERED)

    async def ordered(self, job: str) -> None:
        """A job's targets may have what no patch starts from yet."""
        async with self._region.db.read() as connection:
            root, nodes = await patch_rows.subject(connection, job)
        if root:
            await self._want(root, nodes, patch_rows.ORDERED)

    async def _want(self, root: bytes, nodes: set[str] | None, urgency: int) -> None:
        if not self._by_itself:
            return
        async with self._region.db.write() as connection:
            bases = await patch_rows.bases_for(connection, root, nodes)
            new = await patch_rows.want(connection, bases, root, urgency, self._region.clock())
        if new:
            self._woken.set()

    async def make(self, call: Call) -> dict[str, int]:
        """The verb `package.patch`: have one made, from the version that the administrator names."""
        async with self._region.db.write() as connection:
            caller = caller_of(call)
            result = await readable_sealed(connection, call.text("package"), caller)
            named = call.text("from")
            base = await readable_sealed(connection, named if "=" in named else f"{result.name}={named}", caller)
            if base.root == result.root:
                raise UsageError(
                    code="patch.same",
                    what=f"{base.reference} is what it would lead to.",
                    todo="Name another version with --make.",
                )
            now = self._region.clock()
            new = await patch_rows.want(connection, [base.root], result.root, patch_rows.BY_HAND, now, again=True)
        self._woken.set()
        return {"wanted": new}

    async def list_(self, call: Call) -> list[dict[str, Any]]:
        """The verb `package.patches`: what leads to a package, and what came of each."""
        async with self._region.db.read() as connection:
            meant = await matching(connection, call.text("package"))
            await cabinet_rights.check(connection, meant[0].cabinet, caller_of(call), "read")
            roots = {row.root for row in meant if row.root}
            return await patch_rows.listed(connection, roots)

    async def forget(self, root: bytes) -> None:
        """The package was deleted."""
        async with self._region.db.write() as connection:
            await patch_rows.forget(connection, root)
        await self._withdraw(root)

    # -- making ----------------------------------------------------------------------------------------

    async def _make(self, wanted: Wanted) -> None:
        made = _Made()
        line = log.bind(base=wanted.base.hex()[:16], result=wanted.result.hex()[:16])
        try:
            patch, plain = await self._worker(wanted, made)
        except (WorkerFailed, StoreFull, ChunkCorrupt, MessageInvalid, OSError) as error:
            line.warning("patch.failed", reason=str(error))
            await self._enter(wanted, made, state="failed", detail=str(error))
            return
        if made.size > WORTH * plain:
            detail = f"its {made.size} bytes would stand for {plain} bytes of chunks"
            line.info("patch.useless", size=made.size, plain=plain)
            await self._enter(wanted, made, state="useless", size=made.size, plain=plain, detail=detail)
            return
        entered = await self._enter(wanted, made, state="made", patch=patch, size=made.size, plain=plain)
        if entered:
            line.info("patch.made", size=made.size, plain=plain, memory=made.memory)
            await self._offer(
                [PatchOffer(base=wanted.base, result=wanted.result, patch=patch, size=made.size, plain=plain)]
            )

    async def _enter(self, wanted: Wanted, made: _Made, *, state: str, **values: Any) -> bool:
        """Write down what came of it; chunks that are of no use after all go again."""
        useful = state == "made"
        took = int((time.monotonic() - made.began) * 1000)
        async with self._library.turn:
            if useful:
                await self._store.sync()
            if useful and any(self._store.size(digest) is None for digest in made.chunks):
                useful, state, values = False, "waiting", {}  # a deletion took a chunk that it shared
            if not useful:
                await self._give_up(made)
            async with self._region.db.write() as connection:
                chunks = made.chunks if useful else []
                stands = await patch_rows.finish(
                    connection,
                    wanted,
                    chunks,
                    state=state,
                    took_ms=took,
                    memory=made.memory,
                    ended=self._region.clock(),
                    **values,
                )
            if useful and not stands:
                await self._give_up(made)
        return useful and stands

    async def _give_up(self, made: _Made) -> None:
        kept = await self._library.kept()
        await self._store.evict([digest for digest in made.new if digest not in kept])

    async def _worker(self, wanted: Wanted, made: _Made) -> tuple[bytes, int]:
        """Run one worker: digest of the patch, and bytes of the chunks that it stands for."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            limit=_MOST * 2,
            start_new_session=True,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(_watch(process.pid, made))
                try:
                    return await self._converse(process, wanted, made)
                finally:
                    watching.cancel()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _converse(self, process: asyncio.subprocess.Process, wanted: Wanted, made: _Made) -> tuple[bytes, int]:
        reading, writing = process.stdout, process.stdin
        assert reading is not None  # noqa: S101 - both are pipes
        assert writing is not None  # noqa: S101
        try:
            await _say(writing, [wanted.base, wanted.result])
            while True:
                match await _hear(reading):
                    case ["want", bytes() as digest]:
                        _look(process.pid, made)  # it waits for the answer, so it is seen however short its work is
                        await _say(writing, await self._stored(digest))
                    case ["chunk", bytes() as digest, bytes() as stored]:
                        made.chunks.append(digest)
                        made.size += len(stored)
                        if await self._store.put(digest, stored):
                            made.new.append(digest)
                    case ["done", bytes() as patch, int() as plain] if made.chunks and patch == made.chunks[-1]:
                        return patch, plain
                    case ["failed", str() as reason]:
                        raise WorkerFailed(reason)
                    case other:
                        raise WorkerFailed(f"it said what nobody understands: {other!r:.80}")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            code = await process.wait()
            raise WorkerFailed(f"its process ended with status {code}") from error

    async def _stored(self, digest: bytes) -> bytes | None:
        try:
            return await self._store.get(digest)
        except (ChunkMissing, ChunkCorrupt):
            return None


async def _say(writing: asyncio.StreamWriter, value: object) -> None:
    data = codec.encode(value)
    writing.write(_LENGTH.pack(len(data)) + data)
    await writing.drain()


async def _hear(reading: asyncio.StreamReader) -> Any:
    (length,) = _LENGTH.unpack(await reading.readexactly(_LENGTH.size))
    if length > _MOST:
        raise WorkerFailed(f"it wanted to say {length} bytes at once")
    return codec.decode_plain(await reading.readexactly(length))


async def _watch(pid: int, made: _Made) -> None:
    """Its greatest memory, as the kernel counts it."""
    while True:
        await asyncio.to_thread(_look, pid, made)
        await asyncio.sleep(_SAMPLE_SECONDS)


def _look(pid: int, made: _Made) -> None:
    with suppress(OSError):
        made.memory = max(made.memory, _peak(pid))


def _peak(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123 - one line of a kernel's file
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
