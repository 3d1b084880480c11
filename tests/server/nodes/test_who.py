"""Who holds how much of a package."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from tiercast_protocol.errors import UsageError
from tiercast_server.database.tables import hops, jobs
from tiercast_server.nodes.presence import Presence
from tiercast_server.nodes.who import Who
from tiercast_server.tree import Child


@pytest.fixture
async def who(world: Any, build_package: Any) -> Who:
    root, chunks = build_package("app", "1", {"a": b"1", "b": b"22"})
    await world.library.keep(chunks)
    await world.library.register(root, "main", "t")
    for name in ("gw", "far", "mute"):
        await world.enrolment.invite(name, "gateway", "", 60, url="mqtt://h:1")
    async with world.region.db.write() as connection:
        await connection.exec_driver_sql("update nodes set state = 'joined', joined = 5")
        job = {
            "id": "j1",
            "number": 1,
            "type": "install",
            "revision": 1,
            "state": "open",
            "note": "",
            "created_by": "t",
        }
        about = {"package": "app", "version": "1", "package_revision": 1, "root": root, "options": bytes([128])}
        await connection.execute(insert(jobs).values(**job, **about, created=1, expires=2))
        said = {"state": "relaying", "revision": 1, "attempt": 0, "seq": 1, "done": 3, "total": 9, "rate": 0, "at": 77}
        await connection.execute(insert(hops).values(job="j1", node="far", **said))
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
