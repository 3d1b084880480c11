"""Building a tree while its chunks still come."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from tiercast_endpoint.trees.ahead import LOOK_SECONDS, Ahead, Machine, Progress
from tiercast_endpoint.trees.assemble import Assembler
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part, Root
from tiercast_protocol.errors import ChunkMissing

CHUNKS = {digest_of(data): data for data in (os.urandom(128 << 10) for _ in range(20))}
WHOLE = b"".join(CHUNKS.values())


class Clock:
    """Seconds and nanoseconds of waiting, both set by hand."""

    def __init__(self) -> None:
        self.now, self.waited = 0.0, 0

    def pass_by(self, seconds: float, waiting: float) -> None:
        self.now += seconds
        self.waited += int(waiting * 1e9)


class Story:
    """One file of twenty chunks that come when the test says so."""

    def __init__(self, folder: Path, *, idle: bool = True) -> None:
        self.folder = folder
        self.here: dict[bytes, bytes] = {}
        self.begun: list[Assembler] = []
        self.broken: Exception | None = None
        self.clock = Clock()
        machine = Machine(lambda: self.clock.waited, lambda: self.clock.now)
        self.clock.pass_by(1, 0 if idle else 1)
        self.ahead = Ahead(machine)

    async def begin(self) -> Assembler:
        self.folder.mkdir()
        assembler = Assembler(self.folder, self.read)
        root = Root(
            format=1, chunking="tc1", name="x", version="1", revision=1, definition="", lists=[], files=1,
            size=len(WHOLE), chunks=len(CHUNKS), chunk_bytes=len(WHOLE),
        )  # fmt: skip
        await assembler.begin(root, self.lists())
        self.begun.append(assembler)
        return assembler

    async def lists(self) -> AsyncIterator[Sequence[Entry]]:
        parts = tuple(Part(digest, 0, len(data)) for digest, data in CHUNKS.items())
        yield [Entry("f", Kind.FILE, 0o644, len(WHOLE), digest=digest_of(WHOLE), parts=parts)]

    async def read(self, digest: bytes) -> bytes:
        if self.broken is not None:
            raise self.broken
        return self.here[digest]

    def held(self, digests: Sequence[bytes]) -> bool:
        return all(digest in self.here for digest in digests)

    def arrive(self, count: int, progress: Progress) -> None:
        self.here.update(list(CHUNKS.items())[:count])
        progress(count, len(CHUNKS))

    async def beside(self, fetch: Callable[[Progress], Awaitable[None]]) -> list[int]:
        told: list[int] = []
        async with asyncio.timeout(60):
            await self.ahead.beside(
                1, self.begin, self.held, lambda progress, _asked: fetch(progress), lambda done, _: told.append(done)
            )
        return told

    def size(self) -> int:
        file = self.folder / "f"
        return file.stat().st_size if file.exists() else 0

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not true():  # noqa: ASYNC110 - a file has no event for us
                await asyncio.sleep(0.005)

    async def whole(self) -> bool:
        assembler = self.ahead.take(1)
        assert assembler is not None
        await assembler.end()
        await assembler.close()
        return (self.folder / "f").read_bytes() == WHOLE


async def test_what_is_here_is_written_before_the_rest_has_come(tmp_path: Path) -> None:
    story = Story(tmp_path / "t")

    async def fetch(progress: Progress) -> None:
        story.arrive(17, progress)
        await story.until(lambda: story.size() >= 2 << 20)  # eight are read at a time; the 17th waits for its company
        story.arrive(20, progress)

    assert await story.beside(fetch) == [17, 20]
    assert await story.whole()
    assert story.ahead.take(1) is None


async def test_a_busy_machine_builds_afterwards(tmp_path: Path) -> None:
    story = Story(tmp_path / "t", idle=False)

    async def fetch(progress: Progress) -> None:
        await story.until(lambda: story.begun)
        for count in range(21):
            story.arrive(count, progress)
            await asyncio.sleep(0)

    await story.beside(fetch)
    assert story.size() == 0
    assert await story.whole()


async def test_what_fails_here_is_left_to_the_step_that_assembles(tmp_path: Path) -> None:
    story = Story(tmp_path / "t")
    story.broken = OSError(28, "No space left on device")

    async def fetch(progress: Progress) -> None:
        await story.until(lambda: story.begun)
        story.arrive(20, progress)
        await story.until(lambda: 1 not in story.ahead._begun)

    await story.beside(fetch)
    assert story.ahead.take(1) is None


async def test_what_the_fetching_raises_is_raised_and_the_tree_closed(tmp_path: Path) -> None:
    story = Story(tmp_path / "t")
    missing = ChunkMissing(b"\0" * 32)

    async def fetch(progress: Progress) -> None:
        story.arrive(17, progress)
        await story.until(lambda: story.size() >= 2 << 20)
        raise missing

    with pytest.raises(ChunkMissing) as raised:
        await story.beside(fetch)
    assert raised.value is missing
    assert story.ahead.take(1) is None


async def test_a_cancel_closes_the_tree(tmp_path: Path) -> None:
    story = Story(tmp_path / "t")
    fetching = asyncio.Event()

    async def fetch(progress: Progress) -> None:
        story.arrive(17, progress)
        await story.until(lambda: story.size() >= 2 << 20)
        fetching.set()
        await asyncio.Event().wait()

    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(story.beside(fetch))
        await fetching.wait()
        task.cancel()
    assert task.cancelled()
    assert story.ahead.take(1) is None
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_busy_is_who_waits_for_a_processor() -> None:
    clock = Clock()
    machine = Machine(lambda: clock.waited, lambda: clock.now)
    assert machine.busy(), "not looked yet"
    for waiting, busy in ((0.2, False), (0.3, True), (0.0, False)):
        clock.pass_by(1, waiting)
        assert machine.busy() is busy
        clock.pass_by(LOOK_SECONDS / 2, 1)
        assert machine.busy() is busy, "what was seen holds for a while"
        clock.waited -= int(1e9)
    assert Machine().busy() in {True, False}
