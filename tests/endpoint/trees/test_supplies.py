"""Chunks that no tier above holds are asked for again, a few times."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tiercast_endpoint.trees.supplies import Patient
from tiercast_protocol.errors import ChunkMissing


class Late:
    """Has nothing before it was asked so often."""

    def __init__(self, after: int) -> None:
        self.asked, self._after = 0, after

    async def fetch(self, digests: Sequence[bytes], job: str = "") -> None:
        del job
        self.asked += 1
        if self.asked <= self._after:
            raise ChunkMissing(digests[0])


async def test_what_comes_later_is_had() -> None:
    inner = Late(2)
    await Patient(inner, (0.0, 0.0)).fetch([b"d"])
    assert inner.asked == 3


async def test_what_never_comes_is_missing() -> None:
    inner = Late(9)
    with pytest.raises(ChunkMissing):
        await Patient(inner, (0.0, 0.0)).fetch([b"d"])
    assert inner.asked == 3
