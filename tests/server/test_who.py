"""Who holds how much of a package."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.presence import Presence
from tiercast_server.tree import Child
from tiercast_server.who import Who


@pytest.fixture
async def who(world: Any, build_package: Any) -> Who:
    root, chunks = build_package("app", "1", {"a": b"1", "b": b"22"})
    await world.library.keep(chunks)
    await world.library.register(root, "main", "t")
    for name in ("gw", "far", "mute"):
        await world.enrolment.invite(name, "gateway", "", 60, url="mqtt://h:1")
    async with world.region.db.write() as connection:
        await connection.exec_driver_sql("update nodes set state = 'joined', joined = 5")
        await connection.exec_driver_sql(
            "insert into jobs (id, number, type, revision, state, cancelling, package, version, package_revision, root,"
            " note, created_by, options, created, expires, closed)"
            " values ('j1', 1, 'install', 1, 'open', 0, 'app', '1', 1, ?, '', 't', ?, 1, 2, null)",
            (root, bytes([128])),
        )
        await connection.exec_driver_sql(
            "insert into hops (job, node, state, revision, attempt, seq, done, total, rate, at)"
            " values ('j1', 'far', 'relaying', 1, 0, 1, 3, 9, 0, 77)"
        )
    world.tree.present = [Child("gw", True, 1), Child("far", False, 1), Child("mute", True, 1)]
    world.tree.answers[("gw", "depot.holds")] = {"chunks": 2, "bytes": 7, "installed": 0}

    async def held(given: bytes) -> dict[str, int]:
        assert given == root
        return {"chunks": 4, "bytes": 99}

    return Who(world.region, world.tree, Presence(world.region, world.tree), held)


async def test_every_tier_is_listed_and_who_is_away_with_its_last_word(who: Who) -> None:
    found = await who.holds("app@1", 2)
    nodes = {node["name"]: node for node in found["nodes"]}
    assert found["chunks"] == 4
    assert (nodes["server"]["chunks"], nodes["server"]["bytes"]) == (4, 99)
    assert (nodes["gw"]["state"], nodes["gw"]["chunks"], nodes["gw"]["installed"]) == ("answered", 2, False)
    assert (nodes["far"]["state"], nodes["far"]["last_done"], nodes["far"]["last_at"]) == ("offline", 3, 77)
    assert nodes["mute"]["state"] == "silent"
    assert "chunks" not in nodes["mute"]


async def test_what_can_not_be_asked(who: Who) -> None:
    for package, seconds, code in (
        ("none", 2, "package.unknown"),
        ("app", 0, "time.invalid"),
        ("app", 61, "time.invalid"),
    ):
        with pytest.raises(UsageError) as caught:
            await who.holds(package, seconds)
        assert caught.value.code == code
