"""Reading through; the conformance suite is in test_port.py."""

import pytest

from tiercast_protocol.content.chunk import seal
from tiercast_protocol.errors import ChunkCorrupt
from tiercast_protocol.node.chunks.memory import MemoryStore
from tiercast_protocol.node.chunks.readthrough import ReadThroughStore

CHUNK = seal(b"hello" * 100)


async def test_what_came_from_far_is_kept_near() -> None:
    near, far = MemoryStore(), MemoryStore()
    await far.put(*CHUNK)
    store = ReadThroughStore(near, far)
    assert await store.get(CHUNK[0]) == CHUNK[1]
    assert await near.has(CHUNK[0])
    far.discard(CHUNK[0])
    assert await store.get(CHUNK[0]) == CHUNK[1]


async def test_a_full_near_store_does_not_stop_the_reader() -> None:
    near, far = MemoryStore(limit=1), MemoryStore()
    await far.put(*CHUNK)
    assert await ReadThroughStore(near, far).get(CHUNK[0]) == CHUNK[1]
    assert not await near.has(CHUNK[0])


async def test_damage_near_is_told_and_not_papered_over() -> None:
    class Damaged(MemoryStore):
        async def get(self, digest: bytes) -> bytes:
            raise ChunkCorrupt(digest, "rot")

    far = MemoryStore()
    await far.put(*CHUNK)
    with pytest.raises(ChunkCorrupt):
        await ReadThroughStore(Damaged(), far).get(CHUNK[0])
