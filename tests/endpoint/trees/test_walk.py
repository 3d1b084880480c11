"""Where chunks go, in step with what is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from tiercast_endpoint.trees.walk import LARGE, Walk, is_large
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part

A, B, C, P = (digest_of(name) for name in (b"a", b"b", b"c", b"pack"))
HALF = LARGE // 2
ENTRIES = [
    Entry("d", Kind.FOLDER, 0o755),
    Entry("d/big", Kind.FILE, 0o644, LARGE, digest=b"x", parts=(Part(A, 0, HALF), Part(B, 0, HALF))),
    Entry("d/small", Kind.FILE, 0o644, 9, digest=b"x", parts=(Part(P, 0, 9),)),
    Entry("long", Kind.FILE, 0o644, parts=(Part(A, 0, HALF), Part(C, 0, HALF)), more=True),
    Entry("long", Kind.FILE, 0o644, 3 * HALF, digest=b"x", parts=(Part(P, 5, HALF),), start=2 * HALF),
]


async def lists() -> AsyncIterator[Sequence[Entry]]:
    yield ENTRIES[:3]
    yield ENTRIES[3:]


async def test_each_call_goes_on_where_the_last_one_ended() -> None:
    walk = Walk(lists())
    assert await walk.find([A]) == [(A, "d/big", 0, HALF)]
    assert await walk.find([B, P]) == [(B, "d/big", HALF, HALF)], "a small file's chunk is not its alone"
    assert await walk.find([C]) == [(C, "long", HALF, HALF)]
    assert await walk.find([digest_of(b"never")]) == []
    await walk.close()


async def test_a_part_of_a_chunk_is_no_place_for_the_whole() -> None:
    async def only() -> AsyncIterator[Sequence[Entry]]:
        yield ENTRIES[4:]

    assert await Walk(only()).find([P]) == []


def test_what_is_large() -> None:
    assert [is_large(entry) for entry in ENTRIES] == [False, True, False, True, True]
