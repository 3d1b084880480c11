"""The root half's store, which is the network half's."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tiercast_endpoint.halves.borrowed import AskedFetcher, Borrowed
from tiercast_endpoint.halves.line import Line, Refusal
from tiercast_endpoint.threads import in_thread
from tiercast_protocol.content.sealed.chunk import seal
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, StoreFull

DIGEST, STORED = seal(b"content" * 100)


class Lent:
    """A line that gives one answer."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def ask(self, verb: str, **args: Any) -> Any:
        many = verb == "chunks"
        assert (verb, args) == (("chunks", {"digests": [DIGEST]}) if many else ("chunk", {"digest": DIGEST}))
        if isinstance(self.answer, Exception):
            raise self.answer
        return [self.answer] if many else self.answer


def store(answer: Any) -> Borrowed:
    found = Borrowed()
    found.line = cast("Line", Lent(answer))
    return found


async def test_what_is_given_is_proved() -> None:
    assert await store(STORED).raw(DIGEST) == b"content" * 100
    assert await store(STORED).raw_many([DIGEST]) == {DIGEST: b"content" * 100}
    assert await store(STORED[:-1] + b"x").raw_many([DIGEST]) == {}
    with pytest.raises(ChunkCorrupt):
        await store(STORED[:-1] + b"x").raw(DIGEST)


async def test_worker_threads_are_given_what_is_proved() -> None:
    read = store(STORED).reading([DIGEST])
    assert await in_thread(read, [DIGEST], {DIGEST}) == {DIGEST: b"content" * 100}
    read = store(STORED[:-1] + b"x").reading([DIGEST])
    assert await in_thread(read, [DIGEST], {DIGEST}) == {}


@pytest.mark.parametrize("answer", [None, "x", b"", b"x" * (1 << 20), Refusal("a", "b"), ConnectionResetError()])
async def test_what_is_no_chunk_is_missing(answer: Any) -> None:
    with pytest.raises(ChunkMissing):
        await store(answer).raw(DIGEST)
    assert not await store(answer).has(DIGEST)
    assert await store(answer).raw_many([DIGEST]) == {}


async def test_nothing_is_kept() -> None:
    here = store(STORED)
    assert here.held([DIGEST]) == {DIGEST: 0}
    assert here.size(DIGEST) is None
    assert (await here.evict([DIGEST]), await here.digests()) == (0, [])
    with pytest.raises(StoreFull):
        await here.put(DIGEST, STORED)
    assert [type(one) for one in await here.put_many([(DIGEST, STORED)])] == [StoreFull]
    here.line = None
    with pytest.raises(ChunkMissing):
        await here.get(DIGEST)
    with pytest.raises(ChunkMissing):
        await AskedFetcher(here).fetch([DIGEST])


@pytest.mark.parametrize(("answer", "comes"), [(True, True), (False, False), (None, False), (Refusal("a", "b"), False)])
async def test_what_the_network_half_can_not_bring_is_missing(answer: Any, comes: bool) -> None:
    asked: list[Any] = []

    class Bringing:
        async def ask(self, verb: str, **args: Any) -> Any:
            asked.append((verb, args))
            if isinstance(answer, Exception):
                raise answer
            return answer

    here = Borrowed()
    here.line = cast("Line", Bringing())
    if comes:
        await AskedFetcher(here).fetch([DIGEST], "j1")
    else:
        with pytest.raises(ChunkMissing):
            await AskedFetcher(here).fetch([DIGEST], "j1")
    assert asked == [("fetch", {"digests": [DIGEST], "job": "j1"})]
