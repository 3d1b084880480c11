"""The verbs of a control socket, here and over the tree."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.hop import (
    PASSWORD,
    FakeAbove,
    admitted,
    child_node,
    gateway_node,
    order_for,
    parent_node,
    until,
)

from tiercast_gateway.subtree import SubTree
from tiercast_gateway.verbs import add_common_verbs
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.wire.messages import Status, StatusRecord

KEY = PrivateKey.generate()


class Socket:
    """Calls verbs as the control server does."""

    def __init__(self, tree: SubTree) -> None:
        self.verbs = Verbs()
        add_common_verbs(self.verbs, tree)

    async def call(self, verb: str, **args: Any) -> Any:
        peer = Peer(pid=1, uid=0, gid=0)
        call = Call(verb=verb, args=args, peer=peer, role="admin", user="root", cause="c")
        return await self.verbs.named(verb).handler(call)  # type: ignore[misc] - none of these streams


@pytest.fixture
async def top(tmp_path: Path) -> AsyncIterator[SubTree]:
    async with parent_node(tmp_path, children=["mid"], key=KEY, name="top", above=FakeAbove()) as tree:
        yield tree


async def test_every_verb_has_a_role_and_says_what_it_does(top: SubTree) -> None:
    table = Socket(top).verbs.table
    assert {
        "status",
        "depot.show",
        "depot.pin",
        "depot.unpin",
        "depot.keep",
        "depot.evict",
        "link.list",
        "link.set",
    } <= set(table)
    assert all(verb.doc for verb in table.values())
    assert {name for name, verb in table.items() if verb.role == "viewer"} == {
        "status",
        "assignment.list",
        "assignment.show",
        "depot.members",
        "depot.holds",
        "depot.show",
        "link.list",
        "link.show",
        "hold.list",
        "ledger.show",
        "ledger.check",
        "ledger.side",
        "outbox.list",
        "inventory.count",
        "inventory.list",
        "inventory.names",
        "inventory.show",
        "inventory.tally",
        "wake.list",
        "rollout.list",
        "rollout.show",
        "job.list",
        "job.show",
        "job.why",
        "owner.said",
    }
    without = Verbs()
    add_common_verbs(without, top, jobs=False)
    assert "job.show" not in without.table


async def test_status_shows_the_node_its_broker_and_its_children(top: SubTree) -> None:
    status = await Socket(top).call("status")
    assert (status["name"], status["region"], status["broker"]["kind"]) == ("top", "test", "embedded")
    assert [(child["name"], child["online"]) for child in status["children"]] == [("mid", False)]
    assert PASSWORD not in repr(status)


async def test_a_link_is_limited_and_stays_so(top: SubTree, tmp_path: Path) -> None:
    socket = Socket(top)
    await socket.call("link.set", child="mid", options={"rate": 5_000_000})
    assert [(link["child"], link["rate"]) for link in await socket.call("link.list")] == [("mid", 5_000_000)]
    for wrong in ({"child": "nobody", "options": {"rate": 5000}}, {"child": "mid", "options": {"rate": -1}}):
        with pytest.raises(UsageError):
            await socket.call("link.set", **wrong)
    await socket.call("link.set", child="mid", clear=["rate"])
    assert (await socket.call("link.list"))[0]["rate"] == 0


async def test_jobs_are_shown_as_they_are_known_here(top: SubTree) -> None:
    socket = Socket(top)
    await top.take_order(order_for(KEY, {"mid": b"m" * 32, "far": b"f" * 32}, root=b"r" * 32))
    record = StatusRecord(job="j1", revision=1, target="mid", attempt=1, seq=1, state="fetching", at=1, receipt=b"r")
    await top.statuses.take("mid", Status(records=[record]))
    shown = await socket.call("job.show", job="j1")
    assert (shown["type"], shown["open"], shown["targets"]) == ("install", True, 2)
    assert shown["waiting"] == ["no route to far"]
    assert [(r["target"], r["state"]) for r in shown["records"] if r["target"] != "top"] == [("mid", "fetching")]
    said = '[["rate", {"rate": 5}, {"a": 1, "b": 1, "c": 1, "d": 1}]]'
    hop = StatusRecord(job="j1", revision=1, target="mid", attempt=2, seq=2, state="relaying", at=1, detail=said)
    await top.statuses.take("mid", Status(records=[hop]))
    row = next(r for r in (await socket.call("job.show", job="j1"))["records"] if r["target"] == "mid")
    assert row["detail"].startswith("a: 5 bytes per second at most; b: ")
    assert row["detail"].endswith("; 1 more")
    assert [(job["job"], job["state"]) for job in await socket.call("job.list")] == [("j1", "open")]
    assert (await socket.call("job.show", job="j1"))["joined"] == [], "nobody was added here"
    with pytest.raises(UsageError) as caught:
        await socket.call("job.list", folder="sites", limit=5)
    assert (caught.value.code, "folder" in caught.value.what) == ("filter.unknown", True)
    assert [message["kind"] for message in await socket.call("outbox.list")] == ["order.v1"]
    with pytest.raises(UsageError, match="did not pass"):
        await socket.call("job.show", job="j9")


async def test_another_node_is_asked_over_the_tree(top: SubTree, tmp_path: Path) -> None:
    socket = Socket(top)
    async with gateway_node(tmp_path, "mid", top, KEY) as mid:
        add_common_verbs(Verbs(), mid)
        await top.admit(admitted("pc", "mid"))
        await until(lambda: mid.enrolment.known("pc"))
        async with child_node(tmp_path, "pc", mid.broker.children_url, parent="mid"):
            await until(lambda: mid.children.online("pc"))
            status = await socket.call("status", node="mid")
            assert (status["name"], status["parent"], status["connected"]) == ("mid", "top", True)
            assert [(child["name"], child["online"]) for child in status["children"]] == [("pc", True)]
            await socket.call("link.set", node="mid", child="pc", options={"rate": 7000})
            assert mid.steering.limit("pc") == 7000
            with pytest.raises(UsageError) as caught:
                await socket.call("depot.pin", node="mid", package="x")
            assert (caught.value.code, caught.value.where) == ("package.unknown", "mid")
    with pytest.raises(UsageError, match="No way"):
        await socket.call("status", node="nobody")
