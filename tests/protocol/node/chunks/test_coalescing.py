"""One question per chunk; the conformance suite is in test_port.py."""

import asyncio

import pytest

from tiercast_protocol.content.chunk import seal
from tiercast_protocol.errors import ChunkMissing
from tiercast_protocol.node.chunks.coalescing import CoalescingStore
from tiercast_protocol.node.chunks.memory import MemoryStore

DIGEST, STORED = seal(b"x")


class Gated(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.gate = asyncio.Event()

    async def get(self, digest: bytes) -> bytes:
        self.asked += 1
        await self.gate.wait()
        return await super().get(digest)


async def test_one_question_for_all_who_ask_at_once() -> None:
    inner = Gated()
    await inner.put(DIGEST, STORED)
    store = CoalescingStore(inner)
    readers = [asyncio.gather(store.get(DIGEST)) for _ in range(50)]
    await asyncio.sleep(0)
    inner.gate.set()
    assert await asyncio.gather(*readers) == [[STORED]] * 50
    assert inner.asked == 1
    assert await store.get(DIGEST) == STORED
    assert inner.asked == 2


async def test_the_error_is_everyones() -> None:
    inner = Gated()
    store = CoalescingStore(inner)
    readers = [asyncio.gather(store.get(DIGEST)) for _ in range(5)]
    await asyncio.sleep(0)
    inner.gate.set()
    answers = await asyncio.gather(*readers, return_exceptions=True)
    assert all(isinstance(answer, ChunkMissing) for answer in answers)
    assert inner.asked == 1


async def test_when_the_asker_is_cancelled_one_of_the_others_asks() -> None:
    inner = Gated()
    await inner.put(DIGEST, STORED)
    store = CoalescingStore(inner)
    readers = [asyncio.gather(store.get(DIGEST)) for _ in range(5)]
    await asyncio.sleep(0)
    readers[0].cancel()
    readers[2].cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert inner.asked == 2
    inner.gate.set()
    answers = await asyncio.gather(*readers, return_exceptions=True)
    assert [answers[n] for n in (1, 3, 4)] == [[STORED]] * 3
    assert inner.asked == 2
    with pytest.raises(asyncio.CancelledError):
        await readers[0]
