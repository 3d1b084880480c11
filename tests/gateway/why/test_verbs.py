"""`why` at a gateway: what it knows itself, from the order without a route to the word of the target."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.hop import FakeAbove, admitted, order_for, parent_node, until

from tiercast_gateway.subtree import SubTree
from tiercast_gateway.why.verbs import WhyVerbs
from tiercast_protocol.content.jobs.reason import because, shown
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.wire.messages import Status, StatusRecord

KEY = PrivateKey.generate()


@pytest.fixture
async def top(tmp_path: Path) -> AsyncIterator[SubTree]:
    """A node with the children "mid" (a gateway) and "pc", neither of which is there."""
    async with parent_node(tmp_path, children=["mid", "pc"], key=KEY, name="top", above=FakeAbove()) as tree:
        yield tree


def call_of(target: str, job: str) -> Call:
    args = {"job": job, "target": target}
    return Call(verb="job.why", args=args, peer=Peer(0, 0, 0), role="viewer", user="a", cause="")


async def why(tree: SubTree, target: str = "", job: str = "j1") -> dict[str, Any]:
    return await WhyVerbs(tree).why(call_of(target, job))


def record(target: str, state: str, **more: Any) -> StatusRecord:
    return StatusRecord(job="j1", revision=1, target=target, attempt=1, seq=1, state=state, at=1, **more)


async def codes(tree: SubTree, target: str) -> list[tuple[str, str]]:
    return [(reason["code"], reason["node"]) for reason in (await why(tree, target))["chain"]]


async def test_an_order_is_followed_on_its_way(top: SubTree) -> None:
    await top.take_order(order_for(KEY, {"pc": b"p" * 32, "far": b"f" * 32, "deep": b"d" * 32}, root=b"r" * 32), "j1")
    await until(lambda: bool(top.steering.reasons.now("j1")))
    assert await codes(top, "far") == [("route.unknown", "top")]
    found = await why(top, "pc")
    assert [reason["code"] for reason in found["chain"]] == ["away", "order.unheard"]
    assert found["chain"][0]["says"] == "pc is not connected to top"
    assert (found["state"], found["target_state"], found["result"]) == ("open", "ordered", {})
    await top.admit(admitted("deep", "mid"))
    await top.orders.pass_on()
    assert await codes(top, "deep") == [("order.unheard", "top")]
    grouped = await why(top)
    assert (grouped["targets"], grouped["waiting"], grouped["ended"]) == (3, 3, [])
    assert {row["code"]: row["examples"] for row in grouped["reasons"]} == {
        "away": ["pc"],
        "order.unheard": ["deep"],
        "route.unknown": ["far"],
    }


async def test_gateways_below_say_what_they_know(top: SubTree) -> None:
    await top.admit(admitted("deep", "mid"))
    await top.take_order(order_for(KEY, {"deep": b"d" * 32, "pc": b"p" * 32}, root=b"r" * 32), "j1")
    said = json.dumps([["suspended", {"by": "anna@mid"}, {"deep": 5}]])
    hop = StatusRecord(job="j1", revision=1, target="mid", attempt=0, seq=1, state="relaying", at=1, detail=said)
    await top.statuses.take("mid", Status(records=[record("deep", "fetching"), hop]))
    found = (await why(top, "deep"))["chain"]
    assert [(r["code"], r["node"], r["since"]) for r in found if r["node"] == "mid"] == [("suspended", "mid", 5)]
    assert found[-1]["code"] == "fetch"
    of_gateway = await why(top, "mid")
    assert of_gateway["state"] == "open"
    assert (of_gateway["targets"], of_gateway["waiting"]) == (1, 1)
    assert [row["examples"] for row in of_gateway["reasons"]] == [["deep"]], "of what is below it, and of no other"
    failed = record("pc", "failed", code="disk.short", detail="9 bytes are needed")
    await top.statuses.take("pc", Status(records=[failed]))
    ended = await why(top, "pc")
    assert (ended["state"], ended["chain"], ended["result"]["code"]) == ("closed", [], "disk.short")
    assert (await why(top))["ended"][0]["means"].startswith("The disk has not enough room")


async def test_what_a_target_says_itself_is_read(top: SubTree) -> None:
    await top.take_order(order_for(KEY, {"pc": b"p" * 32}, root=b"r" * 32), "j1")
    detail = '{"error":"no room","until":9}'
    await top.statuses.take("pc", Status(records=[record("pc", "fetching", code="preload.again", detail=detail)]))
    reason = next(r for r in (await why(top, "pc"))["chain"] if r["code"] == "preload.again")
    assert (reason["until"], reason["facts"]) == (9, {"error": "no room"})
    assert because("preload.again", error="no room").facts == (("error", "no room"),)


async def test_asked_of_itself_it_counts_all_below_it(top: SubTree) -> None:
    await top.take_order(order_for(KEY, {"pc": b"p" * 32, "far": b"f" * 32}, root=b"r" * 32), "j1")
    await until(lambda: bool(top.steering.reasons.now("j1")))
    own = await why(top, "top")
    assert (own["target"], own["state"], own["waiting"]) == ("top", "open", 2)
    assert {row["code"]: row["places"] for row in own["reasons"]} == {"away": ["top"], "route.unknown": ["top"]}


async def test_at_its_socket_a_whole_job_comes_with_what_those_above_say_of_this_node(
    top: SubTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    await top.take_order(order_for(KEY, {"pc": b"p" * 32}, root=b"r" * 32), "j1")
    rate = shown(because("rate", node="hub", peer="top", rate=20_000))
    asked: list[tuple[str, str]] = []

    async def ask(job: str, target: str) -> list[dict[str, Any]]:
        asked.append((job, target))
        return [{"node": "hub", "chain": [rate], "result": {}}]

    monkeypatch.setattr(top.whys.above, "ask", ask)
    found = await WhyVerbs(top).at_socket(call_of("", "j1"))
    assert asked == [("j1", "top")]
    assert found["waiting"] == 1
    assert [(one["node"], one["chain"][0]["code"]) for one in found["above"]] == [("hub", "rate")]


async def test_what_is_not_known_is_said(top: SubTree) -> None:
    with pytest.raises(UsageError, match="did not pass top"):
        await why(top)
    await top.take_order(order_for(KEY, {"pc": b"p" * 32}, root=b"r" * 32), "j1")
    with pytest.raises(UsageError, match="no target below top"):
        await why(top, "nobody")


async def test_what_this_node_carries_out_itself_waits_for_its_parent(top: SubTree) -> None:
    await top.take_order(order_for(KEY, {"top": b"t" * 32}, root=b"r" * 32), "j1")
    assert (await codes(top, "top"))[-1] == ("order.way", "top")
    assert isinstance(top.above, FakeAbove)
    top.above.connected, top.above.parent = False, "hub"
    assert (await why(top, "top"))["chain"][0]["says"] == "top can't reach its parent hub"
