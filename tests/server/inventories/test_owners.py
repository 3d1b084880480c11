"""What owners chose, out of the rows of targets; and of a job only those."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tiercast_protocol.content.jobs.chosen import Chosen, packed
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.kernel import Peer
from tiercast_server.inventories.owners import Owners
from tiercast_server.jobs.targets import Wanted


def call(**args: Any) -> Call:
    return Call("owner.said", args, Peer(1, 0, 0), "viewer", "root", "c")


async def put_off(world: Any) -> str:
    await world.package("app", "1")
    for name in ("pc1", "pc2", "pc3"):
        await world.join(name)
    job: str = await world.job(targets=("pc1", "pc2", "pc3"))
    later = world.region.clock() + 60_000
    for name, chosen in (("pc1", Chosen(times=2, until=later, by="alice", at=5)), ("pc2", Chosen(held=5, by="bob"))):
        record = msgspec.structs.replace(world.record(job, name, "staged"), owner=packed(chosen))
        await world.intake.take([record])
    await world.intake.take([msgspec.structs.replace(world.record(job, "pc3", "staged"), owner="{nonsense")])
    return job


async def test_who_put_it_off_how_often_and_until_when(world: Any) -> None:
    job = await put_off(world)
    owners = Owners(world.region)
    found = await owners.said(call())
    assert (found["counts"]["targets"], found["counts"]["deferred"], found["counts"]["held"]) == (2, 1, 1)
    assert [(row["node"], row["by"], row["times"]) for row in found["rows"]] == [("pc1", "alice", 2), ("pc2", "bob", 0)]
    assert (await owners.said(call(by="group")))["by"] == []
    assert (await owners.said(call(by="job", job=job)))["by"][0]["name"] == job
    with pytest.raises(UsageError):
        await owners.said(call(by="colour"))
    shown = await world.view.show(job, Wanted(chosen=True))
    assert [row["node"] for row in shown["targets"]] == ["pc1", "pc2"]
    owner = shown["targets"][0]["owner"]
    assert (owner["times"], owner["by"]) == (2, "alice")
    assert set(owner) == set(Chosen().shown()), "with what he did not choose, too"


async def test_what_has_ended_is_told_where_it_is_asked_for(world: Any) -> None:
    job = await put_off(world)
    ended = msgspec.structs.replace(world.record(job, "pc1", "done"), owner=packed(Chosen(times=2, by="alice")))
    await world.intake.take([ended])
    owners = Owners(world.region)
    assert (await owners.said(call()))["counts"]["times"] == 0
    assert (await owners.said(call(ended=True)))["counts"]["times"] == 2
