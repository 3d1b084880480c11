"""So many at a time; the conformance suite is in test_port.py."""

import asyncio

from tiercast_protocol.content.chunk import seal
from tiercast_protocol.node.chunks.limited import LimitedStore
from tiercast_protocol.node.chunks.memory import MemoryStore


async def test_never_more_than_the_limit_and_cancelled_ones_give_their_place_back() -> None:
    running = most = 0
    gate = asyncio.Event()

    class Slow(MemoryStore):
        async def get(self, digest: bytes) -> bytes:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                await gate.wait()
                return await super().get(digest)
            finally:
                running -= 1

    digest, stored = seal(b"x")
    inner = Slow()
    await inner.put(digest, stored)
    store = LimitedStore(inner, 3)
    readers = [asyncio.gather(store.get(digest)) for _ in range(10)]
    await asyncio.sleep(0)
    for reader in readers[:3]:
        reader.cancel()
    gate.set()
    answers = await asyncio.gather(*readers, return_exceptions=True)
    assert answers[3:] == [[stored]] * 7
    assert most == 3
