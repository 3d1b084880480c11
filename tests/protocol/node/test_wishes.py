"""One question per chunk, whoever wants it and whoever changes his mind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.support.hop import until

from tiercast_protocol.errors import ChunkMissing
from tiercast_protocol.node.wishes import Wishes

A, B, C = (letter * 32 for letter in (b"a", b"b", b"c"))


class Parent:
    def __init__(self) -> None:
        self.here: set[bytes] = set()
        self.asked: list[bytes] = []
        self.jobs: list[str] = []
        self.dropped: list[bytes] = []
        self.wishes = Wishes(self.held, self.ask, self.dropped.extend)

    def ask(self, digests: tuple[bytes, ...], job: str) -> None:
        self.asked.extend(digests)
        self.jobs.append(job)

    def held(self, digests: Sequence[bytes]) -> set[bytes]:
        return self.here.intersection(digests)

    def give(self, digest: bytes) -> None:
        self.here.add(digest)
        self.wishes.arrived(digest)


async def test_a_chunk_is_asked_for_once_and_all_who_wait_get_it() -> None:
    parent = Parent()
    parent.here.add(C)
    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(parent.wishes.fetch([A, B, C, A])) for _ in range(2)]
        await until(lambda: parent.asked == [A, B])
        parent.wishes.want([A, B])
        parent.give(B)
        assert not any(call.done() for call in calls)
        parent.give(A)
    assert parent.asked == [A, B]
    assert parent.dropped == []


async def test_what_is_held_is_not_asked_for() -> None:
    parent = Parent()
    parent.here |= {A, B}
    await parent.wishes.fetch([A, B])
    await parent.wishes.fetch([])
    assert parent.asked == []


async def test_who_gives_up_takes_back_what_he_alone_wanted() -> None:
    parent = Parent()
    async with asyncio.TaskGroup() as tasks:
        one = tasks.create_task(parent.wishes.fetch([A, B]))
        two = tasks.create_task(parent.wishes.fetch([B]))
        parent.wishes.want([C])
        await until(lambda: set(parent.asked) == {A, B, C})
        one.cancel()
        await until(one.done)
        assert parent.dropped == [A]
        parent.wishes.unwant([B, C])
        assert parent.dropped == [A, C]
        parent.give(B)
        await two
    parent.wishes.want([A])
    assert parent.asked.count(A) == 2


async def test_a_failure_reaches_all_who_wait_and_it_may_be_asked_for_again() -> None:
    parent = Parent()
    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(failing(parent)) for _ in range(2)]
        await until(lambda: bool(parent.asked))
        parent.wishes.failed(A, ChunkMissing(A))
        assert [await call for call in calls] == [A, A]
        assert parent.dropped == [B]
        parent.wishes.want([A])
    assert parent.asked == [A, B, A]


async def failing(parent: Parent) -> bytes:
    with pytest.raises(ChunkMissing) as caught:
        await parent.wishes.fetch([A, B])
    return caught.value.digest


async def test_who_is_cancelled_leaves_nobody_waiting_in_vain() -> None:
    parent = Parent()
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(parent.wishes.fetch([A, B]))
        other = tasks.create_task(parent.wishes.fetch([A]))
        await until(lambda: len(parent.wishes._calls.get(A, ())) == 2)
        looking.cancel()
        await until(looking.done)
        assert parent.dropped == [B]
        parent.give(A)
        await other


async def test_what_is_still_wanted_is_told_apart_from_what_came() -> None:
    held: set[bytes] = set()

    wishes = Wishes(held.intersection, lambda _digests, _job: None, lambda _: None)
    wishes.want([A, B])
    wishes.arrived(A)
    assert wishes.still([A, B, C]) == {"": (B,)}


def test_another_job_asks_again_for_what_is_under_way() -> None:
    parent = Parent()
    parent.wishes.want([A, B], "update")
    parent.wishes.want([A], "update")
    parent.wishes.want([A])
    parent.wishes.want([A], "urgent")
    assert parent.jobs == ["update", "urgent"]
    assert parent.asked == [A, B, A]
