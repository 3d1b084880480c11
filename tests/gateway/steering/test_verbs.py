"""The verbs of steering at a gateway's own socket."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.hop import FakeAbove, order_for, parent_node

from tiercast_gateway.steering.verbs import SteeringVerbs
from tiercast_gateway.subtree import SubTree
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.kernel import Peer

KEY = PrivateKey.generate()


class Socket:
    def __init__(self, tree: SubTree) -> None:
        verbs = SteeringVerbs(tree)
        self.table = {name: handler for name, _, handler in verbs.table() + verbs.own_table()}

    async def call(self, verb: str, user: str = "anna", **args: Any) -> Any:
        peer = Peer(pid=1, uid=0, gid=0)
        return await self.table[verb](Call(verb=verb, args=args, peer=peer, role="admin", user=user, cause="c"))


@pytest.fixture
async def top(tmp_path: Path) -> AsyncIterator[SubTree]:
    async with parent_node(tmp_path, children=["one", "two"], key=KEY, name="top", above=FakeAbove()) as tree:
        yield tree


async def test_windows_are_added_and_removed(top: SubTree) -> None:
    socket = Socket(top)
    await socket.call("link.window.add", child="one", window="mon-fri 22:00-06:00 at 2000000")
    shown = await socket.call("link.window.add", child="one", window="not daily 12:00-13:00 utc")
    assert shown["terms"] == {"window": "mon-fri 22:00-06:00 at 2000000; not daily 12:00-13:00 utc"}
    with pytest.raises(UsageError, match="never open"):
        await socket.call("link.window.add", child="one", window="not daily 00:00-24:00")
    with pytest.raises(UsageError, match="the link has 2"):
        await socket.call("link.window.remove", child="one", number=3)
    shown = await socket.call("link.window.remove", child="one", number=1)
    assert shown["terms"] == {"window": "not daily 12:00-13:00 utc"}
    assert (await socket.call("link.window.remove", child="one", number=0))["terms"] == {}


async def test_a_link_shows_its_terms_and_what_they_come_to(top: SubTree) -> None:
    socket = Socket(top)
    await socket.call("link.set", child="one", options={"budget": 5000, "per": "day", "metered": True})
    shown = await socket.call("link.show", child="one")
    assert shown["terms"] == {"budget": 5000, "per": "day", "metered": True}
    assert (shown["metered_now"], shown["shut"], shown["online"]) == (True, {}, False)
    assert (shown["parent"], shown["child"]) == ("top", "one")
    assert [(link["parent"], link["child"]) for link in await socket.call("link.list")] == [
        ("top", "one"),
        ("top", "two"),
    ]
    every = await socket.call("link.show")
    assert (every["parent"], every["child"]) == ("top", "")
    with pytest.raises(UsageError, match="no child"):
        await socket.call("link.show", child="nobody")


async def test_suspended_by_whoever_said_so(top: SubTree) -> None:
    socket = Socket(top)
    await socket.call("link.suspend", child="one")
    await socket.call("node.suspend", name="two", until=time.time_ns() // 1_000_000 + 60_000)
    holds = {hold["node"]: hold for hold in await socket.call("hold.list")}
    assert holds["one"]["by"] == holds["two"]["by"] == "anna@top"
    assert holds["one"]["link"]
    assert holds["two"]["here"]
    with pytest.raises(UsageError, match="over already"):
        await socket.call("link.suspend", child="one", until=1)
    assert (await socket.call("link.resume", child="one"))["resumed"] == 1
    assert (await socket.call("node.resume", name="two"))["resumed"] == 1
    assert (await socket.call("node.resume", name="two"))["resumed"] == 0
    # over the tree the one who asked there is named
    await socket.call("link.suspend", user="region", by="root@server", child="one")
    assert (await socket.call("hold.list"))[0]["by"] == "root@server"


async def test_everything_below_or_one_job_of_it(top: SubTree) -> None:
    socket = Socket(top)
    await top.take_order(order_for(KEY, {"one": b"o" * 32, "two": b"t" * 32}, root=b"r" * 32))
    await socket.call("node.suspend", name="top")
    assert set(top.steering.now.lanes) == {"one", "two"}
    await socket.call("node.resume", name="top")
    assert not top.steering.now.lanes
    with pytest.raises(UsageError, match="No open job"):
        await socket.call("job.suspend", job="j9")
    await socket.call("job.suspend", job="j1")
    await socket.call("job.suspend", job="j1", nodes=["two"])
    assert set(top.steering.now.silent) == {("j1", None), ("j1", "two")}
    resumed = await socket.call("job.resume", job="j1", nodes=["two"])
    assert resumed["resumed"] == 1
    assert [(one["job"], one["node"]) for one in resumed["still"]] == [("j1", "")], "it is suspended everywhere too"
    await socket.call("job.suspend", job="j1", nodes=["one"])
    await socket.call("link.suspend", child="two")
    resumed = await socket.call("node.resume", name="one")
    assert (resumed["resumed"], [one["node"] for one in resumed["still"]]) == (0, []), "the job's is the job's"
    resumed = await socket.call("node.resume", name="two")
    assert [one["link"] for one in resumed["still"]] == [True], "the link to it is suspended"
    assert (await socket.call("link.resume", child="two"))["still"] == []
    resumed = await socket.call("job.resume", job="j1")
    assert (resumed["resumed"], resumed["still"]) == (2, []), "wherever it was suspended"
    assert not top.steering.now.silent


async def test_a_jobs_number_alone_will_do(top: SubTree) -> None:
    socket = Socket(top)
    targets = {"one": b"o" * 32}
    for job in ("j1-0a0b", "j15-0c0d"):
        await top.take_order(order_for(KEY, targets, job=job, root=b"r" * 32))
    assert (await socket.call("job.suspend", job="j1"))["job"] == "j1-0a0b"
    assert (await socket.call("job.suspend", job="15"))["job"] == "j15-0c0d"
    assert set(top.steering.now.silent) == {("j1-0a0b", None), ("j15-0c0d", None)}
    assert (await socket.call("job.resume", job="j1"))["resumed"] == 1
    for wrong in ("j", "", "j9", "j1-"):
        with pytest.raises(UsageError, match="No open job"):
            await socket.call("job.resume", job=wrong)
    assert set(top.steering.now.silent) == {("j15-0c0d", None)}
