"""What a machine has not carried out yet stands with its own reason."""

from __future__ import annotations

from typing import Any

from tiercast_protocol.content.jobs.reason import because, packed
from tiercast_server.nodes.node_waits import waits


async def test_open_jobs_with_who_put_them_off(world: Any) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    first = await world.job(targets=("pc1",))
    deferred = because("owner.deferred", until=1_900_000_000_000, by="alice", times=2, limit=3)
    code, detail = packed(deferred)
    await world.intake.take([world.record(first, "pc1", "staged", code=code, detail=detail)])
    second = await world.job(targets=("pc1",))
    async with world.region.db.read() as connection:
        rows = await waits(connection, "pc1")
        assert await waits(connection, "pc2") == []
    assert [row["job"] for row in rows] == [second, first]
    assert (rows[0]["code"], rows[0]["says"], rows[0]["state"]) == ("", "", "ordered")
    assert rows[1]["code"] == "owner.deferred"
    assert "deferred by alice until" in rows[1]["says"]
    assert "2 times so far of 3" in rows[1]["says"]
    assert (rows[1]["until"], rows[1]["facts"]["by"]) == (1_900_000_000_000, "alice")
    await world.intake.take([world.record(first, "pc1", "done", seq=9)])
    async with world.region.db.read() as connection:
        assert [row["job"] for row in await waits(connection, "pc1")] == [second]
