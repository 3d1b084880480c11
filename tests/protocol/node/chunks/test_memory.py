"""The memory store; the conformance suite is in test_port.py."""

import pytest

from tiercast_protocol.content.chunk import seal
from tiercast_protocol.errors import StoreFull
from tiercast_protocol.node.chunks.memory import MemoryStore


async def test_bounded_in_bytes() -> None:
    first, second = seal(b"x" * 10), seal(bytes(range(256)))
    store = MemoryStore(limit=100)
    assert await store.put(*first)
    with pytest.raises(StoreFull) as caught:
        await store.put(*second)
    assert caught.value.free == 100 - len(first[1])
    store.discard(first[0])
    store.discard(first[0])
    assert store.bytes == 0
