"""Which patches are wanted, and what is written of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from tiercast_server.database.tables import package_chunks
from tiercast_server.packages import patch_rows as rows

ROOT = bytes(32)


async def installed(world: Any, version: str, *nodes: str) -> None:
    job = await world.job("install", f"app={version}", targets=nodes)
    await world.intake.take([world.record(job, node, "done") for node in nodes])


async def bases(world: Any, result: bytes, nodes: set[str] | None = None) -> list[bytes]:
    async with world.region.db.read() as connection:
        return await rows.bases_for(connection, result, nodes)


async def test_a_new_version_is_wanted_from_the_one_before(world: Any) -> None:
    one, two = await world.package("app", "1"), await world.package("app", "2")
    await world.package("other", "9")
    three = await world.package("app", "3")
    assert await bases(world, three) == [two]
    assert await bases(world, two) == [one]
    assert await bases(world, one) == []
    assert await bases(world, ROOT) == []


async def test_and_from_what_receipts_say_is_installed_the_most_common_first(world: Any) -> None:
    one, two, three = [await world.package("app", version) for version in "123"]
    four = await world.package("app", "4")
    for node in ("a", "b", "c", "d"):
        await world.join(node)
    await installed(world, "1", "a", "b", "c")
    assert await bases(world, four) == [one, three]
    await installed(world, "2", "a", "b")
    assert await bases(world, four) == [two, one, three]
    assert await bases(world, four, {"c", "d"}) == [one]
    assert await bases(world, two) == [one]
    job = await world.job("remove", "app", targets=["c"])
    await world.intake.take([world.record(job, "c", "done")])
    assert await bases(world, four, {"c"}) == []


async def test_a_pair_is_wanted_once_and_the_most_urgent_goes_first(world: Any) -> None:
    one, two, three = [await world.package("app", version) for version in "123"]
    async with world.region.db.write() as connection:
        assert await rows.want(connection, [one, two], three, rows.REGISTERED, 5) == 2
        assert await rows.want(connection, [one], two, rows.ORDERED, 6) == 1
    taken = []
    for _ in range(4):
        async with world.region.db.write() as connection:
            taken.append(await rows.next_wanted(connection))
    assert [(w.base, w.result) for w in taken if w] == [(one, two), (one, three), (two, three)]
    assert taken[3] is None
    async with world.region.db.write() as connection:
        assert await rows.want(connection, [one], two, rows.ORDERED, 6) == 0, "it is being made"
        await rows.begin_again(connection)
        again = await rows.next_wanted(connection)
    assert again is not None
    assert (again.base, again.result) == (one, two)


async def test_what_is_made_belongs_to_its_result(world: Any) -> None:
    one, two = await world.package("app", "1"), await world.package("app", "2")
    async with world.region.db.write() as connection:
        await rows.want(connection, [one], two, rows.REGISTERED, 5)
        wanted = await rows.next_wanted(connection)
        assert wanted is not None
        assert await rows.finish(connection, wanted, [b"c" * 32, two], state="made", patch=b"c" * 32, size=3, plain=9)
    async with world.region.db.read() as connection:
        (offer,) = await rows.made(connection)
        (shown,) = await rows.listed(connection, {two})
        kept = set((await connection.execute(select(package_chunks.c.digest))).scalars())
    assert (offer.base, offer.result, offer.patch, offer.size, offer.plain) == (one, two, b"c" * 32, 3, 9)
    assert (shown["from"], shown["to"], shown["state"], shown["bytes"]) == ("app=1/1", "app=2/1", "made", 3)
    assert b"c" * 32 in kept
    async with world.region.db.write() as connection:
        await rows.forget(connection, one)
        assert await rows.made(connection) == [offer], "nodes may still have the base"
        await rows.forget(connection, two)
        assert await rows.made(connection) == []
        assert not await rows.finish(connection, wanted, [], state="failed")


async def test_failures_are_tried_again_only_when_asked(world: Any) -> None:
    one, two = await world.package("app", "1"), await world.package("app", "2")
    async with world.region.db.write() as connection:
        await rows.want(connection, [one], two, rows.REGISTERED, 5)
        wanted = await rows.next_wanted(connection)
        assert wanted is not None
        await rows.finish(connection, wanted, [], state="failed", detail="no memory")
        assert await rows.want(connection, [one], two, rows.ORDERED, 6) == 0
        assert await rows.want(connection, [one], two, rows.BY_HAND, 6, again=True) == 1


async def test_the_subject_of_a_job(world: Any) -> None:
    one = await world.package("app", "1")
    await world.join("a")
    await world.join("g", "gateway")
    install = await world.job("install", "app", targets=["a"])
    preload = await world.job("preload", "app", targets=["g"])
    async with world.region.db.read() as connection:
        assert await rows.subject(connection, install) == (one, {"a"})
        assert (await rows.subject(connection, preload))[0] == b""
