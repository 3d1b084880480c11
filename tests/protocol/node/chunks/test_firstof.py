"""Several stores in order; the conformance suite is in test_port.py."""

from tiercast_protocol.content.chunk import seal
from tiercast_protocol.node.chunks.firstof import FirstOfStore
from tiercast_protocol.node.chunks.memory import MemoryStore


async def test_the_first_that_holds_it_is_the_only_one_that_is_read() -> None:
    class Counting(MemoryStore):
        reads = 0

        async def get(self, digest: bytes) -> bytes:
            self.reads += 1
            return await super().get(digest)

    digest, stored = seal(b"x")
    stores = [Counting(), Counting(), Counting()]
    await stores[1].put(digest, stored)
    await stores[2].put(digest, stored)
    assert await FirstOfStore(*stores).get(digest) == stored
    assert [store.reads for store in stores] == [1, 1, 0]
