"""Which chunks are at hand, and which are read again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tiercast_endpoint.trees.batches import TOGETHER
from tiercast_endpoint.trees.kept import KeptChunks
from tiercast_protocol.errors import ChunkMissing


class Given:
    """Chunks that are their own names; those of `alone` can't be read with others, `none` not at all."""

    def __init__(self, alone: bytes = b"", none: bytes = b"") -> None:
        self.alone, self.none = alone, none
        self.asked: list[list[bytes]] = []

    async def read(self, digest: bytes) -> bytes:
        self.asked.append([digest])
        if digest == self.none:
            raise ChunkMissing(digest)
        return digest

    async def read_many(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        self.asked.append(list(digests))
        return {digest: digest for digest in digests if digest not in {self.alone, self.none}}


async def test_what_is_at_hand_is_not_read_again_and_what_can_not_be_read_with_others_is_read_alone() -> None:
    given = Given(alone=b"b")
    kept = KeptChunks(given.read, given.read_many)
    await kept.read_together([b"a", b"b", b"a"])
    assert (kept.get(b"a"), kept.get(b"b")) == (b"a", None)
    assert await kept.all_of([b"b", b"a", b"c"]) == [b"b", b"a", b"c"]
    assert given.asked == [[b"a", b"b"], [b"b", b"c"], [b"b"], [b"c"]]


async def test_one_that_is_missing_ends_it_after_the_others() -> None:
    given = Given(none=b"a")
    with pytest.raises(ChunkMissing):
        await KeptChunks(given.read, None).all_of([b"a", b"b"])
    assert given.asked == [[b"a"], [b"b"]]


async def test_only_a_few_are_kept() -> None:
    given = Given()
    kept = KeptChunks(given.read, given.read_many)
    names = [b"%d" % number for number in range(3 * TOGETHER)]
    for name in names:
        await KeptChunks.all_of(kept, [name])
    await kept.read_together(names[:TOGETHER])
    assert all(kept.get(name) for name in names[:TOGETHER])
    await kept.read_together([b"x"])
    assert sum(kept.get(name) is not None for name in names) <= TOGETHER // 2
